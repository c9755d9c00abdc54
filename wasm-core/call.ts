/**
 * The call in hand: what the host gave with it, and why it stopped. `ingest` begins it; whatever
 * reads, rates or writes a packet of this call looks here. Nothing of it outlives the call but its
 * number, which marks what was learnt within it.
 *
 * Stops: END everything was taken · PARTIAL the last packet is not whole · TABLE_FULL, BUDGET call
 * again · SEGMENT_FULL seal, then call again · HELD a limit says wait · FAULT the connection ends ·
 * AFTER_CONNECT a CONNECT was taken under FIRST · ALIAS the next PUBLISH has only a Topic Alias.
 */
import { FAULT_NONE } from './fault';

export const CAPTURE: i32 = 1;
export const FIRST: i32 = 2;
export const DOWN: i32 = 4;
export const CLOCK_UNSYNCED: i32 = 8;
/** Without it a PUBLISH of QoS 2 passes, with its route in the row. */
export const CAPTURE_QOS2: i32 = 16;
/** A captured PUBLISH of a local route is copied, whoever holds a subscription. */
export const COPY_ALL: i32 = 32;
/** A device's PUBLISH needs a filter of its groups in the ALLOW trie. */
export const ALLOW: i32 = 64;
/** The CONNECT of this connection named an Authentication Method: AUTH may come. */
export const AUTHENTICATES: i32 = 128;
/** Its Session Expiry Interval was 0. */
export const SESSION_ENDS: i32 = 256;
/** No CONNACK yet, and AUTH goes to and fro: nothing but AUTH and DISCONNECT may come. */
export const AUTH_PENDING: i32 = 512;
/** The chunk holds messages as `message.ts` has them, not MQTT Control Packets. */
export const MESSAGES: i32 = 1024;
/** They came over HTTP; without it over NATS. */
export const HTTP: i32 = 2048;

export const END: i32 = 0;
export const PARTIAL: i32 = 1;
export const TABLE_FULL: i32 = 2;
export const SEGMENT_FULL: i32 = 3;
export const HELD: i32 = 4;
export const FAULT: i32 = 5;
export const BUDGET: i32 = 6;
export const AFTER_CONNECT: i32 = 7;
export const ALIAS: i32 = 8;

export let version: i32 = 0;
export let flags: i32 = 0;
export let deviceBytes: i32 = 0;
export let clientBytes: i32 = 0;
/** Length of the Topic Name the host resolved, for the first packet only. */
export let resolvedBytes: i32 = 0;
export let aliasMaximum: i32 = 0;
export let allowGroups: i32 = 0;
export let wallMs: f64 = 0;
export let upMs: f64 = 0;
/** Aliases learnt in this call carry its number. */
export let call: u64 = 0;

/** Why a packet stopped the call. */
export let faulted: i32 = FAULT_NONE;
export let wanted: i32 = 0;
export let held: i32 = -1;

export function beginCall(
  versionNow: i32, flagsNow: i32, device: i32, client: i32, resolved: i32, aliases: i32,
  groups: i32, arrivalMs: f64, livedMs: f64,
): void {
  version = versionNow;
  flags = flagsNow;
  deviceBytes = device;
  clientBytes = client;
  resolvedBytes = resolved;
  aliasMaximum = aliases;
  allowGroups = groups;
  wallMs = arrivalMs;
  upMs = livedMs;
  faulted = FAULT_NONE;
  wanted = 0;
  held = -1;
  call++;
}

export function refuse(reason: i32): i32 {
  faulted = reason;
  return FAULT;
}

export function wantAlias(alias: i32): i32 {
  wanted = alias;
  return ALIAS;
}

export function holdBy(limit: i32): i32 {
  held = limit;
  return HELD;
}
