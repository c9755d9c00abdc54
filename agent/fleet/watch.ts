/**
 * The keys of one gateway in the fleet's bucket, followed while one connection lasts:
 *
 *   opening ──bucket there──▶ reading all keys ──▶ following ──published──▶ reads that key
 *      ▲                            └──────────────────┴──fleetReadAgainMs──▶ reading all keys
 *      └──fleetLookAgainMs── waiting ◀── it is missing, or may not be read
 *
 * What is published is a hint, not an entry: the stream may refuse it (two operators at once), so
 * the key is read until it is there, or it is not. Reading again once in a while finds what was not
 * heard: no right to subscribe, a bucket deleted and made again. Mostly the newest entry says all;
 * the older ones are read when it does not.
 */
import {
  fleetHearSpreadMs,
  fleetLookAgainMs,
  fleetReadAgainMs,
  fleetReadSpread,
  fleetStoredWithinMs,
} from '../bounds.ts';
import { messageOf } from '../errors.ts';
import type { NatsConnection } from '../nats-client.ts';
import { Bucket } from './bucket.ts';
import type { BucketEntry } from './history.ts';

export interface WatchParts {
  readonly connection: NatsConnection;
  readonly bucket: string;
  readonly keys: readonly string[];
  readonly random: () => number;
  /**
   * The newest entry of a key, or with `isAll` all that there are, oldest first.
   * @returns whether the newest one is enough to know what is wanted
   */
  readonly heard: (key: string, entries: readonly BucketEntry[], isAll: boolean) => boolean;
  /** It cannot be read, and is looked for again. */
  readonly waiting: (reason: string) => void;
}

export class BucketWatch {
  readonly #parts: WatchParts;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #bucket: Bucket | null = null;
  #forget: (() => void)[] = [];
  #state: 'open' | 'closed' = 'open';

  constructor(parts: WatchParts) {
    this.#parts = parts;
  }

  /** Resolves when each key was read, or could not be; goes on until `close`. */
  async open(): Promise<void> {
    const { connection, bucket, keys, waiting, random } = this.#parts;
    let againMs = fleetReadAgainMs * (1 + fleetReadSpread * (2 * random() - 1));
    try {
      this.#bucket ??= await Bucket.open(connection, bucket);
      if (this.#isClosed()) return;
      if (this.#forget.length === 0) this.#forget = keys.map((key) => this.#hear(key));
      for (const key of keys) await this.#read(key);
    } catch (error) {
      if (this.#isClosed()) return;
      this.#bucket = null;
      againMs = fleetLookAgainMs;
      waiting(messageOf(error));
    }
    this.#after('all', againMs, () => void this.open());
  }

  /** The older entries of these keys too. */
  readAll(keys: readonly string[]): void {
    for (const key of keys) {
      void this.#bucket?.history(key).then(
        (all) => this.#isClosed() || this.#parts.heard(key, all, true),
        (error) => this.#isClosed() || this.#parts.waiting(messageOf(error)),
      );
    }
  }

  close(): void {
    this.#state = 'closed';
    for (const timer of this.#timers.values()) clearTimeout(timer);
    for (const forget of this.#forget) forget();
  }

  /** Asked after an await: it may have come to that meanwhile. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** In the place of what was to happen to it. */
  #after(what: string, ms: number, then: () => void): void {
    if (this.#isClosed()) return;
    clearTimeout(this.#timers.get(what));
    this.#timers.set(what, setTimeout(then, ms));
  }

  #hear(key: string): () => void {
    const heard = (text: string | null): void => {
      this.#after(key, fleetHearSpreadMs * this.#parts.random(), () => {
        void this.#readUntil(key, text, fleetStoredWithinMs);
      });
    };
    return this.#bucket?.hear(key, heard) ?? (() => {});
  }

  /** The stream stores what is published a moment after we heard it, or never. */
  async #readUntil(key: string, text: string | null, withinMs: readonly number[]): Promise<void> {
    try {
      const newest = await this.#read(key);
      const [delayMs, ...rest] = withinMs;
      if (newest?.text === text || delayMs === undefined) return;
      this.#after(key, delayMs, () => void this.#readUntil(key, text, rest));
    } catch (error) {
      if (this.#isClosed()) return;
      this.#parts.waiting(messageOf(error));
      this.#after('all', fleetLookAgainMs, () => void this.open());
    }
  }

  async #read(key: string): Promise<BucketEntry | null> {
    const bucket = this.#bucket;
    if (bucket === null || this.#isClosed()) return null;
    const newest = await bucket.newest(key);
    if (this.#isClosed()) return null;
    const { heard } = this.#parts;
    if (heard(key, newest === null ? [] : [newest], newest === null)) return newest;
    const all = await bucket.history(key);
    if (!this.#isClosed()) heard(key, all, true);
    return newest;
  }
}
