/**
 * The open segment, its seal and its check. All numbers little endian.
 *
 *   header, 64: magic u32 | layoutVersion u16 | flags u16 | bodyBytes u32 | crc32c u32
 *               | epoch 2×u32 | sequence f64 | firstFrame f64 | frames u32 | reserved u32
 *               | createdMs f64 | livedMs f64
 *   frame, 64 + bytes: frameBytes u32 | routeId u32 | protocol u8 | qos, retain<<2, dup<<3 u8
 *               | bury reason u8 | flags u8 | arrivalMs f64 | livedMs f64 | expirySeconds u32
 *               | deviceBytes u16 | topicNameBytes u16 | propertiesBytes u32 | payloadBytes u32
 *               | keyBytes u16 | eventIdBytes u16 | traceBytes u16 | clientBytes u16
 *               | partition i32 | timestampMs f64 (0 none), then device, topicName, properties,
 *               payload, key, eventId, trace, client
 *
 * The checksum covers the whole body with its own field zero. `verify` also walks the frames: a
 * reader may then trust every length. Frames are written where they stay; sealing writes the header
 * and one pass of CRC32C.
 */
import { COUNTS_BYTES, COUNTS_OFFSET, SEGMENT_BYTES, SEGMENT_OFFSET } from './layout';
import { crc32cFrom } from './crc32c';
import {
  FAULT_NONE,
  FAULT_SEGMENT_CHECKSUM,
  FAULT_SEGMENT_FLAGS,
  FAULT_SEGMENT_FRAMES,
  FAULT_SEGMENT_LENGTH,
  FAULT_SEGMENT_MAGIC,
  FAULT_SEGMENT_VERSION,
} from './fault';

const MAGIC: u32 = 0x31534754; // 'TGS1'
const LAYOUT_VERSION: u16 = 1;
const HEADER_BYTES: i32 = 64;
const CRC_AT: i32 = 12;
export const FRAME_FIXED_BYTES: i32 = 64;
/** In the four lengths at 44: key, event id, trace, client. */
const EVENT_ID_BYTES_SHIFT: u64 = 16;
const CLIENT_BYTES_SHIFT: u64 = 48;

export const PROTOCOL_MQTT: u8 = 1;
export const PROTOCOL_NATS: u8 = 2;
export const PROTOCOL_HTTP: u8 = 3;
export const EXPIRY_NONE: u32 = 0xffffffff;
export const BURY_NONE: i32 = 0;
export const BURY_LIMIT: i32 = 1;
export const BURY_PAYLOAD_TOO_LARGE: i32 = 2;
export const FRAME_CLOCK_UNSYNCED: i32 = 1;
export const FRAME_PROPERTIES: i32 = 2;

let used: i32 = HEADER_BYTES;
let frames: i32 = 0;

export function segmentFrames(): i32 {
  return frames;
}

export function segmentBytes(): i32 {
  return used;
}

export function segmentReset(): void {
  used = HEADER_BYTES;
  frames = 0;
  memory.fill(COUNTS_OFFSET, 0, COUNTS_BYTES);
}

export function segmentFits(bytes: i32): bool {
  return used + bytes <= SEGMENT_BYTES;
}

/** Short runs eight bytes at a time, over into the slack; a call of memory.copy costs more. */
@inline
function put(to: i32, from: i32, bytes: i32): i32 {
  if (bytes > 192) {
    memory.copy(to, from, bytes);
  } else {
    for (let i = 0; i < bytes; i += 8) store<u64>(to + i, load<u64>(from + i));
  }
  return to + bytes;
}

/** The caller asked `segmentFits(FRAME_FIXED_BYTES + all bytes)` before. */
export function appendFrame(
  protocol: u8, routeIndex: i32, routeId: u32, firstByte: i32, reason: i32, flags: i32,
  arrivalMs: f64, livedMs: f64, expirySeconds: u32,
  device: i32, deviceBytes: i32, topicName: i32, topicNameBytes: i32,
  properties: i32, propertiesBytes: i32, payload: i32, payloadBytes: i32,
  key: i32, keyBytes: i32, eventId: i32, eventIdBytes: i32, client: i32, clientBytes: i32,
  partition: i32, timestampMs: f64,
): void {
  const at = SEGMENT_OFFSET + used;
  const named = deviceBytes + topicNameBytes + clientBytes + eventIdBytes + keyBytes;
  store<u32>(at, FRAME_FIXED_BYTES + named + propertiesBytes + payloadBytes);
  store<u32>(at, routeId, 4);
  store<u8>(at, protocol, 8);
  // First byte: DUP 8, QoS 6, RETAIN 1.
  store<u8>(at, ((firstByte >> 1) & 3) | ((firstByte & 1) << 2) | (firstByte & 8), 9);
  store<u8>(at, reason, 10);
  store<u8>(at, flags, 11);
  store<f64>(at, arrivalMs, 12);
  store<f64>(at, livedMs, 20);
  store<u32>(at, expirySeconds, 28);
  store<u16>(at, deviceBytes, 32);
  store<u16>(at, topicNameBytes, 34);
  store<u32>(at, propertiesBytes, 36);
  store<u32>(at, payloadBytes, 40);
  // Key and event id are filled by other protocols; client where it is not the device.
  store<u64>(
    at,
    ((<u64>clientBytes) << CLIENT_BYTES_SHIFT) | ((<u64>eventIdBytes) << EVENT_ID_BYTES_SHIFT) |
      <u64>keyBytes,
    44,
  );
  store<i32>(at, partition, 52);
  store<f64>(at, timestampMs, 56);
  let to = put(at + FRAME_FIXED_BYTES, device, deviceBytes);
  to = put(to, topicName, topicNameBytes);
  to = put(to, properties, propertiesBytes);
  to = put(to, payload, payloadBytes);
  if (keyBytes > 0) to = put(to, key, keyBytes);
  if (eventIdBytes > 0) to = put(to, eventId, eventIdBytes);
  if (clientBytes > 0) to = put(to, client, clientBytes);
  used = to - SEGMENT_OFFSET;
  frames++;
  const count = COUNTS_OFFSET + (routeIndex << 2);
  store<u32>(count, load<u32>(count) + 1);
}

/** @returns length of the body at SEGMENT_OFFSET; the segment stays open until `segmentReset` */
export function seal(
  epochLow: u32, epochHigh: u32, sequence: f64, firstFrame: f64, createdMs: f64, livedMs: f64,
): i32 {
  const at = SEGMENT_OFFSET;
  store<u32>(at, MAGIC);
  store<u16>(at, LAYOUT_VERSION, 4);
  store<u16>(at, 0, 6);
  store<u32>(at, used, 8);
  store<u32>(at, 0, CRC_AT);
  store<u32>(at, epochLow, 16);
  store<u32>(at, epochHigh, 20);
  store<f64>(at, sequence, 24);
  store<f64>(at, firstFrame, 32);
  store<u32>(at, frames, 40);
  store<u32>(at, 0, 44);
  store<f64>(at, createdMs, 48);
  store<f64>(at, livedMs, 56);
  store<u32>(at, crc32cFrom(0, at, used), CRC_AT);
  return used;
}

/** Walks the frames of a body whose length is known: they fill it exactly, each its own lengths. */
function framesHold(bytes: i32, count: u32): bool {
  let at = SEGMENT_OFFSET + HEADER_BYTES;
  const end = SEGMENT_OFFSET + bytes;
  let seen: u32 = 0;
  while (at < end) {
    if (end - at < FRAME_FIXED_BYTES) return false;
    const whole: u64 = load<u32>(at);
    const parts: u64 =
      <u64>FRAME_FIXED_BYTES + load<u16>(at, 32) + load<u16>(at, 34) +
      <u64>load<u32>(at, 36) + <u64>load<u32>(at, 40) +
      load<u16>(at, 44) + load<u16>(at, 46) + load<u16>(at, 48) + load<u16>(at, 50);
    if (whole != parts || whole > <u64>(end - at)) return false;
    at += <i32>whole;
    seen++;
  }
  return seen == count;
}

/** A body of `bytes` lies at SEGMENT_OFFSET (this instance must not have frames open there). */
export function verify(bytes: i32): i32 {
  const at = SEGMENT_OFFSET;
  if (bytes < HEADER_BYTES || bytes > SEGMENT_BYTES) return FAULT_SEGMENT_LENGTH;
  if (load<u32>(at) != MAGIC) return FAULT_SEGMENT_MAGIC;
  if (load<u16>(at, 4) != LAYOUT_VERSION) return FAULT_SEGMENT_VERSION;
  if (load<u32>(at, 8) != <u32>bytes) return FAULT_SEGMENT_LENGTH;
  const stored = load<u32>(at, CRC_AT);
  store<u32>(at, 0, CRC_AT);
  const computed = crc32cFrom(0, at, bytes);
  store<u32>(at, stored, CRC_AT);
  if (stored != computed) return FAULT_SEGMENT_CHECKSUM;
  if (load<u16>(at, 6) != 0) return FAULT_SEGMENT_FLAGS;
  return framesHold(bytes, load<u32>(at, 40)) ? FAULT_NONE : FAULT_SEGMENT_FRAMES;
}
