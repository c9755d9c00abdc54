/**
 * The descriptor row: how one is begun, and the numbers that stand in its verdict and its bits
 * (`agent/frames/core.ts` has them by name; a test compares the words).
 */
import {
  CHUNK_OFFSET, ROW_BYTES, ROW_END, ROW_FIRST_BYTE, ROW_LIMIT, ROW_PACKET_IDENTIFIER,
  ROW_PACKET_TYPE, ROW_ROUTE, ROW_START,
} from './layout';

export const PASS: i32 = 0;
export const ADMIT: i32 = 1;
export const DROP: i32 = 3;
export const BURY: i32 = 4;
/** QoS 2 whose Packet Identifier is captured and not released: neither stored nor rated again. */
export const REPEAT: i32 = 5;
/** The device may not publish to this Topic Name: neither captured nor passed. */
export const DENY: i32 = 6;

/** A copy goes to the broker. */
export const BIT_LOCAL: i32 = 1;
export const BIT_RETAIN: i32 = 2;
/** The Topic Name is not in this packet: its Topic Alias stood for it. */
export const BIT_ALIASED: i32 = 8;
/** CONNECT: it names an Authentication Method. */
export const BIT_AUTHENTICATES: i32 = 16;
/** CONNECT 5: its Session Expiry Interval is 0. */
export const BIT_SESSION_ENDS: i32 = 32;
export const QOS_SHIFT: i32 = 8;

@inline
export function put(row: i32, word: i32, value: i32): void {
  store<i32>(row + (word << 2), value);
}

/** The words that every packet has. PUBLISH fills all others itself. */
@inline
export function putPacket(row: i32, from: i32, end: i32, first: i32, identifier: i32): void {
  put(row, ROW_PACKET_TYPE, first >> 4);
  put(row, ROW_START, from - CHUNK_OFFSET);
  put(row, ROW_END, end - CHUNK_OFFSET);
  put(row, ROW_PACKET_IDENTIFIER, identifier);
  put(row, ROW_FIRST_BYTE, first);
}

/** A row whose other words are 0, with no route and no limit. */
export function beginRow(row: i32, from: i32, end: i32, first: i32, identifier: i32): void {
  for (let at = 0; at < ROW_BYTES; at += 8) store<u64>(row + at, 0);
  putPacket(row, from, end, first, identifier);
  put(row, ROW_ROUTE, -1);
  put(row, ROW_LIMIT, -1);
}
