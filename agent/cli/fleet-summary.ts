/**
 * A revision that was pushed, told: that it is there, who is waited for, what they answered, and
 * what follows from it for the exit code.
 */
import { exitCodes, TidegateError } from '../errors.ts';
import { plural, roughDuration } from './figures.ts';
import {
  type Followed,
  failed,
  follow,
  type GatewayAnswer,
  showCounts,
  unanswered,
} from './fleet-follow.ts';
import type { Operation } from './fleet-session.ts';
import { fitted, oneLine } from './fleet-view.ts';

const answersShown = 50;

/** @param more beside what the answers say, for programs */
export async function followToEnd(
  operation: Operation,
  more: Readonly<Record<string, unknown>>,
): Promise<number> {
  const { key, reports, pusher, followMs } = operation;
  const { revision } = pusher;
  const gateways = reports.concerned(key);
  tellPushed(operation, gateways.length);
  if (followMs === 0 || gateways.length === 0) {
    writeJson(operation, { ...more, followed: false, gateways: [] });
    return exitCodes.ok;
  }
  const quiet = operation.json;
  const followed = await follow({ ...operation, revision, gateways, withinMs: followMs, quiet });
  assertWatched(followed, operation, 'every gateway that hears of it will take or refuse it');
  const { counts, answers } = followed;
  writeJson(operation, { ...more, followed: true, counts, gateways: answers });
  if (!quiet) tellAnswers(operation, followed);
  return exitOf(followed);
}

export function writeJson({ context, json, key, pusher }: Operation, more: object): void {
  if (!json) return;
  context.out(`${JSON.stringify({ key, revision: pusher.revision, ...more }, null, 2)}\n`);
}

function tellPushed(operation: Operation, gateways: number): void {
  const { context, json, key, pusher, place, link, reports, followMs } = operation;
  if (json) return;
  const where = `bucket ${place.bucket} of ${link.server}`;
  context.out(`${key} revision ${pusher.revision}: signed, in ${where}\n`);
  if (gateways === 0) {
    const others = reports.heard.size > 0 ? ` (${plural(reports.heard.size, 'other')} do)` : '';
    context.out(`no gateway that it is for reports now${others}: they take it when they connect\n`);
  } else if (followMs > 0) {
    const most = roughDuration(followMs);
    context.out(`waiting for ${plural(gateways, 'gateway')}, ${most} at most\n`);
  }
}

/** What a person sees of the answers: the counts, and whoever did not apply it. */
export function tellAnswers({ context, key }: Operation, { answers, counts }: Followed): void {
  const rest = answers.filter(({ state }) => state !== 'applied');
  context.out(`${key}: ${showCounts(counts)}\n`);
  if (rest.length === 0) return;
  const order = rest.toSorted((a, b) => Number(isMild(a)) - Number(isMild(b)));
  const rows = order.slice(0, answersShown).map(({ gateway, state, running, reason }) => {
    return [oneLine(gateway), state, running ?? 'none', oneLine(reason ?? '')];
  });
  context.out(fitted([['GATEWAY', 'STATE', 'RUNS', 'REASON'], ...rows], context));
  const more = rest.length - answersShown;
  if (more > 0) context.out(`and ${more} more: tidegate fleet status shows them all\n`);
}

function isMild({ state }: GatewayAnswer): boolean {
  return state !== 'refused' && state !== 'reverted';
}

/** @throws TidegateError fleetStopped, fleetUnreachable: with the state that the fleet is in */
export function assertWatched(followed: Followed, operation: Operation, standing: string): void {
  const { ended, counts } = followed;
  if (ended !== 'stopped' && ended !== 'lost') return;
  const { key, pusher, link } = operation;
  const state = `${key} revision ${pusher.revision} stays in the bucket (${showCounts(counts)})`;
  const detail = `${state}: ${standing}`;
  if (ended === 'stopped') throw new TidegateError('fleetStopped', `interrupted: ${detail}`);
  throw new TidegateError('fleetUnreachable', `${link.lost().message}: ${detail}`);
}

function exitOf({ counts }: Followed): number {
  if (failed(counts) > 0) return exitCodes.badData;
  if (unanswered(counts) > 0) return exitCodes.unavailable;
  return counts.newer > 0 ? exitCodes.tryLater : exitCodes.ok;
}
