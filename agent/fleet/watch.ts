/**
 * The keys of one gateway in the fleet's bucket, followed while one connection lasts:
 *
 *   looking ──bucket there──▶ reading ──all that it holds──▶ following ──each entry──▶ following
 *      ▲        └──missing: made, or──▶ waiting ──fleetLookAgainMs──┐
 *      └──────────── the watch ended (bucket deleted, not allowed) ─┘
 *
 * Each key has a watch of its own: servers before 2.10 cannot filter one by several subjects. A
 * connection that comes back begins anew with the whole history: nothing is missed.
 */
import type { KvWatchInclude, QueuedIterator } from 'nats';
import { fleetHistory, fleetLookAgainMs } from '../bounds.ts';
import { messageOf } from '../errors.ts';
import type { NatsConnection } from '../nats-client.ts';
import type { BucketEntry } from './history.ts';

type Kv = Awaited<ReturnType<NatsConnection['bucket']>>;
type Found = Awaited<ReturnType<Kv['watch']>> extends QueuedIterator<infer E> ? E : never;

export interface WatchParts {
  readonly connection: NatsConnection;
  readonly bucket: string;
  readonly keys: readonly string[];
  /** All that there is of this key, oldest first; again after each change. */
  readonly heard: (key: string, entries: readonly BucketEntry[]) => void;
  /** It cannot be read, and is looked for again. */
  readonly waiting: (reason: string) => void;
}

const history = 'history' as KvWatchInclude;

export class BucketWatch {
  readonly #parts: WatchParts;
  readonly #watches = new Map<string, QueuedIterator<Found>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  #state: 'open' | 'closed' = 'open';

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** Resolves when each key was read, or could not be. */
  async open(): Promise<void> {
    await Promise.all(this.#parts.keys.map((key) => this.#look(key)));
  }

  close(): void {
    this.#state = 'closed';
    for (const watch of this.#watches.values()) watch.stop();
    for (const timer of this.#timers) clearTimeout(timer);
  }

  /** Asked after an await: it may have come to that meanwhile. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Resolves when all that there was is read. */
  #look(key: string): Promise<void> {
    const read = Promise.withResolvers<void>();
    void this.#follow(key, read.resolve)
      .catch((error) => {
        if (!this.#isClosed()) this.#parts.waiting(messageOf(error));
      })
      .then(() => {
        read.resolve();
        if (!this.#isClosed()) this.#later(key);
      });
    return read.promise;
  }

  #later(key: string): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      void this.#look(key);
    }, fleetLookAgainMs);
    this.#timers.add(timer);
  }

  /** Returns when the watch has ended. */
  async #follow(key: string, read: () => void): Promise<void> {
    const { heard } = this.#parts;
    const entries: BucketEntry[] = [];
    let isRead = false;
    let told = false;
    let watch: QueuedIterator<Found> | null = null;
    // The library may say so before what it has received was taken from it.
    const tell = (): void => {
      if (watch === null || !isRead || told || entries.length < watch.getReceived()) return;
      told = true;
      heard(key, [...entries]);
      read();
    };
    const initializedFn = (): void => {
      isRead = true;
      tell();
    };
    watch = await (await this.#bucket()).watch({ key, include: history, initializedFn });
    if (this.#isClosed()) return watch.stop();
    this.#watches.set(key, watch);
    tell();
    for await (const found of watch) {
      if (this.#isClosed()) return;
      entries.push(entryOf(found));
      if (told) entries.splice(0, entries.length - fleetHistory);
      if (told) heard(key, [...entries]);
      else tell();
    }
  }

  async #bucket(): Promise<Kv> {
    const { connection, bucket } = this.#parts;
    const { streams } = await connection.manager();
    try {
      await streams.info(`KV_${bucket}`);
    } catch {
      // Missing, or we may not ask: made where that is allowed, else the reason is thrown.
      return await connection.bucket(bucket, { history: fleetHistory });
    }
    return await connection.bucket(bucket);
  }
}

function entryOf({ revision, operation, value }: Found): BucketEntry {
  const text = operation === 'PUT' ? Buffer.from(value).toString('utf8') : null;
  return { sequence: revision, text };
}
