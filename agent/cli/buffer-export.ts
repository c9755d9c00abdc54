/**
 * `tidegate buffer export`: the frames of a buffer file as JSON lines, oldest first, agent running
 * or not. Nothing is taken out. A damaged segment is named on standard error, the rest goes on, and
 * the exit code is 65.
 *
 *   {"segment","frame","number","route","device","client","topicName","arrival","qos","retain",
 *    "expirySeconds"?,"properties"?,"payload" or "payloadBase64"}
 */
import type { Command } from 'commander';
import type { CursorPosition } from '../buffer/protocol.ts';
import type { BufferReader, StoredSegment } from '../buffer/reader.ts';
import { exitCodes, TidegateError } from '../errors.ts';
import type { SegmentReader } from '../frames/segment-reader.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { type LineSink, openSink } from './export-sink.ts';
import { plural } from './figures.ts';
import { showFrame } from './frame-view.ts';
import { bufferFlag, bufferPathOf, configFlag, type LocateFlags } from './locate.ts';
import { showProgress } from './progress.ts';

interface ExportFlags extends LocateFlags {
  readonly out?: string;
  readonly from?: string;
  readonly to?: string;
  readonly route?: string;
  readonly laneBacklog?: string;
}

interface Wanted {
  readonly first: number;
  /** Not itself. */
  readonly end: number;
  readonly route: string | null;
  readonly lane: { readonly name: string; readonly position: CursorPosition } | null;
}

const readBytes = 4 * 1024 * 1024;
const readSegments = 64;

export function addExport(buffer: Command, context: CliContext, perform: Perform): void {
  buffer
    .command('export')
    .description('the frames it holds, as JSON lines')
    .option('--out <file>', 'a new file; standard output without it')
    .option('--from <segment>', 'the first segment')
    .option('--to <segment>', 'the last segment')
    .option('--route <name>', 'only frames of this route')
    .option('--lane-backlog <lane>', 'only what this lane has not passed: upstream/delivery')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Exit 65 when a segment was damaged; the others are written. With --json what was done is said in
JSON, on standard error where the frames go to standard output.

Examples:
  $ tidegate buffer export --config tidegate.yaml --out frames.jsonl
  $ tidegate buffer export --buffer ./tidegate.db --route telemetry | head
  $ tidegate buffer export --lane-backlog cloud/at-least-once --out waiting.jsonl`,
    )
    .action((flags: ExportFlags) => perform(() => exportFrames(flags, context)));
}

async function exportFrames(flags: ExportFlags, context: CliContext): Promise<number> {
  const path = await bufferPathOf(flags, context);
  const { BufferReader } = await import('../buffer/reader.ts');
  const { loadCore } = await import('../frames/core.ts');
  const { SegmentReader } = await import('../frames/segment-reader.ts');
  const reader = new BufferReader(path);
  try {
    const wanted = wantedOf(reader, flags);
    const sink = openSink(flags.out ?? null);
    const done = await writeFrames(reader, new SegmentReader(loadCore()), wanted, sink, context);
    await sink.close();
    const { frames, damaged } = done;
    const tell = flags.out === undefined ? context.err : context.out;
    if (flags.json) tell(`${JSON.stringify({ frames, damaged })}\n`);
    else if (flags.out !== undefined) tell(`exported: ${plural(frames, 'frame')}\n`);
    if (!flags.json) for (const at of damaged) context.err(`segment ${at} is damaged\n`);
    return damaged.length > 0 ? exitCodes.badData : exitCodes.ok;
  } finally {
    reader.close();
  }
}

function wantedOf(reader: BufferReader, flags: ExportFlags): Wanted {
  const stat = reader.stat();
  const name = flags.laneBacklog;
  const lane = stat.lanes.find((each) => each.lane === name);
  if (name !== undefined && !lane) throw new TidegateError('laneUnknown', `no lane ${name}`);
  const from = flags.from === undefined ? stat.firstSequence : wholeNumber('--from', flags.from);
  const to = flags.to === undefined ? stat.nextSequence - 1 : wholeNumber('--to', flags.to);
  return {
    first: Math.max(from, lane?.position.segment ?? 0),
    end: Math.min(to + 1, stat.nextSequence),
    route: flags.route ?? null,
    lane: lane ? { name: lane.lane, position: lane.position } : null,
  };
}

async function writeFrames(
  reader: BufferReader,
  frames: SegmentReader,
  wanted: Wanted,
  sink: LineSink,
  context: CliContext,
): Promise<{ frames: number; damaged: number[] }> {
  const done = { frames: 0, damaged: [] as number[] };
  const drawn = { ...context, isTerminal: context.isTerminal && !sink.isStandardOutput };
  const progress = showProgress(drawn, 'exporting', wanted.end - wanted.first);
  for (let from = wanted.first; from < wanted.end && !sink.ended; ) {
    const read = reader.read(from, readBytes, readSegments);
    for (const segment of read) {
      if (segment.sequence >= wanted.end) break;
      const lines = linesOf(reader, frames, segment, wanted);
      if (lines === null) done.damaged.push(segment.sequence);
      else if (lines.length > 0) await sink.write(`${lines.join('\n')}\n`);
      done.frames += lines?.length ?? 0;
      progress.at(segment.sequence - wanted.first);
    }
    from = (read.at(-1)?.sequence ?? wanted.end) + 1;
  }
  progress.end();
  return done;
}

/** null: its body does not hold, or was set aside for that. */
function linesOf(
  reader: BufferReader,
  frames: SegmentReader,
  segment: StoredSegment,
  { route, lane }: Wanted,
): string[] | null {
  const open = frames.open(segment.body);
  if ('fault' in open) return null;
  const from = lane?.position.segment === segment.sequence ? lane.position.frame : 0;
  const lines: string[] = [];
  for (let index = from; index < open.frames; index++) {
    const frame = open.frame(index);
    const definition = reader.route(frame.routeId);
    if (route !== null && definition?.name !== route) continue;
    if (lane && !definition?.targets.some((target) => target.lane === lane.name)) continue;
    const place = { segment: segment.sequence, frame: index, number: frame.number };
    lines.push(JSON.stringify({ ...place, route: definition?.name ?? null, ...showFrame(frame) }));
  }
  return lines;
}

function wholeNumber(flag: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new TidegateError('usage', `${flag} ${text} is not a whole number`);
}
