/**
 * Writes a segment's body from frames that exist already, as dead letters keep them: the header,
 * the frames with the route that is theirs now, the checksum (layout: `wasm-core/segment.ts`, which
 * writes all others). What the core marked to be buried is not marked any more.
 *
 * The core verifies the body before anyone has it, so that a frame that does not hold together
 * never gets into the log.
 */
import { TidegateError } from '../errors.ts';
import type { Core } from './core.ts';
import { faultName } from './faults.ts';

export interface FrameToWrite {
  readonly routeId: number;
  readonly raw: Uint8Array;
}

export interface SegmentPlace {
  /** 16 hex digits. */
  readonly epoch: string;
  readonly sequence: number;
  readonly firstFrame: number;
  readonly createdMs: number;
  readonly livedMs: number;
}

const headerBytes = 64;
const frameFixedBytes = 64;
const magic = Buffer.from('TGS1').readUInt32LE();
const layoutVersion = 1;
const epochHalfDigits = 8;
const hexadecimal = 16;
/** Places of the header's fields, and within a frame. */
const at = {
  ...{ magic: 0, version: 4, bytes: 8, checksum: 12, epochLow: 16, epochHigh: 20 },
  ...{ sequence: 24, firstFrame: 32, frames: 40, createdMs: 48, livedMs: 56 },
} as const;
const frameAt = { routeId: 4, buryReason: 10 } as const;

/** @param core an instance with no open segment of its own @throws TidegateError internal */
export function writeSegment(
  core: Core,
  place: SegmentPlace,
  frames: readonly FrameToWrite[],
): ArrayBuffer {
  const bytes = frames.reduce((sum, { raw }) => sum + raw.byteLength, headerBytes);
  if (bytes > core.SEGMENT_BYTES)
    throw new TidegateError('internal', `a segment of ${bytes} bytes`);
  const body = core.bytes.subarray(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + bytes);
  body.fill(0, 0, headerBytes);
  body.writeUInt32LE(magic, at.magic);
  body.writeUInt16LE(layoutVersion, at.version);
  body.writeUInt32LE(bytes, at.bytes);
  body.writeUInt32LE(Number.parseInt(place.epoch.slice(epochHalfDigits), hexadecimal), at.epochLow);
  const high = place.epoch.slice(0, epochHalfDigits);
  body.writeUInt32LE(Number.parseInt(high, hexadecimal), at.epochHigh);
  body.writeDoubleLE(place.sequence, at.sequence);
  body.writeDoubleLE(place.firstFrame, at.firstFrame);
  body.writeUInt32LE(frames.length, at.frames);
  body.writeDoubleLE(place.createdMs, at.createdMs);
  body.writeDoubleLE(place.livedMs, at.livedMs);
  let to = headerBytes;
  for (const { routeId, raw } of frames) {
    body.set(raw, to);
    if (raw.byteLength >= frameFixedBytes) {
      body.writeUInt32LE(routeId, to + frameAt.routeId);
      body[to + frameAt.buryReason] = 0;
    }
    to += raw.byteLength;
  }
  body.writeUInt32LE(core.crc32c(core.SEGMENT_OFFSET, bytes), at.checksum);
  const fault = core.verify(bytes);
  if (fault !== 0) throw new TidegateError('internal', `a frame is damaged: ${faultName(fault)}`);
  const copy = new ArrayBuffer(bytes);
  new Uint8Array(copy).set(body);
  return copy;
}

const anywhere = { epoch: '0'.repeat(16), sequence: 0, firstFrame: 0, createdMs: 0, livedMs: 0 };

/** A body with this one frame as it is, to be read; null when it does not hold together. */
export function wrapFrame(core: Core, raw: Uint8Array): ArrayBuffer | null {
  if (raw.byteLength < frameFixedBytes || raw.byteLength > core.SEGMENT_BYTES - headerBytes) {
    return null;
  }
  const routeId = new DataView(raw.buffer, raw.byteOffset).getUint32(frameAt.routeId, true);
  try {
    return writeSegment(core, anywhere, [{ routeId, raw }]);
  } catch (error) {
    if (error instanceof TidegateError) return null;
    throw error;
  }
}
