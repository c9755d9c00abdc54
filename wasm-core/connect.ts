/**
 * CONNECT [MQTT-3.1] of 3.1, 3.1.1 and 5, and CONNACK [MQTT-3.2]. Every length, flag and string is
 * checked, so that Client Identifier, Keep Alive and version may be trusted; whether the
 * credentials are right is for the broker behind.
 */
import {
  FAULT_CONNECT_FLAGS,
  FAULT_EXCESS_BYTES,
  FAULT_FIELD_LENGTH,
  FAULT_NONE,
  FAULT_PROTOCOL_NAME,
  FAULT_PROTOCOL_VERSION,
  FAULT_UTF8,
  FAULT_WILL_TOPIC,
} from './fault';
import { packetBody, packetEnd, placeProperties, propertiesAt, propertiesLength } from './mqtt';
import { ALLOWED_CONNACK, ALLOWED_CONNECT, ALLOWED_WILL, authMethod, u16At } from './properties';
import { TEXT_MALFORMED, TEXT_PLAIN, textClass } from './utf8';

const MQTT: u32 = 0x5454514d; // 'MQTT'
const MQIS: u32 = 0x7349514d; // 'MQIs'
const DP: u16 = 0x7064; // 'dp'

const FLAG_RESERVED: i32 = 0x01;
const FLAG_WILL: i32 = 0x04;
const FLAGS_WILL_QOS: i32 = 0x18;
const FLAG_WILL_RETAIN: i32 = 0x20;
const FLAG_PASSWORD: i32 = 0x40;
const FLAG_USERNAME: i32 = 0x80;

export let connectVersion: i32 = 0;
export let connectFlags: i32 = 0;
export let keepAliveSeconds: i32 = 0;
export let clientIdAt: i32 = 0;
export let clientIdLength: i32 = 0;
export let connectPropertiesAt: i32 = 0;
export let connectPropertiesLength: i32 = 0;
/** It names an Authentication Method. */
export let connectAuthenticates: bool = false;
export let connackCode: i32 = 0;
export let connackFlags: i32 = 0;

/** Behind the last field read. */
let after: i32 = 0;

/** Protocol Name and level. 3.1 is 'MQIsdp' 3; 3.1.1 'MQTT' 4; 5 'MQTT' 5. */
function readProtocol(at: i32, end: i32): i32 {
  if (end - at < 2) return FAULT_FIELD_LENGTH;
  const bytes = u16At(at);
  if (bytes > end - at - 2) return FAULT_FIELD_LENGTH;
  const plain = bytes == 4 && load<u32>(at, 2) == MQTT;
  const old = bytes == 6 && load<u32>(at, 2) == MQIS && load<u16>(at, 6) == DP;
  if (!plain && !old) return FAULT_PROTOCOL_NAME; // [MQTT-3.1.2-1]
  at += 2 + bytes;
  if (at >= end) return FAULT_FIELD_LENGTH;
  connectVersion = load<u8>(at);
  after = at + 1;
  const known = plain ? connectVersion == 4 || connectVersion == 5 : connectVersion == 3;
  return known ? FAULT_NONE : FAULT_PROTOCOL_VERSION; // [MQTT-3.1.2-2]
}

function flagsFault(flags: i32): i32 {
  if (flags & FLAG_RESERVED) return FAULT_CONNECT_FLAGS; // [MQTT-3.1.2-3]
  const willQos = flags & FLAGS_WILL_QOS;
  if (willQos == FLAGS_WILL_QOS) return FAULT_CONNECT_FLAGS; // [MQTT-3.1.2-12]
  const will = (flags & FLAG_WILL) != 0;
  // [MQTT-3.1.2-11], [MQTT-3.1.2-13]
  if (!will && (willQos != 0 || (flags & FLAG_WILL_RETAIN) != 0)) return FAULT_CONNECT_FLAGS;
  const passwordAlone = (flags & (FLAG_PASSWORD | FLAG_USERNAME)) == FLAG_PASSWORD;
  return passwordAlone && connectVersion < 5 ? FAULT_CONNECT_FLAGS : FAULT_NONE; // [MQTT-3.1.2-22]
}

function takeBytes(at: i32, end: i32): i32 {
  if (end - at < 2) return FAULT_FIELD_LENGTH;
  after = at + 2 + u16At(at);
  return after > end ? FAULT_FIELD_LENGTH : FAULT_NONE;
}

function takeText(at: i32, end: i32): i32 {
  const found = takeBytes(at, end);
  if (found != FAULT_NONE) return found;
  return textClass(at + 2, after - at - 2) == TEXT_MALFORMED ? FAULT_UTF8 : FAULT_NONE;
}

function takeWill(at: i32, end: i32): i32 {
  if (connectVersion == 5) {
    const found = placeProperties(at, end, ALLOWED_WILL);
    if (found != FAULT_NONE) return found;
    at = propertiesAt + propertiesLength;
  }
  const found = takeText(at, end); // [MQTT-3.1.3-11]
  if (found != FAULT_NONE) return found;
  const bytes = after - at - 2;
  if (bytes == 0 || textClass(at + 2, bytes) != TEXT_PLAIN) return FAULT_WILL_TOPIC; // 4.7
  return takeBytes(after, end);
}

export function readConnect(): i32 {
  const end = packetEnd;
  let found = readProtocol(packetBody, end);
  if (found != FAULT_NONE) return found;
  if (end - after < 3) return FAULT_FIELD_LENGTH;
  connectFlags = load<u8>(after);
  keepAliveSeconds = u16At(after + 1);
  after += 3;
  found = flagsFault(connectFlags);
  if (found != FAULT_NONE) return found;
  connectPropertiesAt = after;
  connectPropertiesLength = 0;
  connectAuthenticates = false;
  if (connectVersion == 5) {
    found = placeProperties(after, end, ALLOWED_CONNECT);
    if (found != FAULT_NONE) return found;
    connectPropertiesAt = propertiesAt;
    connectPropertiesLength = propertiesLength;
    connectAuthenticates = propertiesLength > 0 && authMethod;
    after = propertiesAt + propertiesLength;
  }
  clientIdAt = after + 2;
  found = takeText(after, end); // [MQTT-3.1.3-4]
  if (found != FAULT_NONE) return found;
  clientIdLength = after - clientIdAt;
  if (connectFlags & FLAG_WILL) {
    found = takeWill(after, end);
    if (found != FAULT_NONE) return found;
  }
  if (connectFlags & FLAG_USERNAME) {
    found = takeText(after, end); // [MQTT-3.1.3-12]
    if (found != FAULT_NONE) return found;
  }
  if (connectFlags & FLAG_PASSWORD) {
    found = takeBytes(after, end);
    if (found != FAULT_NONE) return found;
  }
  return after == end ? FAULT_NONE : FAULT_EXCESS_BYTES;
}

export function readConnack(version: i32): i32 {
  const end = packetEnd;
  if (end - packetBody < 2) return FAULT_FIELD_LENGTH;
  connackFlags = load<u8>(packetBody);
  connackCode = load<u8>(packetBody, 1);
  connectPropertiesAt = packetBody + 2;
  connectPropertiesLength = 0;
  // A server that does not speak 5 answers such a CONNECT in its own version's form.
  if (version != 5 || end - packetBody == 2) return FAULT_NONE;
  const found = placeProperties(packetBody + 2, end, ALLOWED_CONNACK);
  connectPropertiesAt = propertiesAt;
  connectPropertiesLength = propertiesLength;
  return found;
}
