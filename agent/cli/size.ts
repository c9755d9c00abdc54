/**
 * `tidegate size`: how large a buffer has to be so that devices can go on for so many hours without
 * an upstream, what the one of the config gives, and what is written to the disk a day. Arithmetic
 * alone (`size-model.ts`): no agent and no file is asked.
 *
 * It is said for several `commitEvery`, since that is the knob. What is to be written into the
 * config has room for the dead letters' whole share, because nobody looks at them in an outage.
 */
import type { Command } from 'commander';
import {
  checkpointPages,
  deadLetterShare,
  GIB,
  MIB,
  maxPacketSizeCeilingBytes,
} from '../bounds.ts';
import type { BufferOptions, LaneSpec } from '../buffer/protocol.ts';
import type { Config } from '../config/types.ts';
import type { Read } from '../config/units.ts';
import { exitCodes, TidegateError } from '../errors.ts';
import { type CliContext, type JsonOption, jsonFlag, type Perform } from './context.ts';
import { configFlag, configOf } from './locate.ts';
import { bytesFor, type Cost, costOf, type Load, secondsIn, walBytesOf } from './size-model.ts';

interface SizeFlags extends JsonOption {
  readonly rate: string;
  readonly payload: string;
  readonly hours: string;
  readonly devices: string;
  readonly names: string;
  readonly commitEvery?: string;
  readonly sync: string;
  readonly config?: string;
}

export function addSize(program: Command, context: CliContext, perform: Perform): void {
  program
    .command('size')
    .description('how much disk so many hours without an upstream take, and what is written a day')
    .requiredOption('--rate <rate>', 'messages, as in 100/s, 30/m or 5/h')
    .requiredOption('--payload <size>', 'of one message, as in 200B or 2KiB')
    .option('--hours <hours>', 'without an upstream', '72')
    .option('--devices <count>', 'so many devices, each at this rate', '1')
    .option('--names <size>', 'Topic Name, device name and User Properties together', '56B')
    .option('--commit-every <duration>', 'buffer.commitEvery, if not that of the config')
    .option('--sync <duration>', 'what the disk takes for one commit', '2ms')
    .option(configFlag[0], `${configFlag[1]}: its buffer, and how far its upstreams may lag`)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
What upstreams of the kind file write is not counted: it grows beside the buffer.
A running agent knows --sync: tidegate_commit_seconds_sum / _count in its /metrics.

Examples:
  $ tidegate size --rate 100/s --payload 200B --hours 72
  $ tidegate size --devices 50 --rate 2/m --payload 1KiB --config /etc/tidegate/tidegate.yaml
  $ tidegate size --rate 5000/s --payload 128B --hours 8 --commit-every 20ms --json`,
    )
    .action((flags: SizeFlags) => perform(() => size(flags, context)));
}

/** What comes out, for one `commitEvery`. */
export interface AtCommitEvery {
  readonly commitEveryMs: number;
  readonly cost: Cost;
  /** In the file, after all the hours. */
  readonly backlogBytes: number;
  /** `buffer.bytes` to write for them. */
  readonly neededBytes: number;
  /** What the present `buffer.bytes` gives: without dead letters, and with all they may take. */
  readonly lastsSeconds: number;
  readonly lastsLeastSeconds: number;
}

export interface LaneRoom {
  readonly lane: string;
  readonly over: 'hold' | 'skip';
  /** Until it holds or skips; null: the whole buffer is full before. */
  readonly lastsSeconds: number | null;
}

export interface Sized {
  readonly load: Load;
  readonly seconds: number;
  readonly walBytes: number;
  readonly deadLetterBytes: number;
  readonly chosen: AtCommitEvery;
  /** `chosen` among others, in their order. */
  readonly choices: readonly AtCommitEvery[];
  readonly lanes: readonly LaneRoom[];
}

const msPerSecond = 1_000;
const secondsPerHour = 3_600;
const hoursMost = 87_600;
const devicesMost = 10_000_000;
const syncMostMs = 60_000;
const commitEveryChoicesMs = [0, 5, 20, 50];

async function size(flags: SizeFlags, context: CliContext): Promise<number> {
  const config = await configOf(flags, context);
  const load = await loadOf(flags, config);
  const seconds = numberOf('--hours', flags.hours, hoursMost) * secondsPerHour;
  const sized = await sizedOf(load, seconds, config, flags.config !== undefined);
  const { sizeDocument, showSized } = await import('./size-view.ts');
  if (flags.json) context.out(`${JSON.stringify(sizeDocument(sized, config), null, 2)}\n`);
  else context.out(showSized(sized, config, flags.config ?? null));
  return exitCodes.ok;
}

async function loadOf(flags: SizeFlags, config: Config): Promise<Load> {
  const { readDuration, readRate, readSize, showSize } = await import('../config/units.ts');
  const { commitEveryMaxMs } = await import('../config/schema.ts');
  const devices = numberOf('--devices', flags.devices, devicesMost);
  const rate = read('--rate', flags.rate, readRate);
  if (rate <= 0) throw new TidegateError('usage', `--rate ${flags.rate}: that needs no buffer`);
  const payloadBytes = read('--payload', flags.payload, readSize);
  const namesBytes = read('--names', flags.names, readSize);
  if (payloadBytes < 1) throw new TidegateError('usage', '--payload 0B: write at least 1B');
  if (payloadBytes + namesBytes > maxPacketSizeCeilingBytes) {
    const written = `--payload ${flags.payload} with --names ${flags.names}`;
    const most = `no message may have more than ${showSize(maxPacketSizeCeilingBytes)}`;
    throw new TidegateError('usage', `${written}: ${most}`);
  }
  const { commitEvery, sync } = flags;
  const commitEveryMs =
    commitEvery === undefined
      ? config.buffer.commitEveryMs
      : atMost('--commit-every', commitEvery, readDuration, commitEveryMaxMs);
  const syncMs = atMost('--sync', sync, readDuration, syncMostMs);
  return { messagesPerSecond: rate * devices, payloadBytes, namesBytes, commitEveryMs, syncMs };
}

type Reader = (written: string) => Read<number>;

function read(option: string, written: string, reader: Reader): number {
  const found = reader(written);
  if (!('wrong' in found)) return found.value;
  throw new TidegateError('usage', `${option} ${written} ${found.wrong}. ${found.remedy}`);
}

function atMost(option: string, written: string, reader: Reader, mostMs: number): number {
  const value = read(option, written, reader);
  if (value <= mostMs) return value;
  throw new TidegateError('usage', `${option} ${written}: write at most ${mostMs}ms`);
}

function numberOf(option: string, written: string, most: number): number {
  const value = /^\d+(\.\d+)?$/.test(written) ? Number(written) : 0;
  if (value > 0 && value <= most) return value;
  const remedy = `write a number above 0 and up to ${most}, without a unit`;
  throw new TidegateError('usage', `${option} ${written}: ${remedy}`);
}

async function sizedOf(
  load: Load,
  seconds: number,
  config: Config,
  withLanes: boolean,
): Promise<Sized> {
  const { bufferOptionsOf, lanesOf } = await import('../config/derive.ts');
  const { checkpointPagesFor } = await import('../buffer/capacity.ts');
  const { bufferLeastBytes } = await import('../config/schema.ts');
  const options = bufferOptionsOf(config);
  const pages = checkpointPagesFor(options, assumedPageBytes, checkpointPages);
  const walBytes = walBytesOf(pages);
  const at = (commitEveryMs: number) =>
    atCommitEvery({ ...load, commitEveryMs }, { seconds, options, walBytes, bufferLeastBytes });
  const all = [...new Set([...commitEveryChoicesMs, load.commitEveryMs])];
  const chosen = at(load.commitEveryMs);
  return {
    ...{ load, seconds, walBytes, chosen },
    deadLetterBytes: options.deadLetterBytes,
    choices: all.sort((one, other) => one - other).map(at),
    lanes: withLanes ? lanesOf(config).map((lane) => laneRoom(lane, chosen)) : [],
  };
}

/** What SQLite makes its files with, and the buffer asks of it (buffer/database.ts). */
const assumedPageBytes = 4_096;

interface Given {
  readonly seconds: number;
  readonly options: BufferOptions;
  readonly walBytes: number;
  readonly bufferLeastBytes: number;
}

function atCommitEvery(load: Load, given: Given): AtCommitEvery {
  const { seconds, options, walBytes, bufferLeastBytes } = given;
  const cost = costOf(load);
  const room = { bytes: options.bytes, walBytes };
  const needed = bytesFor(seconds, load, { deadLetterShare, walBytes: walBytesOf() });
  return {
    commitEveryMs: load.commitEveryMs,
    cost,
    backlogBytes: cost.fileBytesPerMessage * load.messagesPerSecond * seconds,
    neededBytes: Math.max(bufferLeastBytes, rounded(needed)),
    lastsSeconds: secondsIn(room, load, 0),
    lastsLeastSeconds: secondsIn(room, load, options.deadLetterBytes),
  };
}

/** Up to a number that one likes to write. */
function rounded(bytes: number): number {
  const fewSteps = 8;
  const step = [GIB, 256 * MIB, 16 * MIB].find((each) => bytes > fewSteps * each) ?? MIB;
  return Math.ceil(bytes / step) * step;
}

/** A lane's lag counts bytes of its segments, not of pages. */
function laneRoom({ lane, lag }: LaneSpec, { cost, lastsSeconds }: AtCommitEvery): LaneRoom {
  const bytesPerSecond = cost.segmentBytes * cost.commitsPerSecond;
  const seconds = Math.min(lag.bytes / bytesPerSecond, lag.ageMs / msPerSecond);
  return { lane, over: lag.over, lastsSeconds: seconds < lastsSeconds ? seconds : null };
}
