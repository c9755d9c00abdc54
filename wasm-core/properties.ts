/**
 * MQTT 5 properties [MQTT-2.2.2]: a walk that knows each property's type, takes only those its
 * packet allows, each once but User Property, and never reads past the length it was given. What
 * the agent itself needs (Topic Alias, Message Expiry Interval) is left in globals; everything else
 * travels as bytes and is decoded by whoever wants it.
 */
import {
  FAULT_FIELD_LENGTH,
  FAULT_NONE,
  FAULT_PROPERTY_LENGTH,
  FAULT_PROPERTY_NOT_ALLOWED,
  FAULT_PROPERTY_REPEATED,
  FAULT_PROPERTY_UNKNOWN,
  FAULT_PROPERTY_VALUE,
  FAULT_RESPONSE_TOPIC,
  FAULT_SUBSCRIPTION_IDENTIFIER,
  FAULT_TOPIC_ALIAS,
  FAULT_UTF8,
} from './fault';
import { TEXT_MALFORMED, TEXT_PLAIN, textClass } from './utf8';

const PAYLOAD_FORMAT: i32 = 0x01;
const MESSAGE_EXPIRY: i32 = 0x02;
const CONTENT_TYPE: i32 = 0x03;
const RESPONSE_TOPIC: i32 = 0x08;
const CORRELATION: i32 = 0x09;
const SUBSCRIPTION_IDENTIFIER: i32 = 0x0b;
const SESSION_EXPIRY: i32 = 0x11;
const ASSIGNED_CLIENT: i32 = 0x12;
const SERVER_KEEP_ALIVE: i32 = 0x13;
const AUTH_METHOD: i32 = 0x15;
const AUTH_BYTES: i32 = 0x16;
const REQUEST_PROBLEM: i32 = 0x17;
const WILL_DELAY: i32 = 0x18;
const REQUEST_RESPONSE: i32 = 0x19;
const RESPONSE_INFORMATION: i32 = 0x1a;
const SERVER_REFERENCE: i32 = 0x1c;
const REASON_STRING: i32 = 0x1f;
const RECEIVE_MAXIMUM: i32 = 0x21;
const TOPIC_ALIAS_MAXIMUM: i32 = 0x22;
const TOPIC_ALIAS: i32 = 0x23;
const MAXIMUM_QOS: i32 = 0x24;
const RETAIN_AVAILABLE: i32 = 0x25;
const USER_PROPERTY: i32 = 0x26;
const MAXIMUM_PACKET: i32 = 0x27;
const WILDCARD_AVAILABLE: i32 = 0x28;
const IDENTIFIERS_AVAILABLE: i32 = 0x29;
const SHARED_AVAILABLE: i32 = 0x2a;
const IDENTIFIERS_END: i32 = 0x2b;

@inline
function one(id: i32): u64 {
  return (<u64>1) << id;
}

export const ALLOWED_PUBLISH: u64 =
  one(PAYLOAD_FORMAT) | one(MESSAGE_EXPIRY) | one(CONTENT_TYPE) | one(RESPONSE_TOPIC) |
  one(CORRELATION) | one(TOPIC_ALIAS) | one(USER_PROPERTY);
/** Beside the identifiers: the Subscription Identifier may stand more than once. */
const IDENTIFIERS_REPEAT: u64 = (<u64>1) << 63;
export const ALLOWED_PUBLISH_DOWN: u64 =
  ALLOWED_PUBLISH | one(SUBSCRIPTION_IDENTIFIER) | IDENTIFIERS_REPEAT;
export const ALLOWED_WILL: u64 =
  one(PAYLOAD_FORMAT) | one(MESSAGE_EXPIRY) | one(CONTENT_TYPE) | one(RESPONSE_TOPIC) |
  one(CORRELATION) | one(WILL_DELAY) | one(USER_PROPERTY);
export const ALLOWED_CONNECT: u64 =
  one(SESSION_EXPIRY) | one(RECEIVE_MAXIMUM) | one(MAXIMUM_PACKET) | one(TOPIC_ALIAS_MAXIMUM) |
  one(REQUEST_RESPONSE) | one(REQUEST_PROBLEM) | one(USER_PROPERTY) | one(AUTH_METHOD) |
  one(AUTH_BYTES);
export const ALLOWED_CONNACK: u64 =
  one(SESSION_EXPIRY) | one(RECEIVE_MAXIMUM) | one(MAXIMUM_QOS) | one(RETAIN_AVAILABLE) |
  one(MAXIMUM_PACKET) | one(ASSIGNED_CLIENT) | one(TOPIC_ALIAS_MAXIMUM) | one(REASON_STRING) |
  one(USER_PROPERTY) | one(WILDCARD_AVAILABLE) | one(IDENTIFIERS_AVAILABLE) |
  one(SHARED_AVAILABLE) | one(SERVER_KEEP_ALIVE) | one(RESPONSE_INFORMATION) |
  one(SERVER_REFERENCE) | one(AUTH_METHOD) | one(AUTH_BYTES);
export const ALLOWED_ACKNOWLEDGING: u64 = one(REASON_STRING) | one(USER_PROPERTY);
export const ALLOWED_SUBSCRIBE: u64 = one(SUBSCRIPTION_IDENTIFIER) | one(USER_PROPERTY);
export const ALLOWED_UNSUBSCRIBE: u64 = one(USER_PROPERTY);
export const ALLOWED_DISCONNECT: u64 =
  one(SESSION_EXPIRY) | one(REASON_STRING) | one(USER_PROPERTY) | one(SERVER_REFERENCE);
export const ALLOWED_AUTH: u64 =
  one(AUTH_METHOD) | one(AUTH_BYTES) | one(REASON_STRING) | one(USER_PROPERTY);
/** Every property there is, table 2-4. */
const KNOWN: u64 =
  ALLOWED_PUBLISH | ALLOWED_WILL | ALLOWED_CONNECT | ALLOWED_CONNACK | ALLOWED_SUBSCRIBE;

export const EXPIRY_ABSENT: u32 = 0xffffffff;

/** Of the last walk. 0 and EXPIRY_ABSENT when the property was not there. */
export let sessionExpiry: u32 = 0;
export let topicAlias: i32 = 0;
export let expirySeconds: u32 = EXPIRY_ABSENT;
/** An Authentication Method was there. */
export let authMethod: bool = false;

/** Behind the last integer read; the value itself. */
export let next: i32 = 0;
let fault: i32 = FAULT_NONE;

@inline
export function u16At(at: i32): i32 {
  return <i32>bswap<u16>(load<u16>(at));
}

/** Variable Byte Integer [MQTT-1.5.5]: at most four bytes, no more than needed. -1: fault set. */
export function variableByte(at: i32, end: i32): i32 {
  let value = 0;
  for (let shift = 0; shift < 28; shift += 7) {
    if (at >= end) {
      fault = FAULT_FIELD_LENGTH;
      return -1;
    }
    const byte = <i32>load<u8>(at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift != 0) break; // [MQTT-1.5.5-1]
      next = at;
      return value;
    }
  }
  fault = FAULT_PROPERTY_LENGTH;
  return -1;
}

export function lastFault(): i32 {
  return fault;
}

/** Places `next` behind a length-prefixed string or binary; its fault if it passes the end. */
@inline
function skipBytes(at: i32, end: i32): i32 {
  if (at + 2 > end) return FAULT_PROPERTY_LENGTH;
  const after = at + 2 + u16At(at);
  if (after > end) return FAULT_PROPERTY_LENGTH;
  next = after;
  return FAULT_NONE;
}

function skipText(at: i32, end: i32): i32 {
  const found = skipBytes(at, end);
  if (found != FAULT_NONE) return found;
  return textClass(at + 2, next - at - 2) == TEXT_MALFORMED ? FAULT_UTF8 : FAULT_NONE;
}

function skipTopicName(at: i32, end: i32): i32 {
  const found = skipText(at, end);
  if (found != FAULT_NONE) return found;
  if (next == at + 2) return FAULT_RESPONSE_TOPIC; // [MQTT-4.7.3-1]
  // [MQTT-3.3.2-14]
  return textClass(at + 2, next - at - 2) == TEXT_PLAIN ? FAULT_NONE : FAULT_RESPONSE_TOPIC;
}

@inline
function skipFlag(at: i32, end: i32): i32 {
  if (at + 1 > end) return FAULT_PROPERTY_LENGTH;
  next = at + 1;
  return load<u8>(at) > 1 ? FAULT_PROPERTY_VALUE : FAULT_NONE;
}

function skipU16(id: i32, at: i32, end: i32): i32 {
  if (at + 2 > end) return FAULT_PROPERTY_LENGTH;
  next = at + 2;
  const value = u16At(at);
  if (id == TOPIC_ALIAS) {
    topicAlias = value;
    return value == 0 ? FAULT_TOPIC_ALIAS : FAULT_NONE; // [MQTT-3.3.2-8]
  }
  return id == RECEIVE_MAXIMUM && value == 0 ? FAULT_PROPERTY_VALUE : FAULT_NONE; // 3.1.2.11.3
}

function skipU32(id: i32, at: i32, end: i32): i32 {
  if (at + 4 > end) return FAULT_PROPERTY_LENGTH;
  next = at + 4;
  const value = bswap<u32>(load<u32>(at));
  if (id == MESSAGE_EXPIRY) expirySeconds = value;
  if (id == SESSION_EXPIRY) sessionExpiry = value;
  return id == MAXIMUM_PACKET && value == 0 ? FAULT_PROPERTY_VALUE : FAULT_NONE; // 3.1.2.11.4
}

/** The value of property `id`, by its type; `next` behind it. */
function skipValue(id: i32, at: i32, end: i32): i32 {
  switch (id) {
    case PAYLOAD_FORMAT:
    case REQUEST_PROBLEM:
    case REQUEST_RESPONSE:
    case MAXIMUM_QOS:
    case RETAIN_AVAILABLE:
    case WILDCARD_AVAILABLE:
    case IDENTIFIERS_AVAILABLE:
    case SHARED_AVAILABLE:
      return skipFlag(at, end);
    case SERVER_KEEP_ALIVE:
    case RECEIVE_MAXIMUM:
    case TOPIC_ALIAS_MAXIMUM:
    case TOPIC_ALIAS:
      return skipU16(id, at, end);
    case MESSAGE_EXPIRY:
    case SESSION_EXPIRY:
    case WILL_DELAY:
    case MAXIMUM_PACKET:
      return skipU32(id, at, end);
    case SUBSCRIPTION_IDENTIFIER:
      if (variableByte(at, end) < 0) return fault;
      return next == at + 1 && load<u8>(at) == 0 ? FAULT_PROPERTY_VALUE : FAULT_NONE; // 3.8.2.1.2
    case CORRELATION:
    case AUTH_BYTES:
      return skipBytes(at, end);
    case RESPONSE_TOPIC:
      return skipTopicName(at, end);
    case USER_PROPERTY: {
      const found = skipText(at, end);
      return found != FAULT_NONE ? found : skipText(next, end);
    }
    default:
      return skipText(at, end); // every other known one is a string
  }
}

function notAllowed(id: i32, allowed: u64): i32 {
  // [MQTT-3.3.4-6], else 2.2.2.2
  return id == SUBSCRIPTION_IDENTIFIER && allowed == ALLOWED_PUBLISH
    ? FAULT_SUBSCRIPTION_IDENTIFIER
    : FAULT_PROPERTY_NOT_ALLOWED;
}

/** Walks the properties in [at, end). @param allowed one bit per identifier */
export function walkProperties(at: i32, end: i32, allowed: u64): i32 {
  topicAlias = 0;
  expirySeconds = EXPIRY_ABSENT;
  sessionExpiry = 0;
  const repeats = allowed & IDENTIFIERS_REPEAT ? one(SUBSCRIPTION_IDENTIFIER) : 0;
  const once = ~(one(USER_PROPERTY) | repeats);
  let seen: u64 = 0;
  while (at < end) {
    const id = <i32>load<u8>(at);
    const bit = id < IDENTIFIERS_END ? one(id) : 0;
    if ((KNOWN & bit) == 0) return FAULT_PROPERTY_UNKNOWN; // 2.2.2.2
    const found = skipValue(id, at + 1, end);
    if (found != FAULT_NONE) return found;
    if ((allowed & bit) == 0) return notAllowed(id, allowed);
    if (seen & bit & once) return FAULT_PROPERTY_REPEATED; // "more than once", at each property
    seen |= bit;
    at = next;
  }
  authMethod = (seen & one(AUTH_METHOD)) != 0;
  // 3.1.2.11.10: Authentication Data needs its Method.
  return seen & one(AUTH_BYTES) && !authMethod ? FAULT_PROPERTY_VALUE : FAULT_NONE;
}

/** Of the last User Property found by `userProperty`. */
export let valueAt: i32 = 0;
export let valueLength: i32 = 0;

/** Looks for the User Property of this name among properties that were walked before. */
export function userProperty(at: i32, end: i32, name: i32, nameBytes: i32): bool {
  while (at < end) {
    const id = <i32>load<u8>(at);
    if (skipValue(id, at + 1, end) != FAULT_NONE) return false;
    if (id == USER_PROPERTY) {
      const bytes = u16At(at + 1);
      valueAt = at + 3 + bytes + 2;
      valueLength = next - valueAt;
      if (bytes == nameBytes && memory.compare(at + 3, name, bytes) == 0) return true;
    }
    at = next;
  }
  return false;
}
