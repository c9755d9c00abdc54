/**
 * Reading a bucket as a stream, not key by key: 10,000 gateways are one consumer and not 10,000
 * requests. `loaded` is when all that stood there was taken; what changes later comes after it.
 */
import type { KV, KvEntry, KvWatchInclude } from 'nats';
import { natsRequestWithinMs } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';

export interface ReadWhat {
  /** All keys, unless given. */
  readonly key?: string;
  /** Every entry that is kept, oldest first; else the last of each key. */
  readonly history?: boolean;
}

export interface Reading {
  readonly loaded: Promise<void>;
  /** Settles when nothing more comes, with the reason. */
  readonly ended: Promise<TidegateError>;
  stop(): void;
}

/** @param take entries as they come; those of deleted keys too */
export async function readBucket(
  kv: KV,
  { key = '>', history = false }: ReadWhat,
  take: (entry: KvEntry) => void,
): Promise<Reading> {
  const include = (history ? 'history' : '') as KvWatchInclude;
  let isEmpty = false;
  const watch = await kv.watch({
    key,
    include,
    // Called before the watch is returned when there is nothing to wait for.
    initializedFn: () => {
      isEmpty = true;
    },
  });
  const { promise: loaded, resolve, reject } = Promise.withResolvers<void>();
  // A refreshed timer runs again although it was cleared.
  let isLoaded = false;
  const late = new TidegateError('natsTimeout', 'the bucket was not read to its end');
  const wait = setTimeout(() => watch.stop(late), natsRequestWithinMs);
  const load = () => {
    isLoaded = true;
    clearTimeout(wait);
    resolve();
  };
  if (isEmpty && watch.getReceived() === 0) load();
  const walk = async () => {
    for await (const entry of watch) {
      take(entry);
      if (isLoaded) continue;
      wait.refresh();
      // How many of those that stood there are still to come.
      if (entry.delta === 0) load();
    }
  };
  const cut = new TidegateError('fleetUnreachable', 'the connection was lost');
  const ended = walk()
    .then(
      () => cut,
      (error) => (error instanceof TidegateError ? error : causedBy(error)),
    )
    .finally(() => clearTimeout(wait));
  void ended.then(reject);
  // Who stops a watch early has no use for it.
  loaded.catch(() => undefined);
  return { loaded, ended, stop: () => watch.stop() };
}

function causedBy(cause: unknown): TidegateError {
  return new TidegateError('fleetUnreachable', messageOf(cause), { cause });
}

export async function readAll(kv: KV, what: ReadWhat = {}): Promise<KvEntry[]> {
  const entries: KvEntry[] = [];
  const reading = await readBucket(kv, what, (entry) => entries.push(entry));
  await reading.loaded;
  reading.stop();
  return entries;
}
