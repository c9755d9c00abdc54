/**
 * Packet Identifiers of QoS 2 that are captured and not released, one bit each: what comes under
 * one of them again is the same message [MQTT-4.3.3-10]. The host keeps them by Client Identifier
 * and lists them in SEEN; the bits stand for the length of one call.
 *
 * States of a bit: clear → set at the beginning by the list, or by a capture in this call → clear
 * by PUBREL [MQTT-4.3.3-12], or at the end. Both ends cost what the list and this call's rows cost,
 * never 65,536; a call without QoS 2 costs nothing.
 */
import {
  ROW_BYTES, ROW_PACKET_IDENTIFIER, ROW_PACKET_TYPE, SEEN_BITS_OFFSET, SEEN_OFFSET, TABLE_OFFSET,
} from './layout';
import { PUBLISH } from './mqtt';

let listed: i32 = 0;
let remembered: bool = false;

@inline
function byteOf(identifier: i32): i32 {
  return SEEN_BITS_OFFSET + (identifier >> 3);
}

@inline
function listedAt(index: i32): i32 {
  return <i32>load<u16>(SEEN_OFFSET + (index << 1));
}

@inline
function bitOf(identifier: i32): u8 {
  return <u8>(<i32>1 << (identifier & 7));
}

@inline
function set(identifier: i32): void {
  const at = byteOf(identifier);
  store<u8>(at, load<u8>(at) | bitOf(identifier));
}

export function beginSeen(count: i32): void {
  listed = count;
  remembered = false;
  for (let i = 0; i < count; i++) set(listedAt(i));
}

export function seen(identifier: i32): bool {
  return (load<u8>(byteOf(identifier)) & bitOf(identifier)) != 0;
}

export function remember(identifier: i32): void {
  remembered = true;
  set(identifier);
}

export function release(identifier: i32): void {
  const at = byteOf(identifier);
  store<u8>(at, load<u8>(at) & ~bitOf(identifier));
}

/** Every bit is clear again: those of the list, and those of this call's rows. */
export function endSeen(rows: i32): void {
  for (let i = 0; i < listed; i++) store<u8>(byteOf(listedAt(i)), 0);
  if (!remembered) return;
  for (let i = 0; i < rows; i++) {
    const row = TABLE_OFFSET + i * ROW_BYTES;
    if (load<i32>(row + (ROW_PACKET_TYPE << 2)) != PUBLISH) continue;
    store<u8>(byteOf(load<i32>(row + (ROW_PACKET_IDENTIFIER << 2))), 0);
  }
}
