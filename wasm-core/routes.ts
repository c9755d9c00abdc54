/**
 * Routes as the core knows them: a filter in the trie, the id that frames store, the largest
 * payload, whether local subscribers may want a copy, and the chain of its limits. The index is the
 * order of `routeAdd`; the first route that matches wins, so it is the lowest index.
 *
 *   route  storedId u32 | maxPayloadBytes i32 | traits i32 | first limit i32 (−1 none)
 *          | levels of the first eight wildcards 8 × u8 (`LEVEL_NONE`; `#` with `LEVEL_REST`)
 */
import {
  LOCAL_TRIE, ROUTES_MAX, ROUTES_OFFSET, ROUTE_BYTES, ROUTE_TRIE, SCRATCH_OFFSET,
} from './layout';
import { FAULT_NONE, FAULT_ROUTES_FULL, FAULT_ROUTE_UNKNOWN, FAULT_TRIE_FULL } from './fault';
import { addLimit, claimLimit, keepLimit, limitsClear, limitsRenew, settleLimits } from './limits';
import { LOWEST, trieAdd, trieClear, trieEmpty, trieMatch } from './topics';

const ROUTE_STORED_ID: i32 = 0;
const ROUTE_MAX_PAYLOAD: i32 = 4;
const ROUTE_TRAITS: i32 = 8;
const ROUTE_LIMIT: i32 = 12;
const ROUTE_CAPTURES: i32 = 16;
/** A sum. */
const TRAIT_LOCAL: i32 = 1;
/** The last route: it takes what came over HTTP and no other route takes. */
const TRAIT_HTTP_ONLY: i32 = 2;
const CAPTURES_MAX: i32 = 8;
const LEVEL_NONE: i32 = 0xff;
/** This bit: all that follows, the route's `#`. */
export const LEVEL_REST: i32 = 0x80;
const SLASH: u8 = 0x2f;
const PLUS: u8 = 0x2b;
const HASH: u8 = 0x23;

/** `localAdd`: there is no room for this filter, everything matches from now on. */
const LOCAL_EVERYTHING: i32 = 1;

let routes: i32 = 0;
let localEmpty: bool = true;
let localEverything: bool = false;

@inline
function routeAt(index: i32): i32 {
  return ROUTES_OFFSET + index * ROUTE_BYTES;
}

/** Routes, their limits and all buckets. Frames already in the open segment stay. */
export function routesClear(): void {
  routes = 0;
  trieClear(ROUTE_TRIE, LOWEST);
  limitsClear();
}

/** As `routesClear`, but limits that are claimed before `limitsSettle` stay, to be kept again. */
export function routesRenew(): void {
  routes = 0;
  trieClear(ROUTE_TRIE, LOWEST);
  limitsRenew();
}

export function limitClaim(index: i32): void {
  claimLimit(index);
}

export function limitsSettle(): void {
  settleLimits();
}

export function routeAdd(
  filterBytes: i32, storedRouteId: u32, maxPayloadBytes: i32, traits: i32,
): i32 {
  if (routes == ROUTES_MAX) return -FAULT_ROUTES_FULL;
  const found = trieAdd(ROUTE_TRIE, filterBytes, routes);
  if (found != FAULT_NONE) return -found;
  const route = routeAt(routes);
  store<u32>(route, storedRouteId, ROUTE_STORED_ID);
  store<i32>(route, maxPayloadBytes, ROUTE_MAX_PAYLOAD);
  store<i32>(route, traits, ROUTE_TRAITS);
  store<i32>(route, -1, ROUTE_LIMIT);
  placeCaptures(route, filterBytes);
  return routes++;
}

/** In which level of the Topic Name each wildcard of the filter stands. */
function placeCaptures(route: i32, filterBytes: i32): void {
  store<u64>(route, -1, ROUTE_CAPTURES);
  let level = 0;
  let found = 0;
  for (let at = SCRATCH_OFFSET; at < SCRATCH_OFFSET + filterBytes; at++) {
    const byte = load<u8>(at);
    if (byte == SLASH) level++;
    if (byte != PLUS && byte != HASH) continue;
    if (found == CAPTURES_MAX || level >= LEVEL_REST) return;
    const value = byte == HASH ? level | LEVEL_REST : level;
    store<u8>(route + ROUTE_CAPTURES + found++, <u8>value);
  }
}

/** @param index of the wildcard, from 0. @returns its level, see `device.ts`; −1: there is none */
export function captureLevelOf(routeIndex: i32, index: i32): i32 {
  if (index >= CAPTURES_MAX) return -1;
  const level = <i32>load<u8>(routeAt(routeIndex) + ROUTE_CAPTURES + index);
  return level == LEVEL_NONE ? -1 : level;
}

export function limitAdd(
  routeIndex: i32, per: i32, messagesPerSecond: f64, bytesPerSecond: f64,
  burstMessages: f64, burstBytes: f64, over: i32,
): i32 {
  if (routeIndex < 0 || routeIndex >= routes) return -FAULT_ROUTE_UNKNOWN;
  const route = routeAt(routeIndex);
  const first = load<i32>(route, ROUTE_LIMIT);
  const made = addLimit(
    first, per, messagesPerSecond, bytesPerSecond, burstMessages, burstBytes, over,
  );
  if (made >= 0 && first < 0) store<i32>(route, made, ROUTE_LIMIT);
  return made;
}

/** In the place of `limitAdd` for a limit that was claimed. @returns its index or −fault */
export function limitKeep(routeIndex: i32, index: i32, over: i32): i32 {
  if (routeIndex < 0 || routeIndex >= routes) return -FAULT_ROUTE_UNKNOWN;
  const route = routeAt(routeIndex);
  const first = load<i32>(route, ROUTE_LIMIT);
  const kept = keepLimit(first, index, over);
  if (kept >= 0 && first < 0) store<i32>(route, kept, ROUTE_LIMIT);
  return kept;
}

export function localClear(): void {
  trieClear(LOCAL_TRIE, LOWEST);
  localEmpty = true;
  localEverything = false;
}

/** @returns 0; 1 when the trie is full and everything matches; −fault */
export function localAdd(filterBytes: i32): i32 {
  const found = trieAdd(LOCAL_TRIE, filterBytes, 0);
  if (found == FAULT_TRIE_FULL) {
    localEverything = true;
    localEmpty = false;
    return LOCAL_EVERYTHING;
  }
  localEmpty = trieEmpty(LOCAL_TRIE) && !localEverything;
  return -found;
}

@inline
export function routeOf(topicName: i32, bytes: i32, overHttp: bool): i32 {
  const found = routes == 0 ? -1 : trieMatch(ROUTE_TRIE, topicName, bytes);
  if (found < 0 || overHttp) return found;
  return load<i32>(routeAt(found), ROUTE_TRAITS) & TRAIT_HTTP_ONLY ? -1 : found;
}

@inline
export function isLocal(routeIndex: i32): bool {
  return (load<i32>(routeAt(routeIndex), ROUTE_TRAITS) & TRAIT_LOCAL) != 0;
}

/** Of the Topic Name in SCRATCH, come over MQTT. @returns route index, or −1 */
export function routeFor(topicNameBytes: i32): i32 {
  return routeOf(SCRATCH_OFFSET, topicNameBytes, false);
}

/** May a local subscriber of what this route captures want it? */
export function wantedLocally(routeIndex: i32, topicName: i32, bytes: i32): bool {
  if (localEmpty || !isLocal(routeIndex)) return false;
  return localEverything || trieMatch(LOCAL_TRIE, topicName, bytes) >= 0;
}

@inline
export function storedIdOf(routeIndex: i32): u32 {
  return load<u32>(routeAt(routeIndex), ROUTE_STORED_ID);
}

@inline
export function maxPayloadOf(routeIndex: i32): i32 {
  return load<i32>(routeAt(routeIndex), ROUTE_MAX_PAYLOAD);
}

@inline
export function firstLimitOf(routeIndex: i32): i32 {
  return load<i32>(routeAt(routeIndex), ROUTE_LIMIT);
}
