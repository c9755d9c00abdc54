/**
 * `tidegate buffer verify`: reads the whole file and says whether it holds together; exit 65 and
 * every problem by its place when it does not. Agent running or not.
 */
import type { Command } from 'commander';
import { exitCodes } from '../errors.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { plural } from './figures.ts';
import { bufferFlag, bufferPathOf, configFlag, type LocateFlags } from './locate.ts';
import { type Progress, showProgress } from './progress.ts';
import { table } from './table.ts';
import type { Verified } from './verify.ts';

/** For people; --json has them all. */
const problemsShown = 100;

export function addVerify(buffer: Command, context: CliContext, perform: Perform): void {
  buffer
    .command('verify')
    .description('check every segment, frame, cursor and dead letter')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Exit 65 when something is damaged. The agent may run meanwhile.

Examples:
  $ tidegate buffer verify --config tidegate.yaml
  $ tidegate buffer verify --buffer ./tidegate.db --json`,
    )
    .action((flags: LocateFlags) => perform(() => verify(flags, context)));
}

async function verify(flags: LocateFlags, context: CliContext): Promise<number> {
  const path = await bufferPathOf(flags, context);
  const { verifyBuffer } = await import('./verify.ts');
  let progress: Progress | null = null;
  const quiet = { ...context, isTerminal: context.isTerminal && flags.json !== true };
  const found = verifyBuffer(path, (at, of) => {
    progress ??= showProgress(quiet, 'verifying', of);
    progress.at(at);
  });
  (progress as Progress | null)?.end();
  if (flags.json) context.out(`${JSON.stringify({ path, ...found }, null, 2)}\n`);
  else context.out(show(path, found));
  return found.problems.length > 0 ? exitCodes.badData : exitCodes.ok;
}

function show(path: string, found: Verified): string {
  const { segments, frames, setAside, lanes, deadLetters, problems } = found;
  const rows = [
    ['file', path],
    ['segments', `${segments}, ${plural(frames, 'frame')}`],
    ['lanes', `${lanes}`],
    ['dead letters', `${deadLetters}`],
  ];
  if (setAside > 0) rows.push(['set aside', `${setAside} (damaged before, and counted)`]);
  const verdict = problems.length === 0 ? 'whole' : plural(problems.length, 'problem');
  const shown = table([...rows, ['verdict', verdict]]);
  if (problems.length === 0) return shown;
  const listed = problems.slice(0, problemsShown);
  const rest = problems.length - listed.length;
  const more = rest > 0 ? `and ${rest} more: --json lists them all\n` : '';
  return `${shown}\n${table(listed.map(({ where, what }) => [where, what]))}${more}`;
}
