/**
 * `tidegate dead list`: the dead letters of a buffer file, oldest first, agent running or not. And
 * where the commands on dead letters are put together: show, replay, discard.
 */
import type { Command } from 'commander';
import type { DeadLetter } from '../buffer/protocol.ts';
import { exitCodes, TidegateError } from '../errors.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { addReplay } from './dead-replay.ts';
import { addShow } from './dead-show.ts';
import { bufferFlag, bufferPathOf, configFlag, type LocateFlags } from './locate.ts';
import { table, visible } from './table.ts';

interface ListFlags extends LocateFlags {
  readonly after: string;
  readonly most: string;
}

export function addDead(program: Command, context: CliContext, perform: Perform): void {
  const dead = program
    .command('dead')
    .description('dead letters: events that were buried, and why');
  dead
    .command('list')
    .description('id, lane, route, reason, time and size of each')
    .option('--after <id>', 'only those behind this id', '0')
    .option('--most <n>', 'at most this many', '100')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Examples:
  $ tidegate dead list --config tidegate.yaml
  $ tidegate dead list --buffer ./tidegate.db --after 100 --json`,
    )
    .action((flags: ListFlags) => perform(() => list(flags, context)));
  addShow(dead, context, perform);
  addReplay(dead, context, perform);
}

async function list(flags: ListFlags, context: CliContext): Promise<number> {
  const after = wholeNumber('--after', flags.after);
  const most = wholeNumber('--most', flags.most);
  const path = await bufferPathOf(flags, context);
  const { BufferReader } = await import('../buffer/reader.ts');
  const reader = new BufferReader(path);
  try {
    const letters = reader.deadLetters(after, most);
    if (flags.json) context.out(`${JSON.stringify(letters, null, 2)}\n`);
    else context.out(show(letters, most));
  } finally {
    reader.close();
  }
  return exitCodes.ok;
}

function show(letters: readonly DeadLetter[], most: number): string {
  if (letters.length === 0) return 'no dead letters\n';
  const rows = letters.map((letter) => [
    letter.id,
    letter.lane,
    letter.routeName,
    new Date(letter.createdMs).toISOString(),
    letter.bytes,
    letter.reason,
    visible(letter.detail),
  ]);
  const shown = table([['ID', 'LANE', 'ROUTE', 'BURIED', 'BYTES', 'REASON', 'DETAIL'], ...rows]);
  const last = letters.at(-1);
  const isCut = last !== undefined && letters.length === most;
  return isCut ? `${shown}there may be more: --after ${last.id}\n` : shown;
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new TidegateError('usage', `${flag} ${text} is not a whole number`);
}
