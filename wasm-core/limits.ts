/**
 * Token buckets. A limit belongs to a route and counts messages, bytes (of whole packets), or both.
 *
 *   limit   per | over | next of its route (+1) | bucket in use | messages/ms | bytes/ms | bursts
 *           | one bucket: its only one (per route, gateway) or its overflow (per device, topicName)
 *   bucket  key u64 (0: free) | messages f64 | bytes f64 | livedMs of these f64 | limit | stamp
 *
 * All limits of a frame are asked first, then all are charged: a frame that one of them stops costs
 * the others nothing. A bucket that is full again is no different from one that does not exist, so
 * only such may be evicted (promise 6); when none in the probe window is, the key falls to its
 * limit's overflow bucket, counted. A frame larger than the byte burst passes a full bucket and
 * leaves it below zero, else it would wait for ever. Time is lived time, an argument, in ms.
 *
 * New routes may keep limits of the old ones, with their buckets, so that a change of the config is
 * no gift of tokens: renew → claim each that stays → settle (the others go) → keep, or add, in the
 * order of the routes.
 */
import {
  BUCKETS_MAX,
  BUCKETS_OFFSET,
  BUCKET_BYTES,
  LIMITS_MAX,
  LIMITS_OFFSET,
  LIMIT_BYTES,
} from './layout';
import { FAULT_LIMITS_FULL, FAULT_LIMIT_INVALID } from './fault';
import { hash64, mix64, setSeed } from './hash';

export const PER_DEVICE: i32 = 0;
const PER_TOPIC_NAME: i32 = 2;
const PER_GATEWAY: i32 = 3;

export const OVER_HOLD: i32 = 0;
export const OVER_DROP: i32 = 1;
const OVER_BURY: i32 = 2;

const LIMIT_PER: i32 = 0;
const LIMIT_OVER: i32 = 4;
const LIMIT_NEXT: i32 = 8;
const LIMIT_BUCKET: i32 = 12;
const LIMIT_MESSAGES_RATE: i32 = 16;
const LIMIT_BYTES_RATE: i32 = 24;
const LIMIT_MESSAGES_BURST: i32 = 32;
const LIMIT_BYTES_BURST: i32 = 40;
const LIMIT_OWN: i32 = 48;

/** LIMIT_PER of a place that is free. */
const PER_NOTHING: i32 = -1;
/** LIMIT_NEXT between `limitClaim` and `limitsSettle`. */
const CLAIMED: i32 = -1;

const BUCKET_KEY: i32 = 0;
const BUCKET_MESSAGES: i32 = 8;
const BUCKET_TOKENS: i32 = 16;
const BUCKET_LIVED: i32 = 24;
const BUCKET_LIMIT: i32 = 32;
const BUCKET_STAMP: i32 = 36;

/** Slots looked at for one key: 10,000 busy devices at once all find one of their own. */
const WINDOW: i32 = 128;
/** Rounding of sums must not keep out a frame whose time has come. */
const EPSILON: f64 = 1e-6;
const MS_PER_SECOND: f64 = 1000;
const GOLDEN: u64 = 0x9e3779b97f4a7c15;
/** The key of a bucket whose limit is gone: no name has it, and its place may be taken. */
const KEY_GONE: u64 = 0xffffffffffffffff;

/** Places in use or free again; behind them nothing was ever written. */
let count: i32 = 0;
let stamp: u32 = 0;
let overflowed: u32 = 0;
let deviceHash: u64 = 0;
let deviceKnown: bool = false;

/** Of the last `askLimits` that did not pass. */
export let askedOver: i32 = 0;
export let askedShared: bool = false;
export let askedWaitMs: f64 = 0;

@inline
function limitAt(index: i32): i32 {
  return LIMITS_OFFSET + index * LIMIT_BYTES;
}

export function overflows(): u32 {
  const times = overflowed;
  overflowed = 0;
  return times;
}

export function limitsClear(): void {
  count = 0;
  emptyBuckets();
}

/** Limits are in no route from now on; until `limitsSettle` they may be claimed. */
export function limitsRenew(): void {
  for (let i = 0; i < count; i++) store<i32>(limitAt(i), 0, LIMIT_NEXT);
}

/** It stays, with its buckets. */
export function claimLimit(index: i32): void {
  if (index >= 0 && index < count) store<i32>(limitAt(index), CLAIMED, LIMIT_NEXT);
}

/** What was not claimed goes, and its buckets. */
export function settleLimits(): void {
  for (let i = 0; i < count; i++) {
    const limit = limitAt(i);
    if (load<i32>(limit, LIMIT_NEXT) != CLAIMED) store<i32>(limit, PER_NOTHING, LIMIT_PER);
    store<i32>(limit, 0, LIMIT_NEXT);
  }
  for (let i = 0; i < BUCKETS_MAX; i++) {
    const bucket = BUCKETS_OFFSET + i * BUCKET_BYTES;
    if (load<u64>(bucket, BUCKET_KEY) == 0) continue;
    const limit = limitAt(load<i32>(bucket, BUCKET_LIMIT));
    if (load<i32>(limit, LIMIT_PER) == PER_NOTHING) store<u64>(bucket, KEY_GONE, BUCKET_KEY);
  }
}

function emptyBuckets(): void {
  memory.fill(BUCKETS_OFFSET, 0, BUCKETS_MAX * BUCKET_BYTES);
  for (let i = 0; i < count; i++) fill(limitAt(i) + LIMIT_OWN, limitAt(i), 0);
}

/** Every bucket is full again. @param seedLow, seedHigh key the hash of names */
export function bucketsClear(seedLow: u32, seedHigh: u32): void {
  setSeed(seedLow, seedHigh);
  emptyBuckets();
}

function sound(rate: f64, burst: f64): bool {
  return rate >= 0 && rate < Infinity && (rate == 0 || (burst > 0 && burst < Infinity));
}

/** A rate of 0 is no limit of that kind; at least one is not 0. @returns limit index or −fault */
export function addLimit(
  first: i32, per: i32, messagesPerSecond: f64, bytesPerSecond: f64,
  burstMessages: f64, burstBytes: f64, over: i32,
): i32 {
  if (per < PER_DEVICE || per > PER_GATEWAY) return -FAULT_LIMIT_INVALID;
  if (over < OVER_HOLD || over > OVER_BURY) return -FAULT_LIMIT_INVALID;
  if (!sound(messagesPerSecond, burstMessages)) return -FAULT_LIMIT_INVALID;
  if (!sound(bytesPerSecond, burstBytes)) return -FAULT_LIMIT_INVALID;
  if (messagesPerSecond == 0 && bytesPerSecond == 0) return -FAULT_LIMIT_INVALID;
  const index = freePlace();
  if (index == LIMITS_MAX) return -FAULT_LIMITS_FULL;
  if (index == count) count++;
  const limit = limitAt(index);
  memory.fill(limit, 0, LIMIT_BYTES);
  store<i32>(limit, per, LIMIT_PER);
  store<i32>(limit, over, LIMIT_OVER);
  store<f64>(limit, messagesPerSecond / MS_PER_SECOND, LIMIT_MESSAGES_RATE);
  store<f64>(limit, bytesPerSecond / MS_PER_SECOND, LIMIT_BYTES_RATE);
  store<f64>(limit, max<f64>(burstMessages, 1), LIMIT_MESSAGES_BURST);
  store<f64>(limit, burstBytes, LIMIT_BYTES_BURST);
  fill(limit + LIMIT_OWN, limit, 0);
  append(first, index);
  return index;
}

/** A limit that was claimed, behind the others of its route. @returns its index or −fault */
export function keepLimit(first: i32, index: i32, over: i32): i32 {
  if (index < 0 || index >= count) return -FAULT_LIMIT_INVALID;
  if (load<i32>(limitAt(index), LIMIT_PER) == PER_NOTHING) return -FAULT_LIMIT_INVALID;
  if (over < OVER_HOLD || over > OVER_BURY) return -FAULT_LIMIT_INVALID;
  store<i32>(limitAt(index), over, LIMIT_OVER);
  append(first, index);
  return index;
}

function freePlace(): i32 {
  let index = 0;
  while (index < count && load<i32>(limitAt(index), LIMIT_PER) != PER_NOTHING) index++;
  return index;
}

/** @param first limit of the route; −1: it has none yet */
function append(first: i32, index: i32): void {
  if (first < 0) return;
  let last = limitAt(first);
  while (load<i32>(last, LIMIT_NEXT) != 0) last = limitAt(load<i32>(last, LIMIT_NEXT) - 1);
  store<i32>(last, index + 1, LIMIT_NEXT);
}

function fill(bucket: i32, limit: i32, livedMs: f64): void {
  store<f64>(bucket, load<f64>(limit, LIMIT_MESSAGES_BURST), BUCKET_MESSAGES);
  store<f64>(bucket, load<f64>(limit, LIMIT_BYTES_BURST), BUCKET_TOKENS);
  store<f64>(bucket, livedMs, BUCKET_LIVED);
}

/** Tokens at `livedMs`; nothing is written. A clock that went back adds nothing. */
@inline
function messagesAt(bucket: i32, limit: i32, livedMs: f64): f64 {
  const passed = max<f64>(0, livedMs - load<f64>(bucket, BUCKET_LIVED));
  const had = load<f64>(bucket, BUCKET_MESSAGES);
  const burst = load<f64>(limit, LIMIT_MESSAGES_BURST);
  return min<f64>(burst, had + passed * load<f64>(limit, LIMIT_MESSAGES_RATE));
}

@inline
function bytesAt(bucket: i32, limit: i32, livedMs: f64): f64 {
  const passed = max<f64>(0, livedMs - load<f64>(bucket, BUCKET_LIVED));
  const had = load<f64>(bucket, BUCKET_TOKENS);
  const burst = load<f64>(limit, LIMIT_BYTES_BURST);
  return min<f64>(burst, had + passed * load<f64>(limit, LIMIT_BYTES_RATE));
}

/** As good as not there. Buckets of this very frame are not: two of its limits may meet. */
function evictable(bucket: i32, livedMs: f64): bool {
  if (load<u64>(bucket, BUCKET_KEY) == KEY_GONE) return true;
  if (load<u32>(bucket, BUCKET_STAMP) == stamp) return false;
  const limit = limitAt(load<i32>(bucket, BUCKET_LIMIT));
  if (load<f64>(limit, LIMIT_MESSAGES_RATE) != 0) {
    const burst = load<f64>(limit, LIMIT_MESSAGES_BURST);
    if (messagesAt(bucket, limit, livedMs) < burst) return false;
  }
  if (load<f64>(limit, LIMIT_BYTES_RATE) == 0) return true;
  return bytesAt(bucket, limit, livedMs) >= load<f64>(limit, LIMIT_BYTES_BURST);
}

/** The bucket of `key`, made full where there is room; the limit's overflow where there is none. */
function bucketOf(key: u64, limit: i32, index: i32, livedMs: f64): i32 {
  let free = 0;
  for (let i = 0; i < WINDOW; i++) {
    const slot = (<i32>key + i) & (BUCKETS_MAX - 1);
    const bucket = BUCKETS_OFFSET + slot * BUCKET_BYTES;
    const found = load<u64>(bucket, BUCKET_KEY);
    if (found == key) {
      store<u32>(bucket, stamp, BUCKET_STAMP);
      return bucket;
    }
    if (found == 0) {
      if (free == 0) free = bucket;
      break; // slots are never freed, so the key is not behind this one
    }
    if (free == 0 && evictable(bucket, livedMs)) free = bucket;
  }
  if (free == 0) {
    overflowed++;
    return limit + LIMIT_OWN;
  }
  fill(free, limit, livedMs);
  store<u64>(free, key, BUCKET_KEY);
  store<i32>(free, index, BUCKET_LIMIT);
  store<u32>(free, stamp, BUCKET_STAMP);
  return free;
}

/** The device is another one from now on: its name is hashed when it is asked for. */
export function beginDevice(): void {
  deviceKnown = false;
}

function keyOf(index: i32, named: u64): u64 {
  const key = mix64(named ^ ((<u64>index + 1) * GOLDEN));
  return key == 0 || key == KEY_GONE ? 1 : key;
}

function waitOf(limit: i32, bucket: i32, bytes: i32, livedMs: f64): f64 {
  let wait: f64 = 0;
  const messagesRate = load<f64>(limit, LIMIT_MESSAGES_RATE);
  if (messagesRate != 0) {
    const lacks = 1 - messagesAt(bucket, limit, livedMs);
    if (lacks > EPSILON) wait = lacks / messagesRate;
  }
  const bytesRate = load<f64>(limit, LIMIT_BYTES_RATE);
  if (bytesRate != 0) {
    const need = min<f64>(bytes, load<f64>(limit, LIMIT_BYTES_BURST));
    const lacks = need - bytesAt(bucket, limit, livedMs);
    if (lacks > EPSILON) wait = max<f64>(wait, lacks / bytesRate);
  }
  return wait;
}

/**
 * Asks every limit of a route whether a packet of `bytes` may pass; charges nothing.
 * @returns −1 when all let it pass, else the index of the first that does not
 */
export function askLimits(
  first: i32, topicName: i32, topicNameBytes: i32, device: i32, deviceBytes: i32, bytes: i32,
  livedMs: f64,
): i32 {
  let stopped = -1;
  let topicHash: u64 = 0;
  let topicKnown = false;
  askedWaitMs = 0;
  stamp++;
  for (let index = first; index >= 0; index = load<i32>(limitAt(index), LIMIT_NEXT) - 1) {
    const limit = limitAt(index);
    const per = load<i32>(limit, LIMIT_PER);
    let bucket = limit + LIMIT_OWN;
    if (per == PER_DEVICE) {
      if (!deviceKnown) deviceHash = hash64(device, deviceBytes);
      deviceKnown = true;
      bucket = bucketOf(keyOf(index, deviceHash), limit, index, livedMs);
    } else if (per == PER_TOPIC_NAME) {
      if (!topicKnown) topicHash = hash64(topicName, topicNameBytes);
      topicKnown = true;
      bucket = bucketOf(keyOf(index, topicHash), limit, index, livedMs);
    }
    store<i32>(limit, bucket, LIMIT_BUCKET);
    const wait = waitOf(limit, bucket, bytes, livedMs);
    if (wait > 0) {
      askedWaitMs = max<f64>(askedWaitMs, wait);
      if (stopped < 0) {
        stopped = index;
        askedOver = load<i32>(limit, LIMIT_OVER);
        askedShared = per != PER_DEVICE || bucket == limit + LIMIT_OWN;
      }
    }
  }
  return stopped;
}

/** Charges what the last `askLimits` of this route let pass. */
export function chargeLimits(first: i32, bytes: i32, livedMs: f64): void {
  for (let index = first; index >= 0; index = load<i32>(limitAt(index), LIMIT_NEXT) - 1) {
    const limit = limitAt(index);
    const bucket = load<i32>(limit, LIMIT_BUCKET);
    store<f64>(bucket, messagesAt(bucket, limit, livedMs) - 1, BUCKET_MESSAGES);
    store<f64>(bucket, bytesAt(bucket, limit, livedMs) - <f64>bytes, BUCKET_TOKENS);
    store<f64>(bucket, max<f64>(livedMs, load<f64>(bucket, BUCKET_LIVED)), BUCKET_LIVED);
  }
}
