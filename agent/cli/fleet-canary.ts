/**
 * A push that goes to a share of the gateways first:
 *
 *   revision N, rollout ──▶ all of the canary applied it ──▶ N+1, the same for all ──▶ followed
 *      └──▶ one refused, reverted, or did not confirm in time ──▶ N+1: what stood before, exit 65
 *
 * Every gateway decides for itself whether it is hit, by a hash of the seed and its name, and so
 * does this command: it knows whom to wait for. A revision cannot be taken out of a bucket, so what
 * stood before is written again, signed by us: which is asked for only where we may trust it.
 */
import { randomBytes } from 'node:crypto';
import { exitCodes, TidegateError } from '../errors.ts';
import type { Rollout, SignedConfig } from '../fleet/signed.ts';
import { plural, roughDuration } from './figures.ts';
import type { Stored } from './fleet-bucket.ts';
import { type Followed, failed, follow, unanswered } from './fleet-follow.ts';
import { assertKept, assertOurs, standingOf } from './fleet-pusher.ts';
import { durationOf, type Operation } from './fleet-session.ts';
import { assertWatched, followToEnd, tellAnswers, writeJson } from './fleet-summary.ts';

export interface CanaryFlags {
  readonly canary?: string;
  readonly wait?: string;
  readonly yes?: boolean;
}

export interface Canary {
  readonly share: number;
  readonly waitMs: number;
  /** To all when it would reach nobody. */
  readonly orAll: boolean;
}

const waitDefault = '2m';
const shareShape = /^(\d{1,3}(?:\.\d{1,6})?) ?%$/;
const percent = 100;

/** null: not asked for. @throws TidegateError usage */
export async function canaryOf({ canary, wait, yes }: CanaryFlags): Promise<Canary | null> {
  if (canary === undefined) {
    if (wait === undefined) return null;
    throw new TidegateError('usage', '--wait is about --canary');
  }
  const share = Number(shareShape.exec(canary)?.[1]) / percent;
  if (!(share > 0 && share <= 1)) {
    throw new TidegateError('usage', `--canary ${canary} is not a share; write it as 5%`);
  }
  const waitMs = await durationOf('--wait', wait ?? waitDefault);
  return { share, waitMs, orAll: yes === true };
}

export interface CanaryPush extends Operation {
  readonly canary: Canary;
  readonly config: string;
  readonly history: readonly Stored[];
}

export async function pushByCanary(operation: CanaryPush): Promise<number> {
  const { pusher, config, history, canary, context, json } = operation;
  const former = standingOf(history);
  assertKept(history, { key: operation.key, seen: pusher.revision, former });
  if (former !== null) assertOurs(history, former);
  const hit = await choose(operation);
  if (hit === null) {
    if (!json) context.out('no gateway is in the canary: pushed to all at once, as --yes says\n');
    await pusher.push(config, null);
    return await followToEnd(operation, { canary: null });
  }
  const { rollout, gateways } = hit;
  const revision = await pusher.push(config, rollout);
  tellCanary(operation, gateways);
  const withinMs = canary.waitMs;
  const isEnough = (counts: Followed['counts']) => failed(counts) + counts.newer > 0;
  const quiet = json;
  const waited = { ...operation, revision, gateways, withinMs, isEnough, quiet };
  const followed = await follow(waited);
  assertWatched(followed, operation, 'the canary has it, all others run what they had');
  const { counts, answers } = followed;
  const told = { share: rollout.share, revision, counts, gateways: answers };
  if (counts.newer > 0 || failed(counts) + unanswered(counts) + counts.spared > 0) {
    return await putBack(operation, followed, former, told);
  }
  const stopped = operation.stop.aborted ? ({ ...followed, ended: 'stopped' } as const) : followed;
  assertWatched(stopped, operation, 'the canary runs it, all others what they had');
  if (!json) context.out('the canary applied it: now to all\n');
  await pusher.push(config, null);
  return await followToEnd(operation, { canary: told });
}

const drawsMost = 64;
const half = 0.5;
const seedBytes = 8;

/** null: nobody, and --yes. @throws TidegateError fleetCanaryTooSmall */
async function choose({
  canary: { share, orAll },
  reports,
  key,
}: CanaryPush): Promise<{ rollout: Rollout; gateways: string[] } | null> {
  const { isInRollout } = await import('../fleet/signed.ts');
  const all = reports.concerned(key);
  const wanted = share * all.length;
  const least = Math.max(1, Math.floor(wanted / 2));
  // A canary that is everybody spares nobody.
  const ceiling = share === 1 ? all.length : all.length - 1;
  const most = Math.max(1, Math.min(ceiling, Math.ceil(wanted * 2)));
  let found: { rollout: Rollout; gateways: string[] } | null = null;
  // The share is a probability: among few gateways a seed may hit none, or far too many of them.
  for (let draw = 0; draw < drawsMost && wanted >= half; draw++) {
    const rollout = { share, seed: randomBytes(seedBytes).toString('hex') };
    const gateways = all.filter((gateway) => isInRollout(gateway, rollout));
    if (gateways.length > 0) found = { rollout, gateways };
    if (gateways.length >= least && gateways.length <= most) break;
  }
  if (found !== null) return found;
  if (orAll) return null;
  const asked = `${share * percent} % of the ${plural(all.length, 'gateway')} that report`;
  const why = all.length === 0 ? 'no gateway that it is for reports' : `${asked} is nobody`;
  throw new TidegateError('fleetCanaryTooSmall', `${key}: ${why}; nothing was pushed`);
}

function tellCanary(operation: CanaryPush, gateways: readonly string[]): void {
  const { context, json, key, pusher, canary, reports } = operation;
  if (json) return;
  const whom = `${gateways.length} of ${plural(reports.concerned(key).length, 'gateway')}`;
  const most = roughDuration(canary.waitMs);
  context.out(`${key} revision ${pusher.revision}: signed, a canary that reaches ${whom}\n`);
  const named = gateways.slice(0, namesShown).join(', ');
  const more = gateways.length > namesShown ? ', …' : '';
  context.out(`waiting ${most} at most until it is confirmed by ${named}${more}\n`);
}

const namesShown = 8;

/** @throws TidegateError fleetConflict when somebody else has pushed */
async function putBack(
  operation: CanaryPush,
  followed: Followed,
  former: SignedConfig | null,
  told: object,
): Promise<number> {
  const { context, pusher, json, key, canary } = operation;
  if (!json) tellAnswers(operation, followed);
  const failedAt = pusher.revision;
  await pusher.push(former?.config ?? '{}', null);
  const again = former === null ? 'an empty config' : `what revision ${former.revision} was`;
  writeJson(operation, { canary: told, putBack: former?.revision ?? null });
  if (json) return exitCodes.badData;
  const late = failed(followed.counts) === 0 ? ` within ${roughDuration(canary.waitMs)}` : '';
  context.out(`the canary did not confirm revision ${failedAt}${late}: stopped\n`);
  context.out(`${key} revision ${pusher.revision} puts back ${again}, for all\n`);
  return exitCodes.badData;
}
