/**
 * One PUBLISH: read → Topic Name resolved → allowed → routed → (captured) room made sure of →
 * limits asked → charged and appended → row written. A message of another protocol takes the same
 * way. Whatever stops it before the row leaves no
 * trace of it: the host calls again with the same bytes.
 */
import {
  ALIASES_MAX, ALIASES_OFFSET, ALIAS_BYTES, CHUNK_OFFSET, CLIENT_OFFSET, ROW_BITS,
  ROW_LIMIT, ROW_PAYLOAD_BYTES, ROW_PAYLOAD_OFFSET, ROW_PROPERTIES_BYTES, ROW_PROPERTIES_OFFSET,
  ROW_ROUTE, ROW_TOPIC_ALIAS, ROW_TOPIC_NAME_BYTES, ROW_TOPIC_NAME_OFFSET, ROW_VERDICT,
  SCRATCH_OFFSET,
} from './layout';
import { FAULT_NONE } from './fault';
import {
  ALLOW, BUDGET, CAPTURE, CAPTURE_QOS2, CLOCK_UNSYNCED, COPY_ALL, DOWN, END, HTTP, MESSAGES,
  SEGMENT_FULL, call, clientBytes, flags, holdBy, refuse, resolvedBytes, upMs, wallMs, wantAlias,
} from './call';
import { allowed } from './allow';
import { deviceAt, deviceLength, nameDevice, namedByFrame } from './device';
import {
  OVER_DROP, OVER_HOLD, askLimits, askedOver, beginDevice, chargeLimits,
} from './limits';
import {
  eventIdAt, eventIdLength, keyAt, keyLength, messageEnd, messageNameAt, messageNameLength,
  messagePayloadAt, messagePayloadLength, messagePropertiesAt, messagePropertiesLength, partition,
  readMessage, timestampMs,
} from './message';
import {
  packetEnd, packetIdentifier, payloadAt, propertiesAt, propertiesLength, publishAlias,
  publishExpiry, readPublish, topicNameAt, topicNameLength,
} from './mqtt';
import { EXPIRY_ABSENT } from './properties';
import {
  firstLimitOf, isLocal, maxPayloadOf, routeOf, storedIdOf, wantedLocally,
} from './routes';
import {
  ADMIT, BIT_ALIASED, BIT_LOCAL, BIT_RETAIN, BURY, DENY, DROP, PASS, QOS_SHIFT, REPEAT, put,
  putPacket,
} from './row';
import { remember, seen } from './seen';
import {
  BURY_LIMIT, BURY_NONE, BURY_PAYLOAD_TOO_LARGE, FRAME_CLOCK_UNSYNCED, FRAME_FIXED_BYTES,
  FRAME_PROPERTIES, PROTOCOL_HTTP, PROTOCOL_MQTT, PROTOCOL_NATS, appendFrame, segmentFits,
} from './segment';

const QOS_2: i32 = 2;
const BIT_DUP_SHIFT: i32 = 1; // 8 in the first byte, 4 in the row

/** A message is what a PUBLISH of QoS 1 would be. */
const MESSAGE_FIRST_BYTE: i32 = 0x32;

/** Of what is in hand. Its Topic Name, in place or by its alias. */
let nameAt: i32 = 0;
let nameLength: i32 = 0;
let propsAt: i32 = 0;
let propsLength: i32 = 0;
let bodyAt: i32 = 0;
let bodyLength: i32 = 0;
let expiry: u32 = EXPIRY_ABSENT;

let verdict: i32 = PASS;
let route: i32 = -1;
let limit: i32 = -1;
let admitted: i32 = 0;
let mayAdmit: i32 = 0;

/** @param budget the most frames this call may append */
export function beginPublishes(budget: i32): void {
  admitted = 0;
  mayAdmit = budget;
}

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

/** The verdict on a captured PUBLISH, and its place in the segment. */
function rate(first: i32, packetBytes: i32): i32 {
  if (admitted >= mayAdmit) return BUDGET;
  const isMessage = (flags & MESSAGES) != 0;
  const idLength = isMessage ? eventIdLength : 0;
  const keyBytes = isMessage ? keyLength : 0;
  nameDevice(route, nameAt, nameLength, propsAt, propsLength);
  if (namedByFrame()) beginDevice();
  const named = deviceLength + nameLength + clientBytes + idLength + keyBytes;
  if (!segmentFits(FRAME_FIXED_BYTES + named + propsLength + bodyLength)) {
    return SEGMENT_FULL;
  }
  verdict = ADMIT;
  let reason = BURY_NONE;
  const chain = firstLimitOf(route);
  if (chain >= 0) {
    limit = askLimits(chain, nameAt, nameLength, deviceAt, deviceLength, packetBytes, upMs);
    if (limit < 0) {
      chargeLimits(chain, packetBytes, upMs);
    } else if (askedOver == OVER_HOLD) {
      return holdBy(limit);
    } else if (askedOver == OVER_DROP) {
      verdict = DROP;
      return END;
    } else {
      verdict = BURY;
      reason = BURY_LIMIT;
    }
  }
  const most = maxPayloadOf(route);
  if (reason == BURY_NONE && most > 0 && bodyLength > most) {
    verdict = BURY;
    reason = BURY_PAYLOAD_TOO_LARGE;
  }
  const clock = flags & CLOCK_UNSYNCED ? FRAME_CLOCK_UNSYNCED : 0;
  appendFrame(
    isMessage ? (flags & HTTP ? PROTOCOL_HTTP : PROTOCOL_NATS) : PROTOCOL_MQTT,
    route, storedIdOf(route), first, reason, clock | (propsLength > 0 ? FRAME_PROPERTIES : 0),
    wallMs, upMs, expiry, deviceAt, deviceLength, nameAt, nameLength,
    propsAt, propsLength, bodyAt, bodyLength, keyAt, keyBytes, eventIdAt, idLength,
    CLIENT_OFFSET, clientBytes, isMessage ? partition : -1, isMessage ? timestampMs : 0,
  );
  admitted++;
  return END;
}

/** Its verdict, with what follows from it done. @returns END, else why not now */
function judge(first: i32, qos: i32, packetBytes: i32): i32 {
  verdict = PASS;
  route = -1;
  limit = -1;
  // Before any rule: they may have changed since it was stored.
  const captures = (flags & (CAPTURE | CAPTURE_QOS2)) == (CAPTURE | CAPTURE_QOS2);
  if (qos == QOS_2 && captures && seen(packetIdentifier)) {
    verdict = REPEAT; // [MQTT-4.3.3-10]
    route = routeOf(nameAt, nameLength, (flags & HTTP) != 0);
    return END;
  }
  if ((flags & (ALLOW | DOWN)) == ALLOW && !allowed(nameAt, nameLength)) {
    verdict = DENY;
    return END;
  }
  if (!(flags & CAPTURE)) return END;
  route = routeOf(nameAt, nameLength, (flags & HTTP) != 0);
  if (route < 0) return END;
  if (qos < QOS_2) return rate(first, packetBytes);
  if (!(flags & CAPTURE_QOS2)) return END;
  const halted = rate(first, packetBytes);
  if (halted == END && verdict != DROP) remember(packetIdentifier);
  return halted;
}

function bitsOf(first: i32, qos: i32): i32 {
  let bits = (qos << QOS_SHIFT) | ((first & 8) >> BIT_DUP_SHIFT);
  if (first & 1) bits |= verdict == DENY ? BIT_RETAIN : BIT_RETAIN | BIT_LOCAL;
  if (topicNameLength == 0) bits |= BIT_ALIASED;
  if (verdict == PASS || verdict == DENY || route < 0) return bits; // not captured now
  const copied = flags & COPY_ALL ? isLocal(route) : wantedLocally(route, nameAt, nameLength);
  return copied ? bits | BIT_LOCAL : bits;
}

export function takePublish(row: i32, at: i32, first: i32): i32 {
  const found = readPublish(first);
  if (found != FAULT_NONE) return refuse(found);
  if (!resolveName(at)) return wantAlias(publishAlias);
  propsAt = propertiesAt;
  propsLength = propertiesLength;
  bodyAt = payloadAt;
  bodyLength = packetEnd - payloadAt;
  expiry = publishExpiry;
  const qos = (first >> 1) & 3;
  const halted = judge(first, qos, packetEnd - at);
  if (halted != END) return halted;
  putPacket(row, at, packetEnd, first, packetIdentifier);
  put(row, ROW_TOPIC_ALIAS, publishAlias);
  put(row, ROW_BITS, bitsOf(first, qos));
  putJudged(row);
  return END;
}

/** The message at `at`, before `end`. @returns END when its row is written, else why not */
export function takeMessage(row: i32, at: i32, end: i32): i32 {
  const found = readMessage(at, end);
  if (found != FAULT_NONE) return refuse(found);
  nameAt = messageNameAt;
  nameLength = messageNameLength;
  propsAt = messagePropertiesAt;
  propsLength = messagePropertiesLength;
  bodyAt = messagePayloadAt;
  bodyLength = messagePayloadLength;
  expiry = EXPIRY_ABSENT;
  const halted = judge(MESSAGE_FIRST_BYTE, 1, messageEnd - at);
  if (halted != END) return halted;
  putPacket(row, at, messageEnd, MESSAGE_FIRST_BYTE, 0);
  put(row, ROW_TOPIC_ALIAS, 0);
  put(row, ROW_BITS, 1 << QOS_SHIFT);
  putJudged(row);
  return END;
}

function putJudged(row: i32): void {
  put(row, ROW_VERDICT, verdict);
  put(row, ROW_ROUTE, route);
  put(row, ROW_TOPIC_NAME_OFFSET, nameAt);
  put(row, ROW_TOPIC_NAME_BYTES, nameLength);
  put(row, ROW_PAYLOAD_OFFSET, bodyAt);
  put(row, ROW_PAYLOAD_BYTES, bodyLength);
  put(row, ROW_PROPERTIES_OFFSET, propsAt);
  put(row, ROW_PROPERTIES_BYTES, propsLength);
  put(row, ROW_LIMIT, limit);
}
