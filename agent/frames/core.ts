/**
 * Loads the WebAssembly core and gives it a typed face. The only file that touches WebAssembly.
 *
 * One instance is one thread's: its chunk, table and open segment are places in its memory, which
 * is fixed, so the views made here stay good for ever. Calls are the instance's own functions,
 * about 8 ns each; nothing is marshalled. An instance that verifies segments holds no open one.
 */
import { readFileSync } from 'node:fs';
import { instantiateSync } from '@assemblyscript/loader';
import { routesMax } from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import { type CoreCalls, type Places, placeNames } from './abi.ts';

/** Words of one row of the table (i32 each). Alternatives for other packet types in brackets. */
export const rowWords = 16;
export const row = {
  packetType: 0,
  /** Offsets from the beginning of the chunk. */
  start: 1,
  end: 2,
  /** Packet Identifier or 0 [CONNECT: Keep Alive in s; CONNACK, DISCONNECT, AUTH: their code]. */
  packetIdentifier: 3,
  /** First byte [CONNECT: connect flags; CONNACK: acknowledge flags]. */
  firstByte: 4,
  verdict: 5,
  /** Route index or −1. */
  route: 6,
  /** Absolute offset in the memory [CONNECT: Client Identifier]. */
  topicNameOffset: 7,
  topicNameBytes: 8,
  payloadOffset: 9,
  payloadBytes: 10,
  propertiesOffset: 11,
  propertiesBytes: 12,
  /** Topic Alias or 0 [CONNECT: protocol version 3, 4 or 5]. */
  topicAlias: 13,
  /** The limit that gave the verdict, or −1. */
  limit: 14,
  bits: 15,
} as const;

export const rowBits = {
  /** A copy goes to the broker. */
  local: 1,
  retain: 2,
  dup: 4,
  /** The packet has no Topic Name of its own: its Topic Alias stood for it. */
  aliased: 8,
  /** CONNECT: it names an Authentication Method (`ingestFlags.auth` from now on). */
  authenticates: 16,
  /** CONNECT 5: its Session Expiry Interval is 0 (`ingestFlags.sessionEnds` from now on). */
  sessionEnds: 32,
} as const;
/** QoS is `row[bits] >> qosShift`. */
export const qosShift = 8;

export const packetTypes = {
  connect: 1,
  connack: 2,
  publish: 3,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  subscribe: 8,
  suback: 9,
  unsubscribe: 10,
  unsuback: 11,
  pingreq: 12,
  pingresp: 13,
  disconnect: 14,
  auth: 15,
} as const;

export const verdicts = {
  pass: 0,
  admit: 1,
  hold: 2,
  drop: 3,
  bury: 4,
  /** QoS 2, captured and not released yet: not stored nor rated again; its copy bit as ever. */
  repeat: 5,
  /** No filter of the connection's groups allows it: neither captured nor passed. */
  deny: 6,
} as const;

export const ingestFlags = {
  /** Match PUBLISHes against the routes; without it all of them pass. */
  capture: 1,
  /** Only a CONNECT may come; stop behind it. */
  first: 2,
  /** Packets of the server to the client. */
  down: 4,
  clockUnsynced: 8,
  /** Capture QoS 2 too; without it such a PUBLISH passes, its route in the row. */
  captureQos2: 16,
  /** A captured PUBLISH of a local route has the copy bit, whatever `localAdd` was told. */
  copyAll: 32,
  /** A device's PUBLISH needs an allow rule of one of `allowGroups`. */
  allow: 64,
  /** The CONNECT named an Authentication Method; without it AUTH is a fault. */
  auth: 128,
  /** The CONNECT's Session Expiry Interval was 0: DISCONNECT may not set another. */
  sessionEnds: 256,
  /** With `auth`, until CONNACK: nothing but AUTH and DISCONNECT may come. */
  authPending: 512,
  /** The chunk holds messages (`wasm-core/message.ts`), not MQTT Control Packets. */
  messages: 1024,
  /** They came over HTTP; without it over NATS. */
  http: 2048,
} as const;

/** Why `ingest` returned. `alias`: the next PUBLISH has only a Topic Alias, see `aliasWanted`. */
export const stops = {
  end: 0,
  partial: 1,
  tableFull: 2,
  segmentFull: 3,
  held: 4,
  fault: 5,
  budget: 6,
  afterConnect: 7,
  alias: 8,
} as const;

/**
 * Source seat: what of a PUBLISH names its device. `capture` + n is the n-th wildcard of the route;
 * `property` is the User Property whose name lies at NAME.
 */
export const deviceRuleShift = 16;
export const deviceRules = { name: 0, topicName: 1, property: 2, capture: 2 } as const;

/** `httpOnly`: only for the last route, what came over HTTP and no other takes. */
export const routeTraits = { local: 1, httpOnly: 2 } as const;
export const limitPer = { device: 0, route: 1, topicName: 2, gateway: 3 } as const;
export const limitOver = { hold: 0, drop: 1, bury: 2 } as const;

export interface Core extends CoreCalls, Places {
  readonly memory: Uint8Array;
  /** The same memory, for `toString` and `copy`. */
  readonly bytes: Buffer;
  /** The table: row r, word w is `rows[r * rowWords + w]`. */
  readonly rows: Int32Array;
  /** Frames of the open segment by route index. */
  readonly counts: Uint32Array;
  /** The region of `seenIdentifiers`. */
  readonly seen: Uint16Array;
}

const wasmFile = new URL('../../wasm-core/build/core.wasm', import.meta.url);
let wasm: Uint8Array | undefined;

function readWasm(): Uint8Array {
  try {
    return readFileSync(wasmFile);
  } catch (cause) {
    throw new TidegateError('coreMissing', `cannot read ${wasmFile.pathname}`, { cause });
  }
}

/** A fresh instance, with no routes and an empty segment. @throws TidegateError coreMissing */
export function loadCore(): Core {
  wasm ??= readWasm();
  const { exports } = instantiateSync<Record<string, unknown>>(wasm);
  const found: Record<string, number> = {};
  for (const name of placeNames) found[name] = (exports[name] as { value: number }).value;
  const places = found as Places;
  const calls = exports as unknown as CoreCalls;
  const { buffer } = exports.memory as { buffer: ArrayBuffer };
  return {
    ...calls,
    ...places,
    memory: new Uint8Array(buffer),
    bytes: Buffer.from(buffer),
    rows: new Int32Array(buffer, places.TABLE_OFFSET, places.TABLE_ROWS * rowWords),
    counts: new Uint32Array(buffer, places.COUNTS_OFFSET, routesMax),
    seen: new Uint16Array(buffer, places.SEEN_OFFSET, places.SEEN_BYTES / 2),
    // What crosses as i32 is unsigned here.
    crc32c: (offset, bytes) => calls.crc32c(offset, bytes) >>> 0,
    overflows: () => calls.overflows() >>> 0,
  };
}
