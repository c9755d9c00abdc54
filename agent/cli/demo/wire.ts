/**
 * The few shapes of the Kafka wire protocol that the demo speaks: primitive types, frames with a
 * length in front, and record batches of magic 2.
 *
 * The demo needs it three times: to stand in for Kafka where there is none, to be a proxy that can
 * be cut in front of a Kafka there is, and to read back from that Kafka without passing the agent's
 * client. It is no client library: the versions it speaks are fixed, and what it does not know it
 * refuses by throwing.
 *
 * Layout of a record batch (all big endian):
 *   0 base offset i64 · 8 length i32 · 12 leader epoch i32 · 16 magic i8
 *   17 CRC32C u32 of what follows
 *   21 attributes i16 · 23 last offset delta i32 · 27 first timestamp i64 · 35 last timestamp i64
 *   43 producer id i64 · 51 producer epoch i16 · 53 base sequence i32 · 57 records i32 · 61 records
 */
import { gunzipSync, zstdDecompressSync } from 'node:zlib';

export const apiKeys = {
  produce: 0,
  fetch: 1,
  listOffsets: 2,
  metadata: 3,
  apiVersions: 18,
  createTopics: 19,
  initProducerId: 22,
} as const;

const batchHeaderBytes = 61;
const batchMagic = 2;
const batchLengthEnd = 12;
const compressionMask = 7;
const compressions = ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const;
const frameLengthBytes = 4;
const frameBytesMax = 64 * 1024 * 1024;
const varintContinues = 0x80;

export class WireReader {
  readonly bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  i8(): number {
    this.at += 1;
    return this.bytes.readInt8(this.at - 1);
  }

  i16(): number {
    this.at += 2;
    return this.bytes.readInt16BE(this.at - 2);
  }

  i32(): number {
    this.at += 4;
    return this.bytes.readInt32BE(this.at - 4);
  }

  i64(): bigint {
    this.at += 8;
    return this.bytes.readBigInt64BE(this.at - 8);
  }

  take(length: number): Buffer {
    if (this.at + length > this.bytes.length) throw new RangeError('kafka wire: frame too short');
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  unsignedVarint(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.bytes.readUInt8(this.at++);
      value += (byte & (varintContinues - 1)) * scale;
      if ((byte & varintContinues) === 0) return value;
      scale *= varintContinues;
    }
  }

  /** Zigzag. */
  varint(): number {
    const raw = this.unsignedVarint();
    return raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2;
  }

  /** STRING or NULLABLE_STRING; compact when the version is flexible. */
  string(flexible: boolean): string | null {
    const length = flexible ? this.unsignedVarint() - 1 : this.i16();
    return length < 0 ? null : this.take(length).toString('utf8');
  }

  /** BYTES or RECORDS; compact when the version is flexible. */
  block(flexible: boolean): Buffer | null {
    const length = flexible ? this.unsignedVarint() - 1 : this.i32();
    return length < 0 ? null : this.take(length);
  }

  /** Length of an ARRAY; −1 for null. */
  array(flexible: boolean): number {
    return flexible ? this.unsignedVarint() - 1 : this.i32();
  }

  tags(flexible: boolean): void {
    if (!flexible) return;
    for (let fields = this.unsignedVarint(); fields > 0; fields--) {
      this.unsignedVarint();
      this.take(this.unsignedVarint());
    }
  }
}

export class WireWriter {
  readonly #parts: Buffer[] = [];

  #put(size: number, fill: (part: Buffer) => void): this {
    const part = Buffer.alloc(size);
    fill(part);
    this.#parts.push(part);
    return this;
  }

  i8(value: number): this {
    return this.#put(1, (part) => part.writeInt8(value));
  }

  i16(value: number): this {
    return this.#put(2, (part) => part.writeInt16BE(value));
  }

  i32(value: number): this {
    return this.#put(4, (part) => part.writeInt32BE(value));
  }

  i64(value: bigint): this {
    return this.#put(8, (part) => part.writeBigInt64BE(value));
  }

  raw(bytes: Buffer): this {
    this.#parts.push(bytes);
    return this;
  }

  unsignedVarint(value: number): this {
    const bytes: number[] = [];
    let rest = value;
    while (rest >= varintContinues) {
      bytes.push((rest % varintContinues) | varintContinues);
      rest = Math.floor(rest / varintContinues);
    }
    bytes.push(rest);
    return this.raw(Buffer.from(bytes));
  }

  string(value: string | null, flexible: boolean): this {
    const bytes = value === null ? null : Buffer.from(value, 'utf8');
    const length = bytes === null ? -1 : bytes.length;
    if (flexible) this.unsignedVarint(length + 1);
    else this.i16(length);
    return bytes === null ? this : this.raw(bytes);
  }

  array(length: number, flexible: boolean): this {
    return flexible ? this.unsignedVarint(length + 1) : this.i32(length);
  }

  tags(flexible: boolean): this {
    return flexible ? this.unsignedVarint(0) : this;
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  /** The same with its length in front, as it goes to a socket. */
  frame(): Buffer {
    const body = this.bytes();
    const length = Buffer.alloc(frameLengthBytes);
    length.writeInt32BE(body.length);
    return Buffer.concat([length, body]);
  }
}

/** Cuts a byte stream into frames (without their length). */
export class FrameCutter {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const frames: Buffer[] = [];
    while (this.#rest.length >= frameLengthBytes) {
      const length = this.#rest.readInt32BE(0);
      if (length < 0 || length > frameBytesMax)
        throw new RangeError(`kafka wire: frame of ${length}`);
      if (this.#rest.length < frameLengthBytes + length) break;
      frames.push(this.#rest.subarray(frameLengthBytes, frameLengthBytes + length));
      this.#rest = this.#rest.subarray(frameLengthBytes + length);
    }
    return frames;
  }
}

const crcTable = Array.from({ length: 256 }, (_, index) => {
  let crc = index;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});

export function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ (crcTable[(crc ^ byte) & 0xff] ?? 0);
  return (crc ^ 0xffffffff) >>> 0;
}

export interface WireRecord {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

export interface WireBatch {
  readonly baseOffset: bigint;
  readonly lastOffsetDelta: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly crcHolds: boolean;
  readonly records: readonly WireRecord[];
}

/** Every whole batch in `bytes`; a fetch may end in a torn one, which is left out. */
export function decodeBatches(bytes: Buffer): WireBatch[] {
  const batches: WireBatch[] = [];
  let at = 0;
  while (at + batchHeaderBytes <= bytes.length) {
    const end = at + batchLengthEnd + bytes.readInt32BE(at + 8);
    if (end > bytes.length) break;
    batches.push(decodeBatch(bytes.subarray(at, end)));
    at = end;
  }
  return batches;
}

function decodeBatch(batch: Buffer): WireBatch {
  if (batch.readInt8(16) !== batchMagic) throw new RangeError('kafka wire: batch magic is not 2');
  const count = batch.readInt32BE(57);
  const packed = batch.subarray(batchHeaderBytes);
  const reader = new WireReader(inflate(packed, batch.readInt16BE(21) & compressionMask));
  const records: WireRecord[] = [];
  for (let i = 0; i < count; i++) {
    const end = reader.varint() + reader.at;
    reader.i8();
    reader.varint();
    reader.varint();
    const key = reader.varint();
    const keyBytes = key < 0 ? null : reader.take(key);
    const value = reader.varint();
    records.push({ key: keyBytes, value: value < 0 ? null : reader.take(value) });
    reader.at = end;
  }
  return {
    baseOffset: batch.readBigInt64BE(0),
    lastOffsetDelta: batch.readInt32BE(23),
    producerId: batch.readBigInt64BE(43),
    producerEpoch: batch.readInt16BE(51),
    baseSequence: batch.readInt32BE(53),
    crcHolds: crc32c(batch.subarray(21)) === batch.readUInt32BE(17),
    records,
  };
}

function inflate(packed: Buffer, compression: number): Buffer {
  const name = compressions[compression];
  if (name === 'none') return packed;
  if (name === 'gzip') return gunzipSync(packed);
  if (name === 'zstd') return zstdDecompressSync(packed);
  throw new RangeError(`kafka wire: compression ${name ?? compression} is not spoken here`);
}
