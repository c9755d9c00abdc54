/**
 * `tidegate fleet watch`: one line a change, until SIGINT. On a terminal the last line is the state
 * of all. A connection that is lost is made again, and what changed meanwhile is told; only the
 * first one must succeed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { KV } from 'nats';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import type { CliContext, Perform } from './context.ts';
import { FleetBucket } from './fleet-bucket.ts';
import { FleetLink } from './fleet-link.ts';
import { type FleetFlags, type FleetPlace, placeFlags, placeOf } from './fleet-place.ts';
import { readBucket } from './fleet-read.ts';
import { FleetReports } from './fleet-reports.ts';
import { WatchView } from './fleet-watch-view.ts';

const againAfterMs = 2_000;
const lookEveryMs = 1_000;

export function addWatch(fleet: Command, context: CliContext, perform: Perform): void {
  const command = fleet
    .command('watch')
    .description('every change as it comes: reports, signed revisions, gateways that are gone');
  placeFlags(command)
    .addHelpText(
      'after',
      `
One line a change (with --json one object a line), until Ctrl-C.

Examples:
  $ tidegate fleet watch --config operator.yaml
  $ tidegate fleet watch --json | jq 'select(.what == "refused")'`,
    )
    .action((flags: FleetFlags) => perform(() => watch(flags, context)));
}

async function watch(flags: FleetFlags, context: CliContext): Promise<number> {
  const place = await placeOf(flags, context);
  const stop = context.stopSignal();
  const view = new WatchView(context, flags.json === true);
  try {
    while (!stop.aborted) {
      try {
        await watchOnce(place, view, stop);
      } catch (error) {
        const isPassing = error instanceof TidegateError && error.class === 'retry';
        if (view.isFirst || !isPassing) throw error;
        view.note(`${messageOf(error)}; trying again`);
        await sleep(againAfterMs, undefined, { signal: stop }).catch(() => undefined);
      }
    }
  } finally {
    view.end();
  }
  return exitCodes.ok;
}

async function watchOnce(place: FleetPlace, view: WatchView, stop: AbortSignal): Promise<void> {
  const link = await FleetLink.open(place);
  const { promise: over, resolve, reject } = Promise.withResolvers<void>();
  const stopped = () => resolve();
  if (stop.aborted) resolve();
  stop.addEventListener('abort', stopped, { once: true });
  link.gone.addEventListener('abort', () => reject(link.lost()), { once: true });
  const looking = setInterval(() => view.look(), lookEveryMs);
  const closed = new AbortController();
  const parts = { link, place, view, isFirst: view.isFirst, closed: closed.signal };
  try {
    // Each resolves with the reason for which nothing more comes.
    for (const watching of [watchConfigs(parts), watchReports(parts)]) {
      watching.then(reject, reject);
    }
    await over;
  } finally {
    clearInterval(looking);
    stop.removeEventListener('abort', stopped);
    closed.abort();
    await link.close();
  }
}

interface WatchParts {
  readonly link: FleetLink;
  readonly place: FleetPlace;
  readonly view: WatchView;
  /** What stands there is not news. */
  readonly isFirst: boolean;
  readonly closed: AbortSignal;
}

async function watchConfigs(parts: WatchParts): Promise<TidegateError> {
  const { link, place, view, isFirst } = parts;
  const { kv, isNew } = await whenThere(parts, place.bucket);
  const bucket = await FleetBucket.open({ link, place });
  // Verified in the order in which they came.
  let last: Promise<void> = Promise.resolve();
  let isQuiet = isFirst && !isNew;
  const reading = await readBucket(kv, {}, (entry) => {
    last = last.then(async () => {
      const changes = view.changes.stored(await bucket.judge(entry));
      if (!isQuiet) view.tell(changes);
    });
  });
  await reading.loaded;
  await last;
  isQuiet = false;
  return await reading.ended;
}

async function watchReports(parts: WatchParts): Promise<TidegateError> {
  const { link, place, view, isFirst } = parts;
  const { kv, isNew } = await whenThere(parts, place.statusBucket);
  let isLoading = true;
  const isQuiet = isFirst && !isNew;
  const { changes } = view;
  const reports = await FleetReports.open(link, place.statusBucket, kv, (gateway, _, now) => {
    const nowMs = Date.now();
    const atMs = isLoading ? Math.min(nowMs, now?.atMs ?? nowMs) : nowMs;
    const told = changes.hear(gateway, now, atMs);
    if (!(isLoading && isQuiet)) view.tell(told);
  });
  isLoading = false;
  view.tell(changes.retain(new Set(reports.heard.keys())));
  view.begin(link.server, reports.heard.size);
  return await reports.ended;
}

async function whenThere(
  { link, view, closed }: WatchParts,
  name: string,
): Promise<{ kv: KV; isNew: boolean }> {
  for (let looks = 0; ; looks++) {
    const kv = await link.bucket(name);
    if (kv !== null) return { kv, isNew: looks > 0 };
    if (looks === 0) view.note(`there is no bucket ${name} at ${link.server} yet`);
    await sleep(lookEveryMs, undefined, { signal: closed });
  }
}
