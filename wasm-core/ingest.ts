/**
 * One chunk in, one row a packet out. States of a packet: measured → read → (PUBLISH) judged, see
 * `publish.ts` → row written. What stops the call, and why, stands in `call.ts`; the packet that
 * stopped it is not consumed.
 */
import {
  CHUNK_BYTES, CHUNK_OFFSET, ROW_BITS, ROW_BYTES, ROW_FIRST_BYTE, ROW_PROPERTIES_BYTES,
  ROW_PROPERTIES_OFFSET, ROW_TOPIC_ALIAS, ROW_TOPIC_NAME_BYTES, ROW_TOPIC_NAME_OFFSET, SEEN_BYTES,
  STRING_MAX, TABLE_OFFSET, TABLE_ROWS,
} from './layout';
import { FAULT_ARGUMENT, FAULT_FIELD_LENGTH, FAULT_NONE } from './fault';
import {
  AFTER_CONNECT, CAPTURE, DOWN, END, FIRST, HELD, MESSAGES, PARTIAL, TABLE_FULL, beginCall,
  faulted, flags, held, refuse, version, wanted,
} from './call';
import {
  beginConnect, clientIdAt, clientIdLength, connackCode, connackFlags, connectAuthenticates,
  connectFlags, connectPropertiesAt, connectPropertiesLength, connectSessionEnds, keepAliveSeconds,
  protocolLevel, readConnack, readConnect,
} from './connect';
import { controlFault, reasonCode } from './control';
import { askedShared, askedWaitMs, beginDevice } from './limits';
import {
  AUTH, CONNACK, CONNECT, DISCONNECT, PUBLISH, PUBREL, SUBSCRIBE, UNSUBSCRIBE, measure, packetEnd,
  packetNeeded, readIdentifier,
} from './mqtt';
import { messageEnd } from './message';
import { beginPublishes, takeMessage, takePublish } from './publish';
import { BIT_AUTHENTICATES, BIT_SESSION_ENDS, beginRow, put } from './row';
import { beginSeen, endSeen, release } from './seen';
import { subscriptionFault } from './subscribe';

const IDENTIFIER_BYTES: i32 = 2;
/** Inside only: a client's DISCONNECT was taken, nothing behind it is its packet any more. */
const LEFT: i32 = -1;

let stopped: i32 = END;
let consumedBytes: i32 = 0;
let neededBytes: i32 = 0;

export function consumed(): i32 { return consumedBytes; }
export function stop(): i32 { return stopped; }
export function needed(): i32 { return neededBytes; }
export function fault(): i32 { return faulted; }
export function connectVersion(): i32 { return protocolLevel; }
export function aliasWanted(): i32 { return wanted; }
export function waitMs(): f64 { return stopped == HELD ? askedWaitMs : 0; }
export function heldLimit(): i32 { return held; }
export function heldShared(): i32 { return stopped == HELD && askedShared ? 1 : 0; }

function takeConnect(row: i32, at: i32, first: i32): i32 {
  const found = readConnect(first);
  if (found != FAULT_NONE) return refuse(found);
  beginRow(row, at, packetEnd, first, keepAliveSeconds);
  put(row, ROW_FIRST_BYTE, connectFlags);
  put(row, ROW_TOPIC_NAME_OFFSET, clientIdAt);
  put(row, ROW_TOPIC_NAME_BYTES, clientIdLength);
  put(row, ROW_PROPERTIES_OFFSET, connectPropertiesAt);
  put(row, ROW_PROPERTIES_BYTES, connectPropertiesLength);
  put(row, ROW_TOPIC_ALIAS, protocolLevel);
  const authenticates = connectAuthenticates ? BIT_AUTHENTICATES : 0;
  put(row, ROW_BITS, authenticates | (connectSessionEnds ? BIT_SESSION_ENDS : 0));
  return END;
}

function takeConnack(row: i32, at: i32, first: i32): i32 {
  const found = readConnack(version);
  if (found != FAULT_NONE) return refuse(found);
  beginRow(row, at, packetEnd, first, connackCode);
  put(row, ROW_FIRST_BYTE, connackFlags);
  put(row, ROW_PROPERTIES_OFFSET, connectPropertiesAt);
  put(row, ROW_PROPERTIES_BYTES, connectPropertiesLength);
  return END;
}

/** Of the packets without a message. What a server sends is measured, not read. */
function bodyFault(type: i32): i32 {
  if (flags & DOWN) return FAULT_NONE;
  const asks = type == SUBSCRIBE || type == UNSUBSCRIBE;
  return asks ? subscriptionFault(type, version) : controlFault(type);
}

/** The whole packet at `at`. @returns END when its row is written, else why not */
function takePacket(row: i32, at: i32): i32 {
  const first = <i32>load<u8>(at);
  const type = first >> 4;
  if (type == PUBLISH && (flags & (DOWN | CAPTURE)) != DOWN) return takePublish(row, at, first);
  if (type == CONNECT) return takeConnect(row, at, first);
  if (type == CONNACK) return takeConnack(row, at, first);
  const found = bodyFault(type);
  if (found != FAULT_NONE) return refuse(found);
  const coded = (type == DISCONNECT || type == AUTH) && !(flags & DOWN);
  const identifier = coded ? reasonCode : readIdentifier(first);
  if (identifier < 0) return refuse(FAULT_FIELD_LENGTH);
  if (type == PUBREL) release(identifier);
  beginRow(row, at, packetEnd, first, identifier);
  return type == DISCONNECT && !(flags & DOWN) ? LEFT : END;
}

/**
 * Packet by packet until something stops it. What stands behind a client's DISCONNECT is consumed
 * unread [MQTT-3.14.4-1]. @returns rows written
 */
function scan(end: i32, most: i32): i32 {
  let at = CHUNK_OFFSET;
  let rows = 0;
  while (at < end && stopped == END) {
    const found = measure(at, end, most);
    if (found != FAULT_NONE) {
      stopped = refuse(found);
    } else if (packetEnd == 0) {
      neededBytes = packetNeeded;
      stopped = PARTIAL;
    } else if (rows == TABLE_ROWS) {
      stopped = TABLE_FULL;
    } else {
      stopped = takePacket(TABLE_OFFSET + rows * ROW_BYTES, at);
      if (stopped == END) {
        at = packetEnd;
        rows++;
        if (flags & FIRST) stopped = AFTER_CONNECT;
      } else if (stopped == LEFT) {
        at = end;
        rows++;
      }
    }
  }
  if (stopped == LEFT) stopped = END;
  consumedBytes = at - CHUNK_OFFSET;
  return rows;
}

/** The same for messages, which are whole. @returns rows written */
function scanMessages(end: i32): i32 {
  let at = CHUNK_OFFSET;
  let rows = 0;
  while (at < end && stopped == END) {
    if (rows == TABLE_ROWS) {
      stopped = TABLE_FULL;
    } else {
      stopped = takeMessage(TABLE_OFFSET + rows * ROW_BYTES, at, end);
      if (stopped == END) {
        at = messageEnd;
        rows++;
      }
    }
  }
  consumedBytes = at - CHUNK_OFFSET;
  return rows;
}

/**
 * Arguments: see `agent/frames/abi.ts`.
 * @param maxPacket bytes; 0 is what the chunk holds
 * @returns rows written
 */
export function ingest(
  bytes: i32, nameBytes: i32, clientBytes: i32, versionNow: i32, flagsNow: i32, aliasBytes: i32,
  aliasMaximum: i32, maxPacket: i32, seenIdentifiers: i32, allowGroups: i32,
  arrivalMs: f64, livedMs: f64, budget: i32,
): i32 {
  stopped = END;
  consumedBytes = 0;
  neededBytes = 0;
  beginConnect();
  beginCall(
    versionNow, flagsNow, nameBytes, clientBytes, aliasBytes, aliasMaximum, allowGroups,
    arrivalMs, livedMs,
  );
  if (<u32>bytes > <u32>CHUNK_BYTES || <u32>nameBytes > <u32>STRING_MAX ||
      <u32>clientBytes > <u32>STRING_MAX || <u32>aliasBytes > <u32>STRING_MAX ||
      <u32>seenIdentifiers > <u32>(SEEN_BYTES / IDENTIFIER_BYTES)) {
    stopped = refuse(FAULT_ARGUMENT);
    return 0;
  }
  beginDevice();
  beginPublishes(budget);
  beginSeen(seenIdentifiers);
  const most = maxPacket > 0 ? min(maxPacket, CHUNK_BYTES) : CHUNK_BYTES;
  const end = CHUNK_OFFSET + bytes;
  const rows = flags & MESSAGES ? scanMessages(end) : scan(end, most);
  endSeen(rows);
  return rows;
}
