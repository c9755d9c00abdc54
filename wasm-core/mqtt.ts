/**
 * MQTT Control Packets: where one begins and ends, and what stands in a PUBLISH. Fields are left in
 * globals, as offsets into the memory; nothing is copied. A fault of the fixed header is found with
 * its last byte, however little of the packet has come; one that needs no length with its first.
 *
 * Refused: reserved types and flag bits, a Remaining Length of five bytes, of more than it needs or
 * that its type cannot have, packets of the wrong direction or at the wrong time, anything larger
 * than `maxPacket`. Who cannot say where his packet ends is not asked what it is.
 */
import {
  AUTHENTICATES, AUTH_PENDING, CAPTURE, DOWN, FIRST, aliasMaximum, flags, version,
} from './call';
import {
  FAULT_AUTH_EXPECTED,
  FAULT_AUTH_UNEXPECTED,
  FAULT_CONNECT_EXPECTED,
  FAULT_CONNECT_REPEATED,
  FAULT_DUP,
  FAULT_FIELD_LENGTH,
  FAULT_NONE,
  FAULT_PACKET_DIRECTION,
  FAULT_PACKET_FLAGS,
  FAULT_PACKET_IDENTIFIER,
  FAULT_PACKET_TOO_LARGE,
  FAULT_PACKET_TYPE,
  FAULT_QOS,
  FAULT_REMAINING_LENGTH,
  FAULT_TOPIC_ALIAS,
  FAULT_TOPIC_NAME_EMPTY,
  FAULT_TOPIC_NAME_WILDCARD,
  FAULT_UTF8,
} from './fault';
import { ALLOWED_PUBLISH, ALLOWED_PUBLISH_DOWN, EXPIRY_ABSENT } from './properties';
import { expirySeconds, lastFault, next, topicAlias } from './properties';
import { u16At, variableByte, walkProperties } from './properties';
import { TEXT_MALFORMED, TEXT_PLAIN, textClass } from './utf8';

export const CONNECT: i32 = 1;
export const CONNACK: i32 = 2;
export const PUBLISH: i32 = 3;
export const PUBACK: i32 = 4;
export const PUBREC: i32 = 5;
export const PUBREL: i32 = 6;
export const SUBSCRIBE: i32 = 8;
const SUBACK: i32 = 9;
export const UNSUBSCRIBE: i32 = 10;
const UNSUBACK: i32 = 11;
export const PINGREQ: i32 = 12;
const PINGRESP: i32 = 13;
export const DISCONNECT: i32 = 14;
export const AUTH: i32 = 15;
const VERSION_31: i32 = 3;
const VERSION_5: i32 = 5;

/** Packet types that carry a Packet Identifier as their first field, as bits. */
export const IDENTIFIED: i32 =
  (1 << PUBACK) | (1 << PUBREC) | (1 << PUBREL) | (1 << 7) | (1 << SUBSCRIBE) | (1 << SUBACK) |
  (1 << UNSUBSCRIBE) | (1 << UNSUBACK);
const FROM_SERVER_ONLY: i32 =
  (1 << CONNACK) | (1 << SUBACK) | (1 << UNSUBACK) | (1 << PINGRESP);
const FROM_CLIENT_ONLY: i32 =
  (1 << CONNECT) | (1 << SUBSCRIBE) | (1 << UNSUBSCRIBE) | (1 << PINGREQ);
/** These have 0010 in the reserved bits, the others 0000 [MQTT-2.1.3-1]. */
const FLAGS_TWO: i32 = (1 << PUBREL) | (1 << SUBSCRIBE) | (1 << UNSUBSCRIBE);
const WHILE_PENDING: i32 = (1 << AUTH) | (1 << DISCONNECT);
/** These are their fixed header and nothing else. */
const WITHOUT_BODY: i32 = (1 << PINGREQ) | (1 << PINGRESP);
const DUP: i32 = 8;

/** Of the last `measure`: end of the packet, or 0 when it is not whole yet; its first field. */
export let packetEnd: i32 = 0;
export let packetBody: i32 = 0;
/** Whole size of a packet that has not come whole; 0 while its length has not. */
export let packetNeeded: i32 = 0;

/** Of the last PUBLISH. */
export let topicNameAt: i32 = 0;
export let topicNameLength: i32 = 0;
export let packetIdentifier: i32 = 0;
export let propertiesAt: i32 = 0;
export let propertiesLength: i32 = 0;
export let payloadAt: i32 = 0;
export let publishAlias: i32 = 0;
export let publishExpiry: u32 = EXPIRY_ABSENT;

@inline
function publishFlagsFault(first: i32): i32 {
  const qos = (first >> 1) & 3;
  if (qos == 3) return FAULT_QOS; // [MQTT-3.3.1-4]
  return qos == 0 && (first & DUP) != 0 ? FAULT_DUP : FAULT_NONE; // [MQTT-3.3.1-2]
}

function reservedFault(first: i32): i32 {
  const two = (FLAGS_TWO & (1 << (first >> 4))) != 0;
  // 3.1, section 2.1: what is sent again may say so in these three as well.
  const bits = two && version == VERSION_31 ? first & 7 : first & 15;
  return bits == (two ? 2 : 0) ? FAULT_NONE : FAULT_PACKET_FLAGS; // [MQTT-2.1.3-1], [MQTT-2.2.2-2]
}

function firstByteFault(first: i32): i32 {
  const type = first >> 4;
  if (type == PUBLISH && (flags & (FIRST | AUTH_PENDING)) == 0) return publishFlagsFault(first);
  if (type == 0) return FAULT_PACKET_TYPE; // 2.1.2
  const bit = 1 << type;
  if ((flags & FIRST) != 0 && type != CONNECT) return FAULT_CONNECT_EXPECTED; // [MQTT-3.1.0-1]
  const pending = (flags & AUTH_PENDING) != 0 && (bit & WHILE_PENDING) == 0;
  if (pending) return FAULT_AUTH_EXPECTED; // [MQTT-3.1.2-30]
  const down = (flags & DOWN) != 0;
  if (type == AUTH && version != VERSION_5) return FAULT_PACKET_TYPE; // 3.1.1: table 2.1
  const uncalled = type == AUTH && !down && !(flags & AUTHENTICATES);
  if (uncalled) return FAULT_AUTH_UNEXPECTED; // [MQTT-4.12.0-7], whatever its flags
  const misplaced = (bit & (down ? FROM_CLIENT_ONLY : FROM_SERVER_ONLY)) != 0;
  if (misplaced && type == CONNACK) return FAULT_PACKET_DIRECTION; // whatever its flags
  // Those of a first CONNECT are a matter of its version: `readConnect` asks.
  const found = flags & FIRST ? FAULT_NONE : reservedFault(first);
  if (found != FAULT_NONE) return found;
  if (misplaced) return FAULT_PACKET_DIRECTION; // table 2-1
  return type == CONNECT && !(flags & FIRST) ? FAULT_CONNECT_REPEATED : FAULT_NONE; // -3.1.0-2
}

/** Finds the extent of the packet at `at`; `packetEnd` is 0 when it has not come whole. */
export function measure(at: i32, end: i32, maxPacket: i32): i32 {
  packetEnd = 0;
  packetNeeded = 0;
  const first = <i32>load<u8>(at);
  // Nothing was accepted yet, or no version knows such a packet: its length is not waited for.
  if (flags & FIRST || first < 0x10) {
    const found = firstByteFault(first);
    if (found != FAULT_NONE) return found;
  }
  let value = 0;
  let to = at + 1;
  for (let shift = 0; ; shift += 7) {
    if (shift == 28) return FAULT_REMAINING_LENGTH; // 2.1.4: four bytes at most
    if (to == end) return FAULT_NONE;
    const byte = <i32>load<u8>(to++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift != 0) return FAULT_REMAINING_LENGTH; // [MQTT-1.5.5-1], 2.2.3
      break;
    }
  }
  if (value != 0 && (WITHOUT_BODY & (1 << (first >> 4)))) return FAULT_REMAINING_LENGTH; // 3.12.1
  const found = firstByteFault(first);
  if (found != FAULT_NONE) return found;
  const whole = to - at + value;
  packetNeeded = whole;
  if (whole > maxPacket) {
    // What a broker says to a device is as large as it is: the host streams it.
    const streamed = (flags & (DOWN | CAPTURE)) == DOWN;
    return streamed ? FAULT_NONE : FAULT_PACKET_TOO_LARGE; // [MQTT-3.2.2-15]
  }
  packetBody = to;
  if (whole <= end - at) packetEnd = at + whole;
  return FAULT_NONE;
}

/** Places the properties that begin at `at`; `next` behind them. */
export function placeProperties(at: i32, end: i32, allowed: u64): i32 {
  const bytes = variableByte(at, end);
  if (bytes < 0) return lastFault();
  propertiesAt = next;
  propertiesLength = bytes;
  if (bytes > end - next) return FAULT_FIELD_LENGTH;
  return bytes == 0 ? FAULT_NONE : walkProperties(propertiesAt, propertiesAt + bytes, allowed);
}

/** The PUBLISH [packetBody, packetEnd) whose first byte is `first`. */
export function readPublish(first: i32): i32 {
  const down = (flags & DOWN) != 0;
  const end = packetEnd;
  let at = packetBody;
  if (end - at < 2) return FAULT_FIELD_LENGTH;
  topicNameLength = u16At(at);
  topicNameAt = at + 2;
  at = topicNameAt + topicNameLength;
  if (at > end) return FAULT_FIELD_LENGTH;
  const text = textClass(topicNameAt, topicNameLength);
  if (text == TEXT_MALFORMED) return FAULT_UTF8; // [MQTT-3.3.2-1]
  if (text != TEXT_PLAIN) return FAULT_TOPIC_NAME_WILDCARD; // [MQTT-3.3.2-2]
  packetIdentifier = 0;
  if (first & 6) {
    if (end - at < 2) return FAULT_FIELD_LENGTH;
    packetIdentifier = u16At(at);
    if (packetIdentifier == 0) return FAULT_PACKET_IDENTIFIER; // [MQTT-2.2.1-3]
    at += 2;
  }
  publishAlias = 0;
  publishExpiry = EXPIRY_ABSENT;
  propertiesAt = at;
  propertiesLength = 0;
  if (version == VERSION_5) {
    const found = placeProperties(at, end, down ? ALLOWED_PUBLISH_DOWN : ALLOWED_PUBLISH);
    if (found != FAULT_NONE) return found;
    at = propertiesAt + propertiesLength;
    if (propertiesLength != 0) {
      publishAlias = topicAlias;
      if (publishAlias > aliasMaximum && !down) return FAULT_TOPIC_ALIAS; // [MQTT-3.2.2-17]
      publishExpiry = expirySeconds;
    }
  }
  if (topicNameLength == 0 && publishAlias == 0) return FAULT_TOPIC_NAME_EMPTY; // [MQTT-4.7.3-1]
  payloadAt = at;
  return FAULT_NONE;
}

/** Packet Identifier of acknowledging and subscribing packets, 0 for types without; -1: fault. */
export function readIdentifier(first: i32): i32 {
  if (!(IDENTIFIED & (1 << (first >> 4)))) return 0;
  return packetEnd - packetBody < 2 ? -1 : u16At(packetBody);
}
