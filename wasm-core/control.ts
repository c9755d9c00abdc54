/**
 * The packets of a client that carry no message: PUBACK, PUBREC, PUBREL, PUBCOMP, PINGREQ,
 * DISCONNECT, AUTH [MQTT-3.4 to 3.7, 3.12, 3.14, 3.15]. All are cut from one cloth:
 *
 *   Packet Identifier (the four acknowledging ones) | Reason Code | properties      version 5
 *   Packet Identifier (the four acknowledging ones)                                 before
 *
 * What is left out at the end is 0 or nothing. Refused: a byte too few or too many, Packet
 * Identifier 0, Reason Codes that are not this packet's or only a server's, properties that are not
 * its own.
 */
import { AUTH_PENDING, SESSION_ENDS, flags, version } from './call';
import {
  FAULT_DISCONNECT_REASON, FAULT_EXCESS_BYTES, FAULT_FIELD_LENGTH, FAULT_NONE,
  FAULT_PACKET_IDENTIFIER, FAULT_PROPERTY_MISSING, FAULT_REASON_CODE, FAULT_SESSION_EXPIRY,
} from './fault';
import {
  AUTH, DISCONNECT, IDENTIFIED, PINGREQ, PUBACK, PUBREC, packetBody, packetEnd, placeProperties,
  propertiesAt, propertiesLength,
} from './mqtt';
import {
  ALLOWED_ACKNOWLEDGING, ALLOWED_AUTH, ALLOWED_DISCONNECT, authMethod, sessionExpiry, u16At,
} from './properties';

const VERSION_5: i32 = 5;

/** Of the last packet read here; 0 where it says nothing. */
export let reasonCode: i32 = 0;

/** Sets of Reason Codes: 0x00–0x1f are the low 32 bits, 0x80–0x9f the high ones. */
const BEYOND_SETS: i32 = 0x60;

@inline
function one(code: i32): u64 {
  return (<u64>1) << (code < 0x80 ? code : code - 0x80 + 32);
}

/** [MQTT-3.4.2-1], [MQTT-3.5.2-1] */
const RECEIVED: u64 =
  one(0x00) | one(0x10) | one(0x80) | one(0x83) | one(0x87) | one(0x90) | one(0x91) | one(0x97) |
  one(0x99);
/** [MQTT-3.6.2-1], [MQTT-3.7.2-1] */
const RELEASED: u64 = one(0x00) | one(0x92);
/** [MQTT-3.14.2-1], of these what table 3-13 gives to a client */
const DISCONNECTED: u64 =
  one(0x00) | one(0x04) | one(0x80) | one(0x81) | one(0x82) | one(0x83) | one(0x90) | one(0x93) |
  one(0x94) | one(0x95) | one(0x96) | one(0x97) | one(0x98) | one(0x99);
/** [MQTT-3.15.2-1], of these a client's; 4.12.1: it begins anew only behind CONNACK */
const CONTINUED: u64 = one(0x18);
const AUTHENTICATED: u64 = CONTINUED | one(0x19);

function reasonsOf(type: i32): u64 {
  if (type == PUBACK || type == PUBREC) return RECEIVED;
  if (type == DISCONNECT) return DISCONNECTED;
  if (type == AUTH) return flags & AUTH_PENDING ? CONTINUED : AUTHENTICATED;
  return RELEASED;
}

function propertiesOf(type: i32): u64 {
  if (type == DISCONNECT) return ALLOWED_DISCONNECT;
  return type == AUTH ? ALLOWED_AUTH : ALLOWED_ACKNOWLEDGING;
}

/** Reason Code and properties in [at, packetEnd), version 5. */
function reasonFault(type: i32, at: i32): i32 {
  const end = packetEnd;
  propertiesLength = 0;
  reasonCode = at < end ? load<u8>(at) : 0; // 3.4.2.1, 3.14.2.1, 3.15.2.1: left out, it is 0x00
  if ((reasonCode & BEYOND_SETS) != 0 || !(reasonsOf(type) & one(reasonCode))) {
    return type == DISCONNECT ? FAULT_DISCONNECT_REASON : FAULT_REASON_CODE;
  }
  if (end - at < 2) return FAULT_NONE; // 3.4.2.2.1, 3.14.2.2.1: no Property Length, no property
  const found = placeProperties(at + 1, end, propertiesOf(type));
  if (found != FAULT_NONE) return found;
  return propertiesAt + propertiesLength == end ? FAULT_NONE : FAULT_EXCESS_BYTES;
}

function disconnectFault(at: i32): i32 {
  const found = reasonFault(DISCONNECT, at);
  if (found != FAULT_NONE) return found;
  const kept = propertiesLength > 0 && sessionExpiry != 0;
  // 3.14.2.2.2: a Session that was to end with its connection cannot be kept after all.
  return kept && (flags & SESSION_ENDS) != 0 ? FAULT_SESSION_EXPIRY : FAULT_NONE;
}

function authFault(at: i32): i32 {
  const found = reasonFault(AUTH, at);
  if (found != FAULT_NONE) return found;
  // 3.15.2.2.2
  return propertiesLength > 0 && authMethod ? FAULT_NONE : FAULT_PROPERTY_MISSING;
}

/** The packet [packetBody, packetEnd) of one of the types above, as a client may send it. */
export function controlFault(type: i32): i32 {
  let at = packetBody;
  reasonCode = 0;
  if (IDENTIFIED & (1 << type)) {
    if (packetEnd - at < 2) return FAULT_FIELD_LENGTH;
    if (u16At(at) == 0) return FAULT_PACKET_IDENTIFIER; // [MQTT-2.2.1-5], [MQTT-2.3.1-6]
    at += 2;
  }
  // 3.4.1, 3.5.1, 3.6.1, 3.7.1, 3.12.1, 3.14.1: no version has more, but for version 5 below.
  if (version != VERSION_5 || type == PINGREQ) {
    return at == packetEnd ? FAULT_NONE : FAULT_EXCESS_BYTES;
  }
  if (type == DISCONNECT) return disconnectFault(at);
  return type == AUTH ? authFault(at) : reasonFault(type, at);
}
