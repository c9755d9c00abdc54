/**
 * Topic Filters as a trie, and the match of a Topic Name against it [MQTT-4.7].
 *
 *   trie  head (nodes, text used, full) | nodes | edges | text of the levels
 *   node  parent | textAt | textBytes | hash | plus child | literal children | value | value of '#'
 *
 * A literal child is found through the edge table: open addressing on (parent, hash of the level),
 * compared byte by byte. `+` is one child of its own; `#` is a value on the node of its parent
 * level, so that `sport/#` also matches `sport`. A node has one parent, so a match visits each node
 * at most once, with an explicit stack. Values are route indices, or 0 for local subscribers; the
 * lowest one that matches wins. Node 0 is the root. Nothing is ever taken out but by `clear`.
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

const SLASH: u8 = 0x2f;
const PLUS: u8 = 0x2b;
const HASH: u8 = 0x23;
const DOLLAR: u8 = 0x24;

const HEAD_NODES: i32 = 0;
const HEAD_TEXT: i32 = 4;

const NODE_PARENT: i32 = 0;
const NODE_TEXT: i32 = 4;
const NODE_TEXT_BYTES: i32 = 8;
const NODE_HASH: i32 = 12;
const NODE_PLUS: i32 = 16;
const NODE_LITERALS: i32 = 20;
const NODE_VALUE: i32 = 24;
const NODE_HASH_VALUE: i32 = 28;
const NO_VALUE: i32 = -1;

@inline
function node(trie: i32, index: i32): i32 {
  return trie + TRIE_NODES_AT + index * NODE_BYTES;
}

export function trieClear(trie: i32): void {
  memory.fill(trie + TRIE_EDGES_AT, 0, EDGES_MAX * 4);
  store<i32>(trie, 0, HEAD_NODES);
  store<i32>(trie, 0, HEAD_TEXT);
  newNode(trie, 0);
}

export function trieEmpty(trie: i32): bool {
  const root = node(trie, 0);
  return load<i32>(trie, HEAD_NODES) == 1 && load<i32>(root, NODE_HASH_VALUE) == NO_VALUE;
}

/** @returns its index; the caller made sure of the room */
function newNode(trie: i32, parent: i32): i32 {
  const index = load<i32>(trie, HEAD_NODES);
  store<i32>(trie, index + 1, HEAD_NODES);
  const at = node(trie, index);
  memory.fill(at, 0, NODE_BYTES);
  store<i32>(at, parent, NODE_PARENT);
  store<i32>(at, NO_VALUE, NODE_VALUE);
  store<i32>(at, NO_VALUE, NODE_HASH_VALUE);
  return index;
}

/** End of the level that begins at `at`: the next '/', or `end`. */
@inline
function levelEnd(at: i32, end: i32): i32 {
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

/** First come, first served: a value that stands stays. */
function setValue(at: i32, value: i32): i32 {
  if (load<i32>(at) == NO_VALUE) store<i32>(at, value);
  return FAULT_NONE;
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
    const first = to > at ? load<u8>(at) : 0;
    if (first == HASH) return setValue(node(trie, index) + NODE_HASH_VALUE, value);
    index = first == PLUS ? plusChild(trie, index) : literalChild(trie, index, at, to);
    if (index < 0) return FAULT_TRIE_FULL;
    if (to == end) return setValue(node(trie, index) + NODE_VALUE, value);
    at = to + 1;
  }
}

@inline
function lower(best: i32, value: i32): i32 {
  return <i32>min(<u32>best, <u32>value); // NO_VALUE is the largest of all
}

@inline
function push(depth: i32, index: i32, at: i32): i32 {
  const entry = STACK_OFFSET + depth * STACK_ENTRY_BYTES;
  store<i32>(entry, index);
  store<i32>(entry, at, 4);
  return depth + 1;
}

/** @returns the lowest value whose filter matches the Topic Name, or -1 */
export function trieMatch(trie: i32, topicName: i32, bytes: i32): i32 {
  const end = topicName + bytes;
  // Filters that begin with a wildcard do not match names that begin with $ [MQTT-4.7.2-1].
  const hidden = bytes != 0 && load<u8>(topicName) == DOLLAR;
  let best = NO_VALUE;
  let depth = push(0, 0, topicName);
  while (depth > 0) {
    const entry = STACK_OFFSET + --depth * STACK_ENTRY_BYTES;
    const index = load<i32>(entry);
    const at = load<i32>(entry, 4);
    const here = node(trie, index);
    const shown = index != 0 || !hidden;
    if (shown) best = lower(best, load<i32>(here, NODE_HASH_VALUE));
    if (at > end) {
      best = lower(best, load<i32>(here, NODE_VALUE));
      continue;
    }
    const to = levelEnd(at, end);
    const plus = load<i32>(here, NODE_PLUS);
    if (plus != 0 && shown) depth = push(depth, plus, to + 1);
    if (load<i32>(here, NODE_LITERALS) != 0) {
      const child = load<i32>(edgeSlot(trie, index, levelHash(index, at, to), at, to - at));
      if (child != 0) depth = push(depth, child, to + 1);
    }
  }
  return best;
}
