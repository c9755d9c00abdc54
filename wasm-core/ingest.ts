/**
 * One chunk in, one row a packet out. States of a packet: measured → read → (PUBLISH under CAPTURE)
 * routed → room made sure of → limits asked → charged and appended → row written. Whatever stops it
 * before the row leaves no trace of it: the host calls again with the same bytes.
 *
 * Stops: END everything was taken · PARTIAL the last packet is not whole · TABLE_FULL, BUDGET call
 * again · SEGMENT_FULL seal, then call again · HELD a limit says wait · FAULT the connection ends ·
 * AFTER_CONNECT a CONNECT was taken under FIRST · ALIAS the next PUBLISH has only a Topic Alias.
 */
import {
  ALIASES_MAX, ALIASES_OFFSET, ALIAS_BYTES, CHUNK_BYTES, CHUNK_OFFSET, NAME_OFFSET, ROW_BITS,
  ROW_BYTES, ROW_END, ROW_FIRST_BYTE, ROW_LIMIT, ROW_PACKET_IDENTIFIER, ROW_PACKET_TYPE,
  ROW_PAYLOAD_BYTES, ROW_PAYLOAD_OFFSET, ROW_PROPERTIES_BYTES, ROW_PROPERTIES_OFFSET, ROW_ROUTE,
  ROW_START, ROW_TOPIC_ALIAS, ROW_TOPIC_NAME_BYTES, ROW_TOPIC_NAME_OFFSET, ROW_VERDICT,
  SCRATCH_OFFSET, STRING_MAX, TABLE_OFFSET, TABLE_ROWS,
} from './layout';
import { FAULT_ARGUMENT, FAULT_FIELD_LENGTH, FAULT_NONE } from './fault';
import {
  CONNACK, CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, measure, packetEnd, packetIdentifier,
  packetNeeded, payloadAt, propertiesAt, propertiesLength, publishAlias, publishExpiry,
  readIdentifier, readPublish,
  topicNameAt, topicNameLength,
} from './mqtt';
import {
  clientIdAt, clientIdLength, connackCode, connackFlags, connectFlags, connectPropertiesAt,
  connectPropertiesLength, connectVersion, keepAliveSeconds, readConnack, readConnect,
} from './connect';
import {
  OVER_DROP, OVER_HOLD, askLimits, askedOver, askedShared, askedWaitMs, beginDevice, chargeLimits,
} from './limits';
import { firstLimitOf, maxPayloadOf, routeOf, storedIdOf, wantedLocally } from './routes';
import {
  BURY_LIMIT, BURY_NONE, BURY_PAYLOAD_TOO_LARGE, FRAME_CLOCK_UNSYNCED, FRAME_FIXED_BYTES,
  FRAME_PROPERTIES, appendFrame, segmentFits,
} from './segment';
import { subscriptionFault } from './subscribe';

const CAPTURE: i32 = 1;
const FIRST: i32 = 2;
const DOWN: i32 = 4;
const CLOCK_UNSYNCED: i32 = 8;
/** Without it a PUBLISH of QoS 2 passes, with its route in the row. */
const CAPTURE_QOS2: i32 = 16;

const END: i32 = 0;
const PARTIAL: i32 = 1;
const TABLE_FULL: i32 = 2;
const SEGMENT_FULL: i32 = 3;
const HELD: i32 = 4;
const FAULT: i32 = 5;
const BUDGET: i32 = 6;
const AFTER_CONNECT: i32 = 7;
const ALIAS: i32 = 8;

const PASS: i32 = 0;
const ADMIT: i32 = 1;
const DROP: i32 = 3;
const BURY: i32 = 4;

const BIT_LOCAL: i32 = 1;
const BIT_RETAIN: i32 = 2;

/** The Topic Name is not in this packet: its Topic Alias stood for it. */
const BIT_ALIASED: i32 = 8;
const QOS_SHIFT: i32 = 8;
const QOS_2: i32 = 2;

let stopped: i32 = END;
let faulted: i32 = FAULT_NONE;
let consumedBytes: i32 = 0;
let neededBytes: i32 = 0;
let wanted: i32 = 0;
let held: i32 = -1;

let flagBits: i32 = 0;
let deviceBytes: i32 = 0;
let wallMs: f64 = 0;
let upMs: f64 = 0;
let admitted: i32 = 0;
let mayAdmit: i32 = 0;
/** Aliases learnt in this call carry its number. */
let call: u64 = 0;
/** Topic Name the host resolved, for the first packet only. */
let resolvedBytes: i32 = 0;

export function consumed(): i32 { return consumedBytes; }
export function stop(): i32 { return stopped; }
export function needed(): i32 { return neededBytes; }
export function fault(): i32 { return faulted; }
export function aliasWanted(): i32 { return wanted; }
export function waitMs(): f64 { return stopped == HELD ? askedWaitMs : 0; }
export function heldLimit(): i32 { return held; }
export function heldShared(): i32 { return stopped == HELD && askedShared ? 1 : 0; }

@inline
function put(row: i32, word: i32, value: i32): void {
  store<i32>(row + (word << 2), value);
}

function refuse(reason: i32): i32 {
  faulted = reason;
  return FAULT;
}

function beginRow(row: i32, from: i32, first: i32, identifier: i32): void {
  for (let at = 0; at < ROW_BYTES; at += 8) store<u64>(row + at, 0);
  put(row, ROW_PACKET_TYPE, first >> 4);
  put(row, ROW_START, from - CHUNK_OFFSET);
  put(row, ROW_END, packetEnd - CHUNK_OFFSET);
  put(row, ROW_PACKET_IDENTIFIER, identifier);
  put(row, ROW_FIRST_BYTE, first);
  put(row, ROW_ROUTE, -1);
  put(row, ROW_LIMIT, -1);
}

function takeConnect(row: i32, at: i32, first: i32): i32 {
  const found = readConnect();
  if (found != FAULT_NONE) return refuse(found);
  beginRow(row, at, first, keepAliveSeconds);
  put(row, ROW_FIRST_BYTE, connectFlags);
  put(row, ROW_TOPIC_NAME_OFFSET, clientIdAt);
  put(row, ROW_TOPIC_NAME_BYTES, clientIdLength);
  put(row, ROW_PROPERTIES_OFFSET, connectPropertiesAt);
  put(row, ROW_PROPERTIES_BYTES, connectPropertiesLength);
  put(row, ROW_TOPIC_ALIAS, connectVersion);
  return END;
}

function takeConnack(row: i32, at: i32, first: i32, version: i32): i32 {
  const found = readConnack(version);
  if (found != FAULT_NONE) return refuse(found);
  beginRow(row, at, first, connackCode);
  put(row, ROW_FIRST_BYTE, connackFlags);
  put(row, ROW_PROPERTIES_OFFSET, connectPropertiesAt);
  put(row, ROW_PROPERTIES_BYTES, connectPropertiesLength);
  return END;
}

/** Topic Name of this PUBLISH, in place or by its alias. */
let nameAt: i32 = 0;
let nameLength: i32 = 0;

/** Learns the alias, or looks it up. @returns false when the host must tell the Topic Name */
function resolveName(at: i32): bool {
  nameAt = topicNameAt;
  nameLength = topicNameLength;
  if (publishAlias == 0) return true;
  const entry = ALIASES_OFFSET + publishAlias * ALIAS_BYTES;
  const kept = publishAlias < ALIASES_MAX;
  if (nameLength == 0) {
    if (kept && load<u64>(entry, 8) == call) {
      nameAt = load<i32>(entry);
      nameLength = load<i32>(entry, 4);
      return true;
    }
    if (at != CHUNK_OFFSET || resolvedBytes == 0) return false;
    nameAt = SCRATCH_OFFSET;
    nameLength = resolvedBytes;
  }
  if (kept) {
    store<i32>(entry, nameAt);
    store<i32>(entry, nameLength, 4);
    store<u64>(entry, call, 8);
  }
  return true;
}

function takePublish(row: i32, at: i32, first: i32, version: i32): i32 {
  const found = readPublish(first, version, (flagBits & DOWN) != 0);
  if (found != FAULT_NONE) return refuse(found);
  if (!resolveName(at)) {
    wanted = publishAlias;
    return ALIAS;
  }
  const qos = (first >> 1) & 3;
  const route = flagBits & CAPTURE ? routeOf(nameAt, nameLength) : -1;
  const captured = route >= 0 && (qos < QOS_2 || (flagBits & CAPTURE_QOS2) != 0);
  let verdict = PASS;
  let limit = -1;
  if (captured) {
    const halted = rate(route, first, packetEnd - at);
    if (halted != END) return halted;
    verdict = ratedVerdict;
    limit = ratedLimit;
  }
  beginRow(row, at, first, packetIdentifier);
  put(row, ROW_VERDICT, verdict);
  put(row, ROW_ROUTE, route);
  put(row, ROW_TOPIC_NAME_OFFSET, nameAt);
  put(row, ROW_TOPIC_NAME_BYTES, nameLength);
  put(row, ROW_PAYLOAD_OFFSET, payloadAt);
  put(row, ROW_PAYLOAD_BYTES, packetEnd - payloadAt);
  put(row, ROW_PROPERTIES_OFFSET, propertiesAt);
  put(row, ROW_PROPERTIES_BYTES, propertiesLength);
  put(row, ROW_TOPIC_ALIAS, publishAlias);
  put(row, ROW_LIMIT, limit);
  let bits = (qos << QOS_SHIFT) | ((first & 8) >> 1); // DUP
  if (first & 1) bits |= BIT_RETAIN | BIT_LOCAL;
  if (topicNameLength == 0) bits |= BIT_ALIASED;
  if (captured && wantedLocally(route, nameAt, nameLength)) bits |= BIT_LOCAL;
  put(row, ROW_BITS, bits);
  return END;
}

let ratedVerdict: i32 = PASS;
let ratedLimit: i32 = -1;

/** The verdict on a captured PUBLISH, and its place in the segment. */
function rate(route: i32, first: i32, packetBytes: i32): i32 {
  if (admitted >= mayAdmit) return BUDGET;
  const payloadBytes = packetEnd - payloadAt;
  const bytes = FRAME_FIXED_BYTES + deviceBytes + nameLength + propertiesLength + payloadBytes;
  if (!segmentFits(bytes)) return SEGMENT_FULL;
  ratedVerdict = ADMIT;
  ratedLimit = -1;
  let reason = BURY_NONE;
  const chain = firstLimitOf(route);
  if (chain >= 0) {
    ratedLimit = askLimits(chain, nameAt, nameLength, deviceBytes, packetBytes, upMs);
    if (ratedLimit < 0) {
      chargeLimits(chain, packetBytes, upMs);
    } else if (askedOver == OVER_HOLD) {
      held = ratedLimit;
      return HELD;
    } else if (askedOver == OVER_DROP) {
      ratedVerdict = DROP;
      return END;
    } else {
      ratedVerdict = BURY;
      reason = BURY_LIMIT;
    }
  }
  const most = maxPayloadOf(route);
  if (reason == BURY_NONE && most > 0 && payloadBytes > most) {
    ratedVerdict = BURY;
    reason = BURY_PAYLOAD_TOO_LARGE;
  }
  const clock = flagBits & CLOCK_UNSYNCED ? FRAME_CLOCK_UNSYNCED : 0;
  appendFrame(
    route, storedIdOf(route), first, reason, clock | (propertiesLength > 0 ? FRAME_PROPERTIES : 0),
    wallMs, upMs, publishExpiry, NAME_OFFSET, deviceBytes, nameAt, nameLength,
    propertiesAt, propertiesLength, payloadAt, payloadBytes,
  );
  admitted++;
  return END;
}

/** The whole packet at `at`. @returns END when its row is written, else why not */
function takePacket(row: i32, at: i32, version: i32): i32 {
  const first = <i32>load<u8>(at);
  const type = first >> 4;
  const down = (flagBits & DOWN) != 0;
  if (type == PUBLISH && (!down || (flagBits & CAPTURE) != 0)) {
    return takePublish(row, at, first, version);
  }
  if (type == CONNECT) return takeConnect(row, at, first);
  if (type == CONNACK) return takeConnack(row, at, first, version);
  const identifier = readIdentifier(first);
  if (identifier < 0) return refuse(FAULT_FIELD_LENGTH);
  if (type == SUBSCRIBE || type == UNSUBSCRIBE) {
    const found = subscriptionFault(type, version);
    if (found != FAULT_NONE) return refuse(found);
  }
  beginRow(row, at, first, identifier);
  return END;
}

/**
 * Arguments: see `agent/frames/abi.ts`.
 * @param maxPacket bytes; 0 is what the chunk holds
 * @returns rows written
 */
export function ingest(
  bytes: i32, nameBytes: i32, version: i32, flags: i32, aliasBytes: i32, maxPacket: i32,
  arrivalMs: f64, livedMs: f64, budget: i32,
): i32 {
  stopped = END;
  faulted = FAULT_NONE;
  consumedBytes = 0;
  neededBytes = 0;
  wanted = 0;
  held = -1;
  if (<u32>bytes > <u32>CHUNK_BYTES || <u32>nameBytes > <u32>STRING_MAX ||
      <u32>aliasBytes > <u32>STRING_MAX) {
    stopped = refuse(FAULT_ARGUMENT);
    return 0;
  }
  flagBits = flags;
  deviceBytes = nameBytes;
  wallMs = arrivalMs;
  upMs = livedMs;
  admitted = 0;
  mayAdmit = budget;
  resolvedBytes = aliasBytes;
  call++;
  beginDevice();
  const most = maxPacket > 0 ? min(maxPacket, CHUNK_BYTES) : CHUNK_BYTES;
  const first = (flags & FIRST) != 0;
  const down = (flags & DOWN) != 0;
  const end = CHUNK_OFFSET + bytes;
  let at = CHUNK_OFFSET;
  let rows = 0;
  while (at < end && stopped == END) {
    const found = measure(at, end, version, first, down, most);
    if (found != FAULT_NONE) {
      stopped = refuse(found);
    } else if (packetEnd == 0) {
      neededBytes = packetNeeded;
      stopped = PARTIAL;
    } else if (rows == TABLE_ROWS) {
      stopped = TABLE_FULL;
    } else {
      stopped = takePacket(TABLE_OFFSET + rows * ROW_BYTES, at, version);
      if (stopped == END) {
        at = packetEnd;
        rows++;
        if (first) stopped = AFTER_CONNECT;
      }
    }
  }
  consumedBytes = at - CHUNK_OFFSET;
  return rows;
}
