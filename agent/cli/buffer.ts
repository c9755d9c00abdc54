/**
 * `tidegate buffer stat`: what a buffer file holds and who still needs it, agent running or not.
 * (`verify` and `export` have files of their own.)
 * `tidegate buffer forget NAME`: drops the cursor of an upstream that left the config, which would
 * pin its backlog for ever. NAME is an upstream (all its lanes) or one lane, `upstream/delivery`.
 */
import type { Command } from 'commander';
import type { BufferStat, LaneGauge } from '../buffer/protocol.ts';
import { exitCodes, TidegateError } from '../errors.ts';
import { outcomes } from '../events.ts';
import { addExport } from './buffer-export.ts';
import { addVerify } from './buffer-verify.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { roughDuration, roughSize } from './figures.ts';
import { bufferFlag, bufferPathOf, configFlag, configOf, type LocateFlags } from './locate.ts';
import { type Cell, table } from './table.ts';

export function addBuffer(program: Command, context: CliContext, perform: Perform): void {
  const buffer = program.command('buffer').description('look into a buffer file, running or not');
  buffer
    .command('stat')
    .description('sizes, lanes with their backlog and outcomes, dead letters')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Examples:
  $ tidegate buffer stat --config tidegate.yaml
  $ tidegate buffer stat --buffer ./tidegate.db --json`,
    )
    .action((flags: LocateFlags) => perform(() => stat(flags, context)));
  addVerify(buffer, context, perform);
  addExport(buffer, context, perform);
  buffer
    .command('forget')
    .description('drop the cursor of an upstream that left the config')
    .argument('<name>', 'an upstream, or one of its lanes: upstream/delivery')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
The agent must be stopped. What only this upstream still had to get is given up.

Examples:
  $ tidegate buffer forget archive --config tidegate.yaml
  $ tidegate buffer forget cloud/at-most-once --buffer ./tidegate.db`,
    )
    .action((name: string, flags: LocateFlags) => perform(() => forget(name, flags, context)));
}

async function stat(flags: LocateFlags, context: CliContext): Promise<number> {
  const path = await bufferPathOf(flags, context);
  const found = await readStat(path);
  context.out(flags.json ? `${JSON.stringify({ path, ...found }, null, 2)}\n` : show(path, found));
  return exitCodes.ok;
}

async function readStat(path: string): Promise<BufferStat> {
  const { BufferReader } = await import('../buffer/reader.ts');
  const reader = new BufferReader(path);
  try {
    return reader.stat();
  } finally {
    reader.close();
  }
}

function show(path: string, found: BufferStat): string {
  const heading = table([
    ['file', path],
    ['epoch', found.epoch],
    ['size', `${roughSize(found.fileBytes)}, write-ahead log ${roughSize(found.walBytes)}`],
    ['segments', `${found.segments}, next is ${found.nextSequence}`],
    ['dead letters', `${found.deadLetters} (${roughSize(found.deadLetterBytes)})`],
    ['sessions', `${found.sessions} rows kept`],
    ['damaged', `${found.damagedSegments} segments set aside`],
  ]);
  const columns: Cell[] = ['LANE', 'APPENDED', 'BACKLOG', 'BYTES', 'AGE', ...outcomes];
  return `${heading}\n${table([columns, ...found.lanes.map(laneRow)])}`;
}

function laneRow(lane: LaneGauge): Cell[] {
  return [
    lane.lane,
    lane.appendedFrames,
    lane.backlogFrames,
    roughSize(lane.backlogBytes),
    roughDuration(lane.backlogAgeMs),
    ...outcomes.map((outcome) => lane.outcomes[outcome]),
  ];
}

async function forget(name: string, flags: LocateFlags, context: CliContext): Promise<number> {
  const path = await bufferPathOf(flags, context);
  const lanes = (await readStat(path)).lanes.filter(
    (lane) => lane.lane === name || lane.upstream === name,
  );
  if (lanes.length === 0) throw new TidegateError('laneUnknown', `${path} has no lane ${name}`);
  await refuseWhenConfigured(lanes, flags, context);
  const { forgetLane } = await import('../buffer/forget.ts');
  const forgotten = lanes.map(({ lane }) => forgetLane(path, lane));
  const names = forgotten.map(({ lane }) => lane);
  const backlogFrames = forgotten.reduce((sum, each) => sum + each.backlogFrames, 0);
  context.out(
    flags.json
      ? `${JSON.stringify({ forgotten })}\n`
      : `forgotten: ${names.join(', ')} (${backlogFrames} frames were not confirmed)\n`,
  );
  return exitCodes.ok;
}

async function refuseWhenConfigured(
  lanes: readonly LaneGauge[],
  flags: LocateFlags,
  context: CliContext,
): Promise<void> {
  if (flags.config === undefined) return;
  const { lanesOf } = await import('../config/derive.ts');
  const configured = new Set(lanesOf(await configOf(flags, context)).map((each) => each.lane));
  const used = lanes.find((lane) => configured.has(lane.lane));
  if (used)
    throw new TidegateError('laneInUse', `${flags.config} still uses the lane ${used.lane}`);
}
