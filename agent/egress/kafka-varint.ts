/**
 * Zigzag varints of the Kafka record format (protobuf's sint64) and the header fields made of them.
 * Numbers are JavaScript's, exact to ±2^52: a timestamp delta across a clock that jumped from 1970
 * fits, and no BigInt is made per record.
 */
import type { Header } from './envelope.ts';

const continuation = 0x80;
const sevenBits = 0x7f;
const step = 128;
/** Below this a value's zigzag fits 31 bits, so that shifts are safe. */
const shiftSafe = 0x3fffffff;
const utf8BytesPerUnit = 3;
/** Header texts of up to this many units are copied here when they are ASCII. */
const shortText = 96;
const asciiEnd = 0x80;

const zigzag = (value: number): number => (value >= 0 ? value * 2 : -value * 2 - 1);

export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = zigzag(value); rest >= step; rest = Math.floor(rest / step)) bytes += 1;
  return bytes;
}

/** @returns the index after the last byte written */
export function writeVarint(buffer: Uint8Array, start: number, value: number): number {
  let at = start;
  if (value > -shiftSafe && value < shiftSafe) {
    let rest = (value << 1) ^ (value >> 31);
    while (rest >= step) {
      buffer[at++] = (rest & sevenBits) | continuation;
      rest >>>= 7;
    }
    buffer[at++] = rest;
    return at;
  }
  let rest = zigzag(value);
  while (rest >= step) {
    buffer[at++] = (rest % step) + continuation;
    rest = Math.floor(rest / step);
  }
  buffer[at++] = rest;
  return at;
}

export function zigzagVarintAt(buffer: Uint8Array, start: number): number {
  let value = 0;
  let scale = 1;
  for (let at = start; ; at++) {
    const byte = buffer[at] as number;
    value += (byte & sevenBits) * scale;
    if ((byte & continuation) === 0) break;
    scale *= step;
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}

function writeText(buffer: Buffer, start: number, text: string): number {
  const length = text.length;
  if (length <= shortText) {
    // ASCII, nearly always: its length in bytes is its length, and no call leaves JavaScript.
    let at = writeVarint(buffer, start, length);
    let i = 0;
    for (; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit >= asciiEnd) break;
      buffer[at++] = unit;
    }
    if (i === length) return at;
  }
  const bytes = Buffer.byteLength(text);
  const at = writeVarint(buffer, start, bytes);
  return at + buffer.write(text, at, bytes, 'utf8');
}

function writeRaw(buffer: Buffer, start: number, bytes: Uint8Array): number {
  const at = writeVarint(buffer, start, bytes.length);
  buffer.set(bytes, at);
  return at + bytes.length;
}

/** Name and value of each, without their count. @returns the index after the last byte */
export function writeHeaders(buffer: Buffer, start: number, headers: readonly Header[]): number {
  let at = start;
  for (const [name, value] of headers) {
    at = writeText(buffer, at, name);
    at = typeof value === 'string' ? writeText(buffer, at, value) : writeRaw(buffer, at, value);
  }
  return at;
}

export function encodeHeaders(headers: readonly Header[]): Uint8Array {
  let units = 0;
  for (const [name, value] of headers) units += name.length + value.length + 2 * 4;
  const buffer = Buffer.alloc(units * utf8BytesPerUnit);
  return Buffer.from(buffer.subarray(0, writeHeaders(buffer, 0, headers)));
}
