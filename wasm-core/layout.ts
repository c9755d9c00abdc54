/**
 * The memory map, drawn once. Nothing is allocated: every region has its place for good, and the
 * host reads the places of those it shares from the exported globals.
 *
 *   0         64 KiB   the compiler's own constants
 *   CRC       16 KiB   sixteen tables of 256 × u32, filled at start
 *   ROUTES    16 KiB   512 × 32      what a route index stands for
 *   LIMITS    88 KiB   1,024 × 88    rates, bursts, and one bucket each: its own, or its overflow
 *   COUNTS     2 KiB   512 × u32     frames of the open segment by route index            (shared)
 *   ALIASES    4 KiB   256 × 16      Topic Aliases seen in this call
 *   STACK     64 KiB   8,192 × 8     nodes still to visit while matching
 *   TRIES    3 × ~576 KiB            routes; local subscribers' filters; who may publish where
 *   BUCKETS  640 KiB   16,384 × 40   open addressing
 *   BITS       8 KiB   65,536 bits   Packet Identifiers seen, clear between calls
 *   NAME      64 KiB                 the device's name                                    (shared)
 *   CLIENT    64 KiB                 the Client Identifier it claims                      (shared)
 *   SEEN     128 KiB   65,536 × u16  Packet Identifiers captured and not released, in     (shared)
 *   SCRATCH   64 KiB                 Topic Filter in; Topic Name of an alias in           (shared)
 *   TABLE    256 KiB   4,096 × 64    descriptors out                                      (shared)
 *   CHUNK    512 KiB + slack         bytes in                                             (shared)
 *   SEGMENT  896 KiB + slack         the open segment; a body to verify                   (shared)
 *
 * Slack: short copies go eight bytes at a time and may touch up to seven behind the last. Regions
 * that grow with the number of devices do not exist: what is full says so or is shared, counted.
 */
const KIB: i32 = 1024;

export const SLACK_BYTES: i32 = 64;

export const CRC_OFFSET: i32 = 64 * KIB;
export const CRC_BYTES: i32 = 16 * KIB;

export const ROUTES_MAX: i32 = 512;
export const ROUTE_BYTES: i32 = 32;
export const ROUTES_OFFSET: i32 = CRC_OFFSET + CRC_BYTES;

export const LIMITS_MAX: i32 = 1024;
export const LIMIT_BYTES: i32 = 88;
export const LIMITS_OFFSET: i32 = ROUTES_OFFSET + ROUTES_MAX * ROUTE_BYTES;

export const COUNTS_OFFSET: i32 = LIMITS_OFFSET + LIMITS_MAX * LIMIT_BYTES;
export const COUNTS_BYTES: i32 = ROUTES_MAX * 4;

export const ALIASES_MAX: i32 = 256;
export const ALIAS_BYTES: i32 = 16;
export const ALIASES_OFFSET: i32 = COUNTS_OFFSET + COUNTS_BYTES;

export const NODES_MAX: i32 = 8192;
export const NODE_BYTES: i32 = 32;
export const STACK_ENTRY_BYTES: i32 = 8;
export const STACK_OFFSET: i32 = ALIASES_OFFSET + ALIASES_MAX * ALIAS_BYTES;

/** One trie: head, nodes, edges (open addressing, twice as many as nodes), text of the levels. */
export const TRIE_HEAD_BYTES: i32 = 64;
export const EDGES_MAX: i32 = 2 * NODES_MAX;
export const TRIE_TEXT_BYTES: i32 = 256 * KIB;
export const TRIE_NODES_AT: i32 = TRIE_HEAD_BYTES;
export const TRIE_EDGES_AT: i32 = TRIE_NODES_AT + NODES_MAX * NODE_BYTES;
export const TRIE_TEXT_AT: i32 = TRIE_EDGES_AT + EDGES_MAX * 4;
export const TRIE_BYTES: i32 = TRIE_TEXT_AT + TRIE_TEXT_BYTES;
export const ROUTE_TRIE: i32 = STACK_OFFSET + NODES_MAX * STACK_ENTRY_BYTES;
export const LOCAL_TRIE: i32 = ROUTE_TRIE + TRIE_BYTES;
export const ALLOW_TRIE: i32 = LOCAL_TRIE + TRIE_BYTES;

export const BUCKETS_MAX: i32 = 16384;
export const BUCKET_BYTES: i32 = 40;
export const BUCKETS_OFFSET: i32 = ALLOW_TRIE + TRIE_BYTES;

export const SEEN_BITS_OFFSET: i32 = BUCKETS_OFFSET + BUCKETS_MAX * BUCKET_BYTES;
export const SEEN_BITS_BYTES: i32 = 8 * KIB;

export const NAME_OFFSET: i32 = SEEN_BITS_OFFSET + SEEN_BITS_BYTES;
export const NAME_BYTES: i32 = 64 * KIB;
export const CLIENT_OFFSET: i32 = NAME_OFFSET + NAME_BYTES;
export const CLIENT_BYTES: i32 = 64 * KIB;
export const SEEN_OFFSET: i32 = CLIENT_OFFSET + CLIENT_BYTES;
export const SEEN_BYTES: i32 = 128 * KIB;
export const SCRATCH_OFFSET: i32 = SEEN_OFFSET + SEEN_BYTES;
export const SCRATCH_BYTES: i32 = 64 * KIB;

export const TABLE_OFFSET: i32 = SCRATCH_OFFSET + SCRATCH_BYTES;
export const TABLE_ROWS: i32 = 4096;
export const ROW_BYTES: i32 = 64;

export const CHUNK_OFFSET: i32 = TABLE_OFFSET + TABLE_ROWS * ROW_BYTES;
export const CHUNK_BYTES: i32 = 512 * KIB;
export const SEGMENT_OFFSET: i32 = CHUNK_OFFSET + CHUNK_BYTES + SLACK_BYTES;
export const SEGMENT_BYTES: i32 = 896 * KIB;

/** asconfig.json fixes the memory at 73 pages; a test holds it against this. */
export const MEMORY_END: i32 = SEGMENT_OFFSET + SEGMENT_BYTES + SLACK_BYTES;

/** Longest Topic Name, Topic Filter, device name or Client Identifier: two bytes of length. */
export const STRING_MAX: i32 = 65535;

/** Descriptor: 16 × i32. Word numbers are in `agent/frames/core.ts` too; a test compares. */
export const ROW_PACKET_TYPE: i32 = 0;
export const ROW_START: i32 = 1;
export const ROW_END: i32 = 2;
export const ROW_PACKET_IDENTIFIER: i32 = 3;
export const ROW_FIRST_BYTE: i32 = 4;
export const ROW_VERDICT: i32 = 5;
export const ROW_ROUTE: i32 = 6;
export const ROW_TOPIC_NAME_OFFSET: i32 = 7;
export const ROW_TOPIC_NAME_BYTES: i32 = 8;
export const ROW_PAYLOAD_OFFSET: i32 = 9;
export const ROW_PAYLOAD_BYTES: i32 = 10;
export const ROW_PROPERTIES_OFFSET: i32 = 11;
export const ROW_PROPERTIES_BYTES: i32 = 12;
export const ROW_TOPIC_ALIAS: i32 = 13;
export const ROW_LIMIT: i32 = 14;
export const ROW_BITS: i32 = 15;
