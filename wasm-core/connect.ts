/**
 * CONNECT [MQTT-3.1] of 3.1, 3.1.1 and 5, and CONNACK [MQTT-3.2]. Every length, flag and string is
 * checked, so that Client Identifier, Keep Alive and version may be trusted; whether the
 * credentials are right is for the broker behind.
 */
import {
  FAULT_CLIENT_IDENTIFIER,
  FAULT_CONNECT_FLAGS,
  FAULT_CREDENTIALS,
  FAULT_EXCESS_BYTES,
  FAULT_FIELD_LENGTH,
  FAULT_NONE,
  FAULT_PACKET_FLAGS,
  FAULT_PROTOCOL_NAME,
  FAULT_PROTOCOL_VERSION,
  FAULT_UTF8,
  FAULT_WILL_TOPIC,
} from './fault';
import { packetBody, packetEnd, placeProperties, propertiesAt, propertiesLength } from './mqtt';
import { ALLOWED_CONNACK, ALLOWED_CONNECT, ALLOWED_WILL, authMethod, sessionExpiry, u16At }
  from './properties';
import { TEXT_MALFORMED, TEXT_PLAIN, textClass } from './utf8';

const MQTT: u32 = 0x5454514d; // 'MQTT'
const MQIS: u32 = 0x7349514d; // 'MQIs'
const DP: u16 = 0x7064; // 'dp'

const FLAG_RESERVED: i32 = 0x01;
const FLAG_CLEAN: i32 = 0x02;
const FLAG_WILL: i32 = 0x04;
const FLAGS_WILL_QOS: i32 = 0x18;
const FLAG_WILL_RETAIN: i32 = 0x20;
const FLAG_PASSWORD: i32 = 0x40;
const FLAG_USERNAME: i32 = 0x80;

/** What the CONNECT of this call says it speaks, known or not; 0 when it did not come to that. */
export let protocolLevel: i32 = 0;
export let connectFlags: i32 = 0;
export let keepAliveSeconds: i32 = 0;
export let clientIdAt: i32 = 0;
export let clientIdLength: i32 = 0;
export let connectPropertiesAt: i32 = 0;
export let connectPropertiesLength: i32 = 0;
/** It names an Authentication Method. */
export let connectAuthenticates: bool = false;
/** Version 5, and its Session Expiry Interval is 0 or absent. */
export let connectSessionEnds: bool = false;
export let connackCode: i32 = 0;
export let connackFlags: i32 = 0;

/** Behind the last field read. */
let after: i32 = 0;

export function beginConnect(): void {
  protocolLevel = 0;
}

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
  protocolLevel = load<u8>(at);
  after = at + 1;
  const known = plain ? protocolLevel == 4 || protocolLevel == 5 : protocolLevel == 3;
  return known ? FAULT_NONE : FAULT_PROTOCOL_VERSION; // [MQTT-3.1.2-2]
}

function flagsFault(flags: i32): i32 {
  // [MQTT-3.1.2-3]; 3.1 leaves the bit unused.
  if ((flags & FLAG_RESERVED) != 0 && protocolLevel > 3) return FAULT_CONNECT_FLAGS;
  const willQos = flags & FLAGS_WILL_QOS;
  if (willQos == FLAGS_WILL_QOS) return FAULT_CONNECT_FLAGS; // [MQTT-3.1.2-14], 5: [MQTT-3.1.2-12]
  const will = (flags & FLAG_WILL) != 0;
  const fields = (flags & (FLAGS_WILL_QOS | FLAG_WILL_RETAIN)) != 0;
  // [MQTT-3.1.2-11], 5: [MQTT-3.1.2-13] too. 3.1 disregards them without a Will.
  if (!will && fields && protocolLevel > 3) return FAULT_CONNECT_FLAGS;
  const passwordAlone = (flags & (FLAG_PASSWORD | FLAG_USERNAME)) == FLAG_PASSWORD;
  // 3.1.1: [MQTT-3.1.2-22]; version 5 allows it, 3.1.2.9.
  return passwordAlone && protocolLevel < 5 ? FAULT_CONNECT_FLAGS : FAULT_NONE;
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
  if (protocolLevel == 5) {
    const found = placeProperties(at, end, ALLOWED_WILL);
    if (found != FAULT_NONE) return found;
    at = propertiesAt + propertiesLength;
  }
  const found = takeText(at, end); // [MQTT-3.1.3-10], 5: [MQTT-3.1.3-11]
  if (found != FAULT_NONE) return found;
  const bytes = after - at - 2;
  if (bytes == 0 || textClass(at + 2, bytes) != TEXT_PLAIN) return FAULT_WILL_TOPIC; // 4.7
  return takeBytes(after, end);
}

/** Empty: 3.1 asks for a character at least; a Session to be kept needs a name [MQTT-3.1.3-7]. */
function clientIdFault(): i32 {
  if (clientIdLength > 0 || protocolLevel == 5) return FAULT_NONE; // 5: [MQTT-3.1.3-6]
  const kept = (connectFlags & FLAG_CLEAN) == 0;
  return protocolLevel == 3 || kept ? FAULT_CLIENT_IDENTIFIER : FAULT_NONE; // [MQTT-3.1.3-8]
}

/** 3.1: a packet may end where a User Name or Password should come, whatever the flags say. */
function leftOut(end: i32): bool {
  return protocolLevel == 3 && after == end;
}

function takeCredentials(end: i32): i32 {
  if ((connectFlags & FLAG_USERNAME) != 0 && !leftOut(end)) { // [MQTT-3.1.2-19]
    // 5: [MQTT-3.1.2-17]; [MQTT-3.1.3-11], 5: [MQTT-3.1.3-12]
    if (takeText(after, end) != FAULT_NONE) return FAULT_CREDENTIALS;
  }
  if ((connectFlags & FLAG_PASSWORD) != 0 && !leftOut(end)) { // [MQTT-3.1.2-21]
    if (takeBytes(after, end) != FAULT_NONE) return FAULT_CREDENTIALS;
  }
  return FAULT_NONE;
}

function readFlags(end: i32): i32 {
  if (end - after < 3) return FAULT_FIELD_LENGTH;
  connectFlags = load<u8>(after);
  keepAliveSeconds = u16At(after + 1);
  after += 3;
  return flagsFault(connectFlags);
}

function readProperties(end: i32): i32 {
  connectPropertiesAt = after;
  connectPropertiesLength = 0;
  connectAuthenticates = false;
  connectSessionEnds = false;
  if (protocolLevel != 5) return FAULT_NONE;
  const found = placeProperties(after, end, ALLOWED_CONNECT);
  if (found != FAULT_NONE) return found;
  connectPropertiesAt = propertiesAt;
  connectPropertiesLength = propertiesLength;
  connectAuthenticates = propertiesLength > 0 && authMethod;
  connectSessionEnds = propertiesLength == 0 || sessionExpiry == 0;
  after = propertiesAt + propertiesLength;
  return FAULT_NONE;
}

/** @param first its first byte */
export function readConnect(first: i32): i32 {
  const end = packetEnd;
  let found = readProtocol(packetBody, end);
  if (found != FAULT_NONE) return found;
  // [MQTT-2.2.2-2], 5: [MQTT-2.1.3-1]; 3.1 leaves DUP, QoS and RETAIN of a CONNECT unused.
  if ((first & 15) != 0 && protocolLevel > 3) return FAULT_PACKET_FLAGS;
  found = readFlags(end);
  if (found != FAULT_NONE) return found;
  found = readProperties(end);
  if (found != FAULT_NONE) return found;
  clientIdAt = after + 2;
  found = takeText(after, end); // [MQTT-3.1.3-4]
  if (found != FAULT_NONE) return found;
  clientIdLength = after - clientIdAt;
  found = clientIdFault();
  if (found != FAULT_NONE) return found;
  if (connectFlags & FLAG_WILL) { // [MQTT-3.1.2-9]
    found = takeWill(after, end);
    if (found != FAULT_NONE) return found;
  }
  found = takeCredentials(end);
  if (found != FAULT_NONE) return found;
  return after == end ? FAULT_NONE : FAULT_EXCESS_BYTES; // [MQTT-3.1.2-18], [MQTT-3.1.2-20]
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
