/**
 * `tidegate dead replay` and `dead discard`, agent running or not. A replayed event goes to the
 * lane that buried it and to no other, as a new frame at the end of the log; order is not claimed.
 * What cannot go back is named, stays a dead letter, and makes the exit code 65.
 */
import type { Command } from 'commander';
import type { DeadSelection } from '../buffer/protocol.ts';
import { exitCodes, TidegateError } from '../errors.ts';
import type { ReplayStep } from '../frames/replay.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { type DeadWay, openDeadWay } from './dead-ways.ts';
import { bufferFlag, configFlag, httpFlag, type LocateFlags } from './locate.ts';
import { showProgress } from './progress.ts';
import { table } from './table.ts';

interface SelectFlags extends LocateFlags {
  readonly all?: boolean;
  readonly lane?: string;
  readonly reason?: string;
  readonly route?: string;
}

/** Ids of one request to the agent: they stand in its query. */
const idsPerRequest = 500;

export function addReplay(dead: Command, context: CliContext, perform: Perform): void {
  selecting(dead.command('replay'))
    .description('send them again to the upstream that they were buried for')
    .option('--route <name>', 'by this route of the present config, not by the stored one')
    .addHelpText(
      'after',
      `
Each goes only to the lane that buried it. Exit 65 when one of them could not go back.

Examples:
  $ tidegate dead replay 17 18
  $ tidegate dead replay --all --reason recordTooLarge
  $ tidegate dead replay --all --lane cloud/at-least-once --route telemetry --config tidegate.yaml`,
    )
    .action((ids: string[], flags: SelectFlags) => perform(() => replay(ids, flags, context)));
  selecting(dead.command('discard'))
    .description('delete them for good')
    .addHelpText(
      'after',
      `
Examples:
  $ tidegate dead discard 17
  $ tidegate dead discard --all --lane archive/at-least-once --buffer ./tidegate.db`,
    )
    .action((ids: string[], flags: SelectFlags) => perform(() => discard(ids, flags, context)));
}

function selecting(command: Command): Command {
  return command
    .argument('[id...]', 'as dead list shows them')
    .option('--all', 'all that the other options leave')
    .option('--lane <lane>', 'only those of this lane: upstream/delivery')
    .option('--reason <reason>', 'only those that were buried for this reason')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...httpFlag)
    .option(...jsonFlag);
}

async function replay(
  ids: readonly string[],
  flags: SelectFlags,
  context: CliContext,
): Promise<number> {
  const selections = selectionsOf(ids, flags);
  const way = await openDeadWay(flags, context);
  let replayed = 0;
  const refused: ReplayStep['refused'][number][] = [];
  try {
    for (const selection of selections) {
      await eachStep(way, selection, flags, context, (step) => {
        replayed += step.replayed;
        refused.push(...step.refused);
      });
    }
  } finally {
    await way.close();
  }
  if (flags.json) context.out(`${JSON.stringify({ replayed, refused })}\n`);
  else context.out(`replayed: ${replayed}\n${showRefused(refused)}`);
  return exitOf(replayed + refused.length, refused.length, ids, context);
}

async function eachStep(
  way: DeadWay,
  selection: DeadSelection,
  flags: SelectFlags,
  context: CliContext,
  take: (step: ReplayStep) => void,
): Promise<void> {
  const route = flags.route ?? null;
  let step = await way.step({ selection, route, after: 0, upTo: null });
  take(step);
  const progress = showProgress(context, 'replaying', step.upTo);
  while (step.more) {
    progress.at(step.after);
    step = await way.step({ selection, route, after: step.after, upTo: step.upTo });
    take(step);
  }
  progress.end();
}

async function discard(
  ids: readonly string[],
  flags: SelectFlags,
  context: CliContext,
): Promise<number> {
  const selections = selectionsOf(ids, flags);
  const way = await openDeadWay(flags, context);
  let discarded = 0;
  try {
    for (const selection of selections) discarded += await way.discard(selection);
  } finally {
    await way.close();
  }
  context.out(flags.json ? `${JSON.stringify({ discarded })}\n` : `discarded: ${discarded}\n`);
  return exitOf(discarded, 0, ids, context);
}

function showRefused(refused: ReplayStep['refused']): string {
  if (refused.length === 0) return '';
  return `refused: ${refused.length}\n${table(refused.map(({ id, why }) => [`  ${id}`, why]))}`;
}

function exitOf(
  found: number,
  refused: number,
  ids: readonly string[],
  context: CliContext,
): number {
  const missing = new Set(ids).size - found;
  if (missing > 0) context.err(`${missing} of the ids named no dead letter that fits\n`);
  return missing > 0 || refused > 0 ? exitCodes.badData : exitCodes.ok;
}

/** At least one; more than one only of ids that do not fit into one request. */
function selectionsOf(written: readonly string[], flags: SelectFlags): DeadSelection[] {
  const { lane = null, reason = null } = flags;
  const filtered = flags.all === true || lane !== null || reason !== null;
  if (written.length === 0 && !filtered) {
    throw new TidegateError('usage', 'name ids, or say --all, --lane or --reason');
  }
  if (written.length > 0 && flags.all) {
    throw new TidegateError('usage', 'ids and --all do not go together');
  }
  if (written.length === 0) return [{ ids: null, lane, reason }];
  const ids = [...new Set(written)].map(wholeNumber).sort((a, b) => a - b);
  const selections: DeadSelection[] = [];
  for (let at = 0; at < ids.length; at += idsPerRequest) {
    selections.push({ ids: ids.slice(at, at + idsPerRequest), lane, reason });
  }
  return selections;
}

function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new TidegateError('usage', `${text} is no id of a dead letter`);
}
