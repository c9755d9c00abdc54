/**
 * The core as the path uses it: regions filled, routes installed, the open segment sealed. Bytes go
 * in by copy (chunk, device name, the Topic Name behind an alias), a sealed body comes out as an
 * ArrayBuffer of its own that can be given to another thread.
 */
import { randomBytes } from 'node:crypto';
import type { Limit, Route } from '../config/types.ts';
import { TidegateError } from '../errors.ts';
import type { AllowFilter } from '../ingress/allow.ts';
import type { Clock } from '../ingress/clock.ts';
import type { HoldQueue } from '../ingress/hold-queue.ts';
import type { Source, Taken } from '../ingress/source.ts';
import {
  type Core,
  deviceRuleShift,
  ingestFlags,
  limitOver,
  limitPer,
  loadCore,
  routeTraits,
} from './core.ts';
import { faultName } from './faults.ts';
import { phaseFlags } from './tell-row.ts';

const epochHalfDigits = 8;
const hexadecimal = 16;
const seedBytes = 8;
const sharePrefix = '$share/';

export class PathCore {
  readonly core: Core;
  #routeIds: readonly number[] = [];
  /** Where the core has each limit, by what it is: one that stays keeps its buckets. */
  #limits = new Map<string, number>();

  constructor() {
    this.core = loadCore();
    // A random key for the hash of names: no device can choose its bucket.
    const seed = randomBytes(seedBytes);
    this.core.bucketsClear(seed.readInt32LE(0), seed.readInt32LE(seedBytes / 2));
  }

  /**
   * In the place of those before. A limit that its route had before, with the same rates and
   * bursts, keeps its buckets: nobody gains tokens by a reload. Another one starts full.
   * @throws TidegateError configTooLarge: the core has no room for that many
   */
  installRoutes(routes: readonly Route[], routeIds: readonly number[]): void {
    const { core } = this;
    const before = this.#limits;
    const names = routes.map(namesOfLimits);
    this.#limits = new Map();
    core.routesRenew();
    for (const name of names.flat()) {
      const at = before.get(name);
      if (at !== undefined) core.limitClaim(at);
    }
    core.limitsSettle();
    for (const [index, route] of routes.entries()) {
      const bytes = this.#putText(route.from);
      const traits =
        (route.local ? routeTraits.local : 0) | (route.httpOnly ? routeTraits.httpOnly : 0);
      const at = core.routeAdd(bytes, routeIds[index] ?? 0, route.maxBytes ?? 0, traits);
      if (at < 0) throw tooLarge(`route ${route.name}`, at);
      for (const [place, limit] of route.limits.entries()) {
        const name = names[index]?.[place] ?? '';
        const known = before.get(name);
        const over = limitOver[limit.over];
        const made =
          known === undefined ? this.#addLimit(at, limit) : core.limitKeep(at, known, over);
        if (made < 0) throw tooLarge(`limit of route ${route.name}`, made);
        this.#limits.set(name, made);
      }
    }
    this.#routeIds = routeIds;
  }

  /**
   * Whether a config fits the core, tried on another one: this one goes on as it is.
   * @throws TidegateError configTooLarge
   */
  static assertFits(routes: readonly Route[], rules: readonly AllowFilter[]): void {
    const trial = new PathCore();
    trial.installRoutes(routes, []);
    trial.installAllow(rules);
  }

  /**
   * Who may publish where, asked under `ingestFlags.allow`.
   * @throws TidegateError configTooLarge: the core has no room for that many
   */
  installAllow(rules: readonly AllowFilter[]): void {
    this.core.allowClear();
    for (const { filter, groups } of rules) {
      const found = this.core.allowAdd(this.#putText(filter), groups);
      if (found !== 0) throw tooLarge(`allow ${filter}`, found);
    }
  }

  /** Topic Filters that local subscribers hold; one the core cannot take matches everything. */
  setLocalFilters(filters: readonly string[]): void {
    this.core.localClear();
    for (const filter of filters) {
      if (this.core.localAdd(this.#putText(withoutShare(filter))) < 0) {
        this.core.localAdd(this.#putText('#'));
      }
    }
  }

  /**
   * One chunk of one source, under what its connection is known for.
   * @param budget the most frames this call may admit
   * @returns rows written
   */
  ingest(source: Source, bytes: Uint8Array, clock: Clock, budget: number): number {
    const { name, client, aliasName, allowGroups, seen, version } = source;
    const placed = this.putChunk(bytes);
    this.putName(name);
    if (client.length > 0) this.putClient(client);
    if (aliasName !== null) this.putAlias(aliasName);
    let flags = phaseFlags[source.phase] | (source.deviceRule << deviceRuleShift);
    if (!clock.synchronised) flags |= ingestFlags.clockUnsynced;
    if (source.copiesAll) flags |= ingestFlags.copyAll;
    if (source.authenticates) flags |= ingestFlags.auth;
    if (source.sessionEnds) flags |= ingestFlags.sessionEnds;
    if (allowGroups !== null) flags |= ingestFlags.allow;
    if (source.protocol === 'http') flags |= ingestFlags.http;
    return this.core.ingest(
      placed,
      name.length,
      client.length,
      version,
      flags,
      aliasName?.length ?? 0,
      source.aliasMaximum,
      source.maxPacketBytes,
      seen === null ? 0 : this.putSeen(seen.keys()),
      allowGroups ?? 0,
      clock.now(),
      clock.lived(),
      budget,
    );
  }

  /** Why and where `ingest` stopped, in numbers. */
  stopped(): Pick<Taken, 'consumed' | 'needed' | 'alias' | 'fault' | 'waitMs'> {
    const { core } = this;
    const [consumed, needed, waitMs] = [core.consumed(), core.needed(), core.waitMs()];
    return { consumed, needed, alias: core.aliasWanted(), fault: core.fault(), waitMs };
  }

  /** The source waits for the limit that stopped it. */
  holdOn(holds: Pick<HoldQueue, 'hold'>, source: Source): void {
    const { core } = this;
    holds.hold(source, core.heldLimit(), core.heldShared() === 1, core.waitMs());
  }

  /** Whether a route captures this Topic Name. */
  captures(topicName: Uint8Array): boolean {
    this.core.memory.set(topicName, this.core.SCRATCH_OFFSET);
    return this.core.routeFor(topicName.length) >= 0;
  }

  /** @returns bytes placed: a longer chunk is taken in parts */
  putChunk(bytes: Uint8Array): number {
    const { CHUNK_BYTES, CHUNK_OFFSET, memory } = this.core;
    const part = bytes.length > CHUNK_BYTES ? bytes.subarray(0, CHUNK_BYTES) : bytes;
    memory.set(part, CHUNK_OFFSET);
    return part.length;
  }

  putName(name: Uint8Array): void {
    this.core.memory.set(name, this.core.NAME_OFFSET);
  }

  putClient(identifier: Uint8Array): void {
    this.core.memory.set(identifier, this.core.CLIENT_OFFSET);
  }

  /** @param ids Packet Identifiers, each once @returns how many: `seenIdentifiers` */
  putSeen(ids: Iterable<number>): number {
    const { seen } = this.core;
    let count = 0;
    for (const id of ids) seen[count++] = id;
    return count;
  }

  putAlias(topicName: Uint8Array): void {
    this.core.memory.set(topicName, this.core.SCRATCH_OFFSET);
  }

  /** A view; it changes with the next call. */
  bytesAt(offset: number, bytes: number): Buffer {
    return this.core.bytes.subarray(offset, offset + bytes);
  }

  /** Frames of the open segment by stored route id. */
  routeCounts(): [routeId: number, frames: number][] {
    const counts: [number, number][] = [];
    for (const [index, id] of this.#routeIds.entries()) {
      const frames = this.core.counts[index] ?? 0;
      if (frames > 0) counts.push([id, frames]);
    }
    return counts;
  }

  /** Closes the open segment and begins an empty one. @param epoch 16 hex digits */
  seal(
    epoch: string,
    sequence: number,
    firstFrame: number,
    createdMs: number,
    livedMs: number,
  ): ArrayBuffer {
    const high = Number.parseInt(epoch.slice(0, epochHalfDigits), hexadecimal);
    const low = Number.parseInt(epoch.slice(epochHalfDigits), hexadecimal);
    const { core } = this;
    const bytes = core.seal(low, high, sequence, firstFrame, createdMs, livedMs);
    const body = new ArrayBuffer(bytes);
    new Uint8Array(body).set(this.bytesAt(core.SEGMENT_OFFSET, bytes));
    core.segmentReset();
    return body;
  }

  #addLimit(route: number, limit: Limit): number {
    return this.core.limitAdd(
      route,
      limitPer[limit.per],
      limit.messagesPerSecond,
      limit.bytesPerSecond,
      limit.burstMessages,
      limit.burstBytes,
      limitOver[limit.over],
    );
  }

  #putText(text: string): number {
    const bytes = Buffer.from(text);
    this.core.memory.set(bytes, this.core.SCRATCH_OFFSET);
    return bytes.length;
  }
}

/** What each limit of a route is, but for what happens over it; two equal ones differ by number. */
function namesOfLimits({ name, limits }: Route): string[] {
  const seen = new Map<string, number>();
  return limits.map(({ over: _, ...limit }) => {
    const what = JSON.stringify([name, limit]);
    const nth = seen.get(what) ?? 0;
    seen.set(what, nth + 1);
    return `${nth} ${what}`;
  });
}

function tooLarge(what: string, fault: number): TidegateError {
  return new TidegateError('configTooLarge', `${what}: ${faultName(-fault)}`);
}

/** `$share/group/filter` → `filter` [MQTT 5.0 section 4.8.2]. */
function withoutShare(filter: string): string {
  if (!filter.startsWith(sharePrefix)) return filter;
  const slash = filter.indexOf('/', sharePrefix.length);
  return slash < 0 ? filter : filter.slice(slash + 1);
}
