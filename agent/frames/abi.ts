/**
 * What crosses the core's border, as types: its calls and its places. `wasm-core/index.ts` exports
 * exactly these (a test compares). Integers and f64 cross, nothing else.
 */
export interface CoreCalls {
  /** Forgets routes, limits and buckets. */
  routesClear(): void;
  /** Forgets routes; limits that are claimed before `limitsSettle` stay, with their buckets. */
  routesRenew(): void;
  limitClaim(limit: number): void;
  /** Forgets what was not claimed. */
  limitsSettle(): void;
  /** In the place of `limitAdd` for what was claimed. @returns limit index, or −fault */
  limitKeep(routeIndex: number, limit: number, over: number): number;
  /** The Topic Filter lies in SCRATCH. @returns route index, or −fault; the lowest index wins */
  routeAdd(filterBytes: number, routeId: number, maxPayloadBytes: number, traits: number): number;
  /** A rate of 0 is no limit of that kind. @returns limit index, or −fault */
  limitAdd(
    routeIndex: number,
    per: number,
    messagesPerSecond: number,
    bytesPerSecond: number,
    burstMessages: number,
    burstBytes: number,
    over: number,
  ): number;
  /** Of the Topic Name in SCRATCH. @returns route index, or −1 */
  routeFor(topicNameBytes: number): number;
  localClear(): void;
  /** @returns 0; 1 when there is no room and everything matches from now on; −fault */
  localAdd(filterBytes: number): number;
  allowClear(): void;
  /**
   * The Topic Filter in SCRATCH, for `groups` (32 bits) as well. A level `{device}` is the one that
   * equals the device's name. @returns 0 or −fault
   */
  allowAdd(filterBytes: number, groups: number): number;
  /** All buckets are full again; the seed (two u32) keys the hash of names: give a random one. */
  bucketsClear(seedLow: number, seedHigh: number): void;
  /**
   * Reads `bytes` at CHUNK, `nameBytes` at NAME, `clientBytes` at CLIENT and, when `aliasBytes`
   * is above 0, the Topic Name at SCRATCH that the first packet's Topic Alias stands for.
   * @param clientBytes the claimed Client Identifier; 0 when it is the device's name
   * @param flags a sum of `ingestFlags`
   * @param aliasMaximum a device's Topic Alias above it is a fault
   * @param maxPacket bytes; 0 is what the chunk holds
   * @param seenIdentifiers how many u16 at SEEN: QoS 2, captured and not released
   * @param allowGroups the connection's groups, 32 bits, under `ingestFlags.allow`
   * @returns rows written; then ask `stop`
   */
  ingest(
    bytes: number,
    nameBytes: number,
    clientBytes: number,
    version: number,
    flags: number,
    aliasBytes: number,
    aliasMaximum: number,
    maxPacket: number,
    seenIdentifiers: number,
    allowGroups: number,
    arrivalMs: number,
    livedMs: number,
    budget: number,
  ): number;
  consumed(): number;
  /** Number in `stops`. */
  stop(): number;
  /** Whole size of the partial packet, or 0 when it is not known yet. */
  needed(): number;
  /** Until the packet that is held would pass. */
  waitMs(): number;
  heldLimit(): number;
  /** 1 when devices share the bucket that holds: waiting connections take turns. */
  heldShared(): number;
  fault(): number;
  /**
   * The protocol level that the CONNECT of this call names, known or not: the answer has that
   * version's form. 0 when there is none, or it did not come to that.
   */
  connectVersion(): number;
  aliasWanted(): number;
  segmentFrames(): number;
  /** With the header; 64 when no frame is in it. */
  segmentBytes(): number;
  /** @returns length of the body at SEGMENT; the segment stays until `segmentReset` */
  seal(
    epochLow: number,
    epochHigh: number,
    sequence: number,
    firstFrame: number,
    createdMs: number,
    livedMs: number,
  ): number;
  segmentReset(): void;
  /** A body of `bytes` lies at SEGMENT. @returns 0 or a fault */
  verify(bytes: number): number;
  /** Of any bytes of the memory, unsigned. */
  crc32c(offset: number, bytes: number): number;
  /** Frames that met a full bucket table since the last call. */
  overflows(): number;
}

export const placeNames = [
  'CHUNK_OFFSET',
  'CHUNK_BYTES',
  'TABLE_OFFSET',
  'TABLE_ROWS',
  'ROW_BYTES',
  'NAME_OFFSET',
  'NAME_BYTES',
  'CLIENT_OFFSET',
  'CLIENT_BYTES',
  'SEEN_OFFSET',
  'SEEN_BYTES',
  'SCRATCH_OFFSET',
  'SCRATCH_BYTES',
  'SEGMENT_OFFSET',
  'SEGMENT_BYTES',
  'COUNTS_OFFSET',
] as const;

/** Offsets into the memory, and sizes in bytes (rows for TABLE_ROWS). */
export type Places = Readonly<Record<(typeof placeNames)[number], number>>;
