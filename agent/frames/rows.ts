/**
 * The columns of a descriptor row and the closed lists of numbers that cross the core's border, as
 * names. wasm-core/layout.ts draws the same table; test/core.test.ts compares the two.
 *
 * A row is 16 × i32. `start` and `end` are offsets from the chunk's first byte, the other offsets
 * are absolute in the core's memory.
 */

export const rowColumns = 16;

export const column = {
  type: 0,
  start: 1,
  end: 2,
  packetId: 3,
  firstByte: 4,
  verdict: 5,
  route: 6,
  nameOffset: 7,
  nameBytes: 8,
  payloadOffset: 9,
  payloadBytes: 10,
  propertiesOffset: 11,
  propertiesBytes: 12,
  alias: 13,
  limit: 14,
  bits: 15,
} as const;

/** Column `bits`. */
export const bit = { local: 1, retain: 2, dup: 4, qosShift: 8, qosMask: 3 } as const;

export const verdictNames = ['pass', 'admit', 'hold', 'drop', 'bury'] as const;
export type VerdictName = (typeof verdictNames)[number];

/** Why `ingest` returned, by number. */
export const stopNames = [
  'end',
  'partial',
  'tableFull',
  'segmentFull',
  'held',
  'fault',
  'budget',
  'afterConnect',
  'alias',
] as const;
export type StopName = (typeof stopNames)[number];

/** Flags of `ingest`. */
export const ingestFlag = { capture: 1, first: 2, down: 4, clockUnsynced: 8 } as const;

/** MQTT Control Packet types [MQTT 3.1.1 and 5.0, Table 2-1]. */
export const packet = {
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
