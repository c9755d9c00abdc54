/**
 * One record batch of the Kafka log format, version 2, written straight from records.
 *
 *    0 int64  base offset           17 uint32 CRC32C of all that follows
 *    8 int32  length from here      21 int16  attributes: compression in bits 0–2
 *   12 int32  leader epoch (−1)     23 int32  last offset delta
 *   16 int8   magic (2)             27 int64  first timestamp, 35 int64 largest timestamp
 *   43 int64 producer id, 51 int16 producer epoch, 53 int32 first sequence, 57 int32 count
 *   61 records: varint length, then int8 attributes, varint timestamp delta, varint offset delta,
 *      varint key length (−1 none), key, varint value length, value, varint header count, and
 *      varint name length, name, varint value length, value of each header
 *
 * A batch is open (records are appended), then sealed: stamped with producer id and first sequence,
 * compressed, its CRC set. A sealed batch is sent again byte for byte until it is answered: the
 * broker knows a repeat by its sequence. Records stay uncompressed beside it until then, because a
 * batch that is refused as too large is halved.
 *
 * The library's own encoder makes some forty objects a record; this writes each byte once.
 */

import { spareBufferBytes } from '../bounds.ts';
import {
  encodeHeaders,
  varintBytes,
  writeHeaders,
  writeVarint,
  zigzagVarintAt,
} from './kafka-varint.ts';
import type { EgressRecord } from './record.ts';
import { SpareBuffers } from './spare-buffers.ts';
import type { WindowSegment } from './window.ts';

export const batchHeaderBytes = 61;
const firstBufferBytes = 8 * 1024;
const crcAt = 17;
const attributesAt = 21;
const countBytesLeastLength = 2;
/** Varints and framing of one record and its headers, at most. */
const recordOverheadBytes = 64;
const headerOverheadBytes = 10;
const utf8BytesPerUnit = 3;
const noLeaderEpoch = -1;
const magic = 2;

export interface ProducerIdentity {
  readonly producerId: bigint;
  readonly epoch: number;
}

export interface BatchCodec {
  readonly bits: number;
  /** null: leave the records as they are */
  compress(records: Uint8Array): Uint8Array | null;
  crc32c(bytes: Uint8Array): number;
}

/** Bytes a record may take in a batch: an upper bound, cheap to know. */
export function recordBytesAtMost(record: EgressRecord): number {
  const { place, value, key } = record;
  place.encodedHeaders ??= encodeHeaders(place.headers);
  let bytes = recordOverheadBytes + place.encodedHeaders.length + value.length + (key?.length ?? 0);
  for (const [name, text] of record.headers) {
    bytes += headerOverheadBytes + (name.length + text.length) * utf8BytesPerUnit;
  }
  return bytes;
}

/** This thread's. */
const spare = new SpareBuffers(spareBufferBytes);
const gone = Buffer.alloc(0);

export class RecordBatch {
  readonly segments: WindowSegment[] = [];
  readonly frames: number[] = [];
  #buffer: Buffer;
  #end = batchHeaderBytes;
  #firstMs = 0;
  #largestMs = 0;
  /** What goes over the wire once sealed. */
  #wire: Uint8Array | null = null;

  constructor(sizeHint = firstBufferBytes) {
    this.#buffer = spare.take(Math.max(firstBufferBytes, sizeHint));
  }

  get count(): number {
    return this.frames.length;
  }

  /** Uncompressed, with the header. */
  get bytes(): number {
    return this.#end;
  }

  get wire(): Uint8Array {
    if (this.#wire === null) throw new RangeError('a batch is sent only once sealed');
    return this.#wire;
  }

  get sealed(): boolean {
    return this.#wire !== null;
  }

  append(record: EgressRecord, atMost = recordBytesAtMost(record)): void {
    if (this.#wire !== null) throw new RangeError('a sealed batch takes no record');
    this.#reserve(atMost);
    const offset = this.frames.length;
    if (offset === 0) this.#firstMs = record.timestampMs;
    if (offset === 0 || record.timestampMs > this.#largestMs) this.#largestMs = record.timestampMs;
    const buffer = this.#buffer;
    const start = this.#end;
    const body = start + countBytesLeastLength;
    let at = body;
    buffer[at++] = 0;
    at = writeVarint(buffer, at, record.timestampMs - this.#firstMs);
    at = writeVarint(buffer, at, offset);
    if (record.key === null) at = writeVarint(buffer, at, -1);
    else {
      at = writeVarint(buffer, at, record.key.length);
      buffer.set(record.key, at);
      at += record.key.length;
    }
    at = writeVarint(buffer, at, record.value.length);
    buffer.set(record.value, at);
    at += record.value.length;
    const fixed = record.place.encodedHeaders as Uint8Array;
    at = writeVarint(buffer, at, record.place.headers.length + record.headers.length);
    buffer.set(fixed, at);
    at += fixed.length;
    at = writeHeaders(buffer, at, record.headers);
    this.#end = this.#prependLength(start, body, at);
    this.segments.push(record.segment);
    this.frames.push(record.frame);
  }

  /** The length stands before what it measures; two bytes were left for it, most often enough. */
  #prependLength(start: number, body: number, end: number): number {
    const length = end - body;
    const bytes = varintBytes(length);
    if (bytes !== body - start) this.#buffer.copyWithin(start + bytes, body, end);
    writeVarint(this.#buffer, start, length);
    return start + bytes + length;
  }

  #reserve(bytes: number): void {
    if (this.#end + bytes <= this.#buffer.length) return;
    const grown = spare.take(Math.max(this.#buffer.length * 2, this.#end + bytes));
    this.#buffer.copy(grown, 0, 0, this.#end);
    spare.give(this.#buffer);
    this.#buffer = grown;
  }

  /** Makes it ready for the wire under this identity; again after the identity was renewed. */
  seal(identity: ProducerIdentity, firstSequence: number, codec: BatchCodec): void {
    const records = this.#buffer.subarray(batchHeaderBytes, this.#end);
    const packed = codec.compress(records);
    const body = packed ?? records;
    const wire =
      packed === null
        ? this.#buffer.subarray(0, this.#end)
        : Buffer.allocUnsafeSlow(batchHeaderBytes + packed.length);
    if (packed !== null) wire.set(body, batchHeaderBytes);
    let at = wire.writeBigInt64BE(0n, 0);
    at = wire.writeInt32BE(wire.length - 12, at);
    at = wire.writeInt32BE(noLeaderEpoch, at);
    at = wire.writeInt8(magic, at);
    at = wire.writeInt16BE(packed === null ? 0 : codec.bits, attributesAt);
    at = wire.writeInt32BE(this.count - 1, at);
    at = wire.writeBigInt64BE(BigInt(Math.trunc(this.#firstMs)), at);
    at = wire.writeBigInt64BE(BigInt(Math.trunc(this.#largestMs)), at);
    at = wire.writeBigInt64BE(identity.producerId, at);
    at = wire.writeInt16BE(identity.epoch, at);
    at = wire.writeInt32BE(firstSequence, at);
    wire.writeInt32BE(this.count, at);
    wire.writeUInt32BE(codec.crc32c(wire.subarray(attributesAt)), crcAt);
    this.#wire = wire;
  }

  /** It was answered for good: its buffer may serve another batch. */
  release(): void {
    const buffer = this.#buffer;
    this.#buffer = gone;
    this.#wire = null;
    if (buffer !== gone) spare.give(buffer);
  }

  /** Two open batches with the same records in the same order; only of more than one record. */
  halve(): [RecordBatch, RecordBatch] {
    if (this.count < 2) throw new RangeError('a batch of one record has no halves');
    const middle = this.count >> 1;
    const left = new RecordBatch(this.#end >> 1);
    const right = new RecordBatch(this.#end >> 1);
    let at = batchHeaderBytes;
    for (let i = 0; i < this.count; i++) {
      at = (i < middle ? left : right).#adopt(this, at, i);
    }
    return [left, right];
  }

  /** Takes over one record of another batch: its deltas change, the rest is copied. */
  #adopt(from: RecordBatch, at: number, index: number): number {
    const length = zigzagVarintAt(from.#buffer, at);
    const body = at + varintBytes(length);
    const delta = zigzagVarintAt(from.#buffer, body + 1);
    const offset = body + 1 + varintBytes(delta);
    const rest = offset + varintBytes(zigzagVarintAt(from.#buffer, offset));
    const end = body + length;
    const timestampMs = from.#firstMs + delta;
    if (this.count === 0) this.#firstMs = timestampMs;
    if (this.count === 0 || timestampMs > this.#largestMs) this.#largestMs = timestampMs;
    this.#reserve(length + recordOverheadBytes);
    const start = this.#end;
    const own = start + countBytesLeastLength;
    let to = own;
    this.#buffer[to++] = 0;
    to = writeVarint(this.#buffer, to, timestampMs - this.#firstMs);
    to = writeVarint(this.#buffer, to, this.count);
    this.#buffer.set(from.#buffer.subarray(rest, end), to);
    this.#end = this.#prependLength(start, own, to + (end - rest));
    this.segments.push(from.segments[index] as WindowSegment);
    this.frames.push(from.frames[index] as number);
    return end;
  }
}
