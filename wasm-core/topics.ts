/**
 * Topic Filters as a trie, and the match of a Topic Name against it [MQTT-4.7].
 *
 *   trie  head (nodes, text used, none) | nodes | edges | text of the levels
 *   node  parent | textAt | textBytes | hash | plus child | literal children | value | value of '#'
 *
 * A literal child is found through the edge table: open addressing on (parent, hash of the level),
 * compared byte by byte. `+` is one child of its own; `#` is a value on the node of its parent
 * level, so that `sport/#` also matches `sport`. A node has one parent, so a match visits each node
 * at most once, with an explicit stack. Node 0 is the root. Nothing is taken out but by `clear`.
 *
 * What several filters that match say together depends on the trie. LOWEST: the lowest value (route
 * indices; 0 for local subscribers). UNION: all of them OR-ed (masks of groups); there a level
 * `{device}` is the device's own name, kept as a literal that no Topic Name has: `/`. The value
 * that changes nothing is what a node has at first: −1 or 0, it stands in the head, names the kind.
 */
import {
  EDGES_MAX,
  NODES_MAX,
  NODE_BYTES,
  SCRATCH_OFFSET,
  STACK_ENTRY_BYTES,
  STACK_OFFSET,
  STRING_MAX,
  TRIE_EDGES_AT,
  TRIE_NODES_AT,
  TRIE_TEXT_AT,
  TRIE_TEXT_BYTES,
} from './layout';
import {
  FAULT_ARGUMENT,
  FAULT_NONE,
  FAULT_TOPIC_FILTER_EMPTY,
  FAULT_TOPIC_FILTER_WILDCARD,
  FAULT_TRIE_FULL,
  FAULT_UTF8,
} from './fault';
import { TEXT_MALFORMED, textClass } from './utf8';

export const SLASH: u8 = 0x2f;
export const PLUS: u8 = 0x2b;
const HASH: u8 = 0x23;
const DOLLAR: u8 = 0x24;

const HEAD_NODES: i32 = 0;
const HEAD_TEXT: i32 = 4;
const HEAD_NONE: i32 = 8;

const NODE_PARENT: i32 = 0;
const NODE_TEXT: i32 = 4;
const NODE_TEXT_BYTES: i32 = 8;
const NODE_HASH: i32 = 12;
const NODE_PLUS: i32 = 16;
const NODE_LITERALS: i32 = 20;
const NODE_VALUE: i32 = 24;
const NODE_HASH_VALUE: i32 = 28;

/** Kinds of tries, by the value that changes nothing. */
export const LOWEST: i32 = -1;
export const UNION: i32 = 0;

const DEVICE: u64 = 0x7d6563697665647b; // '{device}'
const DEVICE_BYTES: i32 = 8;
const DEVICE_LEVEL: i32 = <i32>memory.data<u8>([SLASH]);
const DEVICE_LEVEL_END: i32 = DEVICE_LEVEL + 1;

@inline
function node(trie: i32, index: i32): i32 {
  return trie + TRIE_NODES_AT + index * NODE_BYTES;
}

/** @param none LOWEST or UNION */
export function trieClear(trie: i32, none: i32): void {
  memory.fill(trie + TRIE_EDGES_AT, 0, EDGES_MAX * 4);
  store<i32>(trie, 0, HEAD_NODES);
  store<i32>(trie, 0, HEAD_TEXT);
  store<i32>(trie, none, HEAD_NONE);
  newNode(trie, 0);
}

export function trieEmpty(trie: i32): bool {
  const root = node(trie, 0);
  const none = load<i32>(trie, HEAD_NONE);
  return load<i32>(trie, HEAD_NODES) == 1 && load<i32>(root, NODE_HASH_VALUE) == none;
}

/** @returns its index; the caller made sure of the room */
function newNode(trie: i32, parent: i32): i32 {
  const index = load<i32>(trie, HEAD_NODES);
  store<i32>(trie, index + 1, HEAD_NODES);
  const at = node(trie, index);
  memory.fill(at, 0, NODE_BYTES);
  store<i32>(at, parent, NODE_PARENT);
  const none = load<i32>(trie, HEAD_NONE);
  store<i32>(at, none, NODE_VALUE);
  store<i32>(at, none, NODE_HASH_VALUE);
  return index;
}

/** End of the level that begins at `at`: the next '/', or `end`. */
@inline
export function levelEnd(at: i32, end: i32): i32 {
  while (at < end && load<u8>(at) != SLASH) at++;
  return at;
}

/** FNV-1a over the level, begun from its parent. */
@inline
function levelHash(parent: i32, at: i32, end: i32): u32 {
  let hash: u32 = 0x811c9dc5 ^ (<u32>parent * 0x9e3779b1);
  for (; at < end; at++) hash = (hash ^ load<u8>(at)) * 0x01000193;
  return hash ^ (hash >> 15);
}

/** The slot of the edge (parent, level): it holds the child, or 0 where it would go. */
function edgeSlot(trie: i32, parent: i32, hash: u32, at: i32, bytes: i32): i32 {
  let slot = hash & (EDGES_MAX - 1);
  while (true) {
    const edge = trie + TRIE_EDGES_AT + (slot << 2);
    const child = load<i32>(edge);
    if (child == 0) return edge;
    const found = node(trie, child);
    if (
      load<u32>(found, NODE_HASH) == hash &&
      load<i32>(found, NODE_PARENT) == parent &&
      load<i32>(found, NODE_TEXT_BYTES) == bytes &&
      memory.compare(load<i32>(found, NODE_TEXT), at, bytes) == 0
    ) {
      return edge;
    }
    slot = (slot + 1) & (EDGES_MAX - 1);
  }
}

/** Level by level: '#' alone and last, '+' alone [MQTT-4.7.1-1, -2]. */
export function filterFault(at: i32, bytes: i32): i32 {
  if (bytes < 0 || bytes > STRING_MAX) return FAULT_ARGUMENT;
  if (bytes == 0) return FAULT_TOPIC_FILTER_EMPTY; // [MQTT-4.7.3-1]
  if (textClass(at, bytes) == TEXT_MALFORMED) return FAULT_UTF8; // [MQTT-4.7.3-2]
  const end = at + bytes;
  let level = at;
  while (true) {
    const to = levelEnd(level, end);
    for (let i = level; i < to; i++) {
      const byte = load<u8>(i);
      const alone = to - level == 1;
      if (byte == PLUS && !alone) return FAULT_TOPIC_FILTER_WILDCARD;
      if (byte == HASH && (!alone || to != end)) return FAULT_TOPIC_FILTER_WILDCARD;
    }
    if (to == end) return FAULT_NONE;
    level = to + 1;
  }
}

/** The child of `parent` for the literal level, made if it is not there; -1: no room. */
function literalChild(trie: i32, parent: i32, at: i32, to: i32): i32 {
  const bytes = to - at;
  const hash = levelHash(parent, at, to);
  const edge = edgeSlot(trie, parent, hash, at, bytes);
  const found = load<i32>(edge);
  if (found != 0) return found;
  const used = load<i32>(trie, HEAD_TEXT);
  if (load<i32>(trie, HEAD_NODES) == NODES_MAX || used + bytes > TRIE_TEXT_BYTES) return -1;
  const child = newNode(trie, parent);
  const text = trie + TRIE_TEXT_AT + used;
  memory.copy(text, at, bytes);
  store<i32>(trie, used + bytes, HEAD_TEXT);
  const made = node(trie, child);
  store<i32>(made, text, NODE_TEXT);
  store<i32>(made, bytes, NODE_TEXT_BYTES);
  store<u32>(made, hash, NODE_HASH);
  const above = node(trie, parent);
  store<i32>(above, load<i32>(above, NODE_LITERALS) + 1, NODE_LITERALS);
  store<i32>(edge, child);
  return child;
}

function plusChild(trie: i32, parent: i32): i32 {
  const above = node(trie, parent);
  const found = load<i32>(above, NODE_PLUS);
  if (found != 0) return found;
  if (load<i32>(trie, HEAD_NODES) == NODES_MAX) return -1;
  const child = newNode(trie, parent);
  store<i32>(above, child, NODE_PLUS);
  return child;
}

/** Two values of filters that both match. */
@inline
function both(union: bool, one: i32, other: i32): i32 {
  return union ? one | other : <i32>min(<u32>one, <u32>other); // LOWEST is the largest of all
}

function setValue(trie: i32, at: i32, value: i32): i32 {
  store<i32>(at, both(load<i32>(trie, HEAD_NONE) == UNION, load<i32>(at), value));
  return FAULT_NONE;
}

function childFor(trie: i32, parent: i32, at: i32, to: i32): i32 {
  if (to - at == 1 && load<u8>(at) == PLUS) return plusChild(trie, parent);
  const device = to - at == DEVICE_BYTES && load<u64>(at) == DEVICE;
  return device && load<i32>(trie, HEAD_NONE) == UNION
    ? literalChild(trie, parent, DEVICE_LEVEL, DEVICE_LEVEL_END)
    : literalChild(trie, parent, at, to);
}

/** Adds the Topic Filter in SCRATCH. A filter that found no room leaves nodes, but no value. */
export function trieAdd(trie: i32, bytes: i32, value: i32): i32 {
  const found = filterFault(SCRATCH_OFFSET, bytes);
  if (found != FAULT_NONE) return found;
  const end = SCRATCH_OFFSET + bytes;
  let at = SCRATCH_OFFSET;
  let index = 0;
  while (true) {
    const to = levelEnd(at, end);
    if (to > at && load<u8>(at) == HASH) {
      return setValue(trie, node(trie, index) + NODE_HASH_VALUE, value);
    }
    index = childFor(trie, index, at, to);
    if (index < 0) return FAULT_TRIE_FULL;
    if (to == end) return setValue(trie, node(trie, index) + NODE_VALUE, value);
    at = to + 1;
  }
}

@inline
function push(depth: i32, index: i32, at: i32): i32 {
  const entry = STACK_OFFSET + depth * STACK_ENTRY_BYTES;
  store<i32>(entry, index);
  store<i32>(entry, at, 4);
  return depth + 1;
}

/** The child of `parent` for the literal level; 0: none. */
@inline
function literalOf(trie: i32, parent: i32, at: i32, to: i32): i32 {
  return load<i32>(edgeSlot(trie, parent, levelHash(parent, at, to), at, to - at));
}

/** The level [at, to) is the device's name, and that is no name of the broker's own ($…). */
@inline
function isDevice(at: i32, to: i32, device: i32, deviceBytes: i32): bool {
  if (deviceBytes == 0 || to - at != deviceBytes || load<u8>(device) == DOLLAR) return false;
  return memory.compare(at, device, deviceBytes) == 0;
}

/** `union` is a constant where this is called: each kind has its own loop, without the other's. */
@inline
function visit(
  trie: i32, topicName: i32, bytes: i32, union: bool, device: i32, deviceBytes: i32,
): i32 {
  const end = topicName + bytes;
  // Filters that begin with a wildcard do not match names that begin with $ [MQTT-4.7.2-1].
  const hidden = bytes != 0 && load<u8>(topicName) == DOLLAR;
  let best = union ? UNION : LOWEST;
  let depth = push(0, 0, topicName);
  while (depth > 0) {
    const entry = STACK_OFFSET + --depth * STACK_ENTRY_BYTES;
    const index = load<i32>(entry);
    const at = load<i32>(entry, 4);
    const here = node(trie, index);
    const shown = index != 0 || !hidden;
    if (shown) best = both(union, best, load<i32>(here, NODE_HASH_VALUE));
    if (at > end) {
      best = both(union, best, load<i32>(here, NODE_VALUE));
      continue;
    }
    const to = levelEnd(at, end);
    const plus = load<i32>(here, NODE_PLUS);
    if (plus != 0 && shown) depth = push(depth, plus, to + 1);
    if (load<i32>(here, NODE_LITERALS) != 0) {
      const child = literalOf(trie, index, at, to);
      if (child != 0) depth = push(depth, child, to + 1);
      if (union && isDevice(at, to, device, deviceBytes)) {
        const own = literalOf(trie, index, DEVICE_LEVEL, DEVICE_LEVEL_END);
        if (own != 0) depth = push(depth, own, to + 1);
      }
    }
  }
  return best;
}

/** @returns the lowest value whose filter matches the Topic Name, or −1 */
export function trieMatch(trie: i32, topicName: i32, bytes: i32): i32 {
  return visit(trie, topicName, bytes, false, 0, 0);
}

/** @returns the masks of all filters that match, OR-ed */
export function trieUnion(
  trie: i32, topicName: i32, bytes: i32, device: i32, deviceBytes: i32,
): i32 {
  return visit(trie, topicName, bytes, true, device, deviceBytes);
}
