/**
 * `tidegate fleet rollback`: what an earlier revision said, under a new revision: gateways take
 * nothing that is older than what they have. Only what somebody whom we trust has signed is signed
 * again.
 */
import type { Command } from 'commander';
import { TidegateError } from '../errors.ts';
import type { SignedConfig } from '../fleet/signed.ts';
import type { CliContext, Perform } from './context.ts';
import { historyKept, type Stored } from './fleet-bucket.ts';
import { placeFlags, placeOf } from './fleet-place.ts';
import {
  assertKept,
  assertOurs,
  currentOf,
  formerOf,
  Pusher,
  signerOf,
  type TargetFlags,
  targetOf,
} from './fleet-pusher.ts';
import { durationOf, followFlag, targetFlags, withFleet } from './fleet-session.ts';
import { followToEnd } from './fleet-summary.ts';
import { shortKey, shortTime } from './fleet-view.ts';

interface RollbackFlags extends TargetFlags {
  readonly to?: string;
  readonly follow: string;
}

export function addRollback(fleet: Command, context: CliContext, perform: Perform): void {
  const command = fleet
    .command('rollback')
    .description('put an earlier config in force again, under a new revision')
    .option('--to <revision>', 'which one; without it what was for everyone before');
  placeFlags(followFlag(targetFlags(command)))
    .addHelpText(
      'after',
      `
The bucket keeps the last ${historyKept} revisions of each key. Without --config only what --key
itself signed can be put in force again.

Exit as push.

Examples:
  $ tidegate fleet rollback --config operator.yaml --key operator.seed
  $ tidegate fleet rollback --group line-a --to 7 --config operator.yaml --key operator.seed`,
    )
    .action((flags: RollbackFlags) => perform(() => rollback(flags, context)));
}

async function rollback(flags: RollbackFlags, context: CliContext): Promise<number> {
  const key = targetOf(flags);
  const to = flags.to === undefined ? null : revisionOf(flags.to);
  const followMs = await durationOf('--follow', flags.follow);
  const place = await placeOf(flags, context);
  const signer = await signerOf(flags, place, context);
  return await withFleet({ place, own: signer }, async ({ link, bucket, reports }) => {
    const history = await bucket.history(key);
    const chosen = to === null ? formerOf(history, key) : namedOf(history, key, to);
    if (chosen !== null) assertOurs(history, chosen);
    const reported = (most: number) => reports.highestSeen(key, most);
    const pusher = new Pusher({ bucket, key, signer, history, reported });
    if (to === null) assertKept(history, { key, seen: pusher.revision, former: chosen });
    const stop = context.stopSignal();
    await pusher.push(chosen?.config ?? '{}', null);
    const json = flags.json === true;
    if (!json) context.out(`${key}: ${told(chosen)}\n`);
    const operation = { context, json, key, place, link, reports, pusher, followMs, stop };
    return await followToEnd(operation, { of: chosen?.revision ?? null });
  });
}

function told(chosen: SignedConfig | null): string {
  if (chosen === null) return 'before the canary there was nothing: an empty config for all';
  const { revision, signer, pushedAt } = chosen;
  return `revision ${revision} (of ${shortKey(signer)} at ${shortTime(pushedAt)}) in force again`;
}

function revisionOf(text: string): number {
  if (/^[1-9]\d{0,15}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new TidegateError('usage', `--to ${text} is not a revision`);
}

/** @throws TidegateError fleetNoFormer */
function namedOf(history: readonly Stored[], key: string, to: number): SignedConfig {
  const found = history.find(({ signed }) => signed?.revision === to)?.signed;
  if (found) return found;
  const last = currentOf(history)?.revision ?? 0;
  if (to > last) {
    const highest = last === 0 ? 'it has none' : `the last is ${last}`;
    throw new TidegateError('fleetNoFormer', `${key} has no revision ${to} yet: ${highest}`);
  }
  const kept = history.flatMap(({ signed }) => (signed ? [signed.revision] : []));
  const detail = `${key}: revision ${to} is no longer kept; there are ${kept.join(', ')}`;
  throw new TidegateError('fleetNoFormer', detail);
}
