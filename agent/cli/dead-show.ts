/**
 * `tidegate dead show ID`: one dead letter whole: why it was buried, and the event itself. With
 * `--payload` its payload alone, byte for byte, to be looked at with other tools.
 */
import type { Command } from 'commander';
import type { DeadLetter, RouteDefinition } from '../buffer/protocol.ts';
import { exitCodes, TidegateError } from '../errors.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { type ShownFrame, showFrame } from './frame-view.ts';
import { bufferFlag, bufferPathOf, configFlag, type LocateFlags } from './locate.ts';
import { table, visible } from './table.ts';

interface ShowFlags extends LocateFlags {
  readonly payload?: boolean;
}

interface Shown extends Omit<DeadLetter, 'createdMs'> {
  readonly buried: string;
  readonly route: RouteDefinition | null;
  /** null: the frame does not hold together. */
  readonly frame: ShownFrame | null;
}

export function addShow(dead: Command, context: CliContext, perform: Perform): void {
  dead
    .command('show')
    .description('why one was buried, and the event itself')
    .argument('<id>', 'as dead list shows it')
    .option('--payload', 'its payload alone, byte for byte')
    .option(...configFlag)
    .option(...bufferFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Examples:
  $ tidegate dead show 17
  $ tidegate dead show 17 --buffer ./tidegate.db --json
  $ tidegate dead show 17 --payload > payload.bin`,
    )
    .action((id: string, flags: ShowFlags) => perform(() => show(id, flags, context)));
}

async function show(written: string, flags: ShowFlags, context: CliContext): Promise<number> {
  const id = Number(written);
  const path = await bufferPathOf(flags, context);
  const { BufferReader } = await import('../buffer/reader.ts');
  const { loadCore } = await import('../frames/core.ts');
  const { SegmentReader } = await import('../frames/segment-reader.ts');
  const { wrapFrame } = await import('../frames/segment-writer.ts');
  const reader = new BufferReader(path);
  try {
    const letter = Number.isSafeInteger(id) ? reader.deadLetter(id) : undefined;
    const raw = letter && reader.deadLetterBody(id);
    if (!letter || !raw) throw new TidegateError('usage', `no dead letter ${written} in ${path}`);
    const core = loadCore();
    const body = wrapFrame(core, raw);
    const open = body && new SegmentReader(core).open(new Uint8Array(body));
    const frame = open && 'frame' in open ? open.frame(0) : null;
    if (flags.payload) {
      if (!frame) throw new TidegateError('recordInvalid', `the frame of ${id} is damaged`);
      context.out(frame.payload);
      return exitCodes.ok;
    }
    const { createdMs, ...rest } = letter;
    const shown: Shown = {
      ...{ ...rest, buried: new Date(createdMs).toISOString() },
      ...{ route: reader.route(letter.routeId) ?? null, frame: frame && showFrame(frame) },
    };
    context.out(flags.json ? `${JSON.stringify(shown, null, 2)}\n` : prose(shown));
  } finally {
    reader.close();
  }
  return exitCodes.ok;
}

function prose({ frame, ...letter }: Shown): string {
  const rows: [string, string | number][] = [
    ['dead letter', `${letter.id}`],
    ['reason', letter.reason],
    ['detail', visible(letter.detail)],
    ['buried', letter.buried],
    ['lane', letter.lane],
    ['route', `${letter.routeName || 'lost'} (${letter.routeId})`],
  ];
  if (!frame) return `${table([...rows, ['frame', 'damaged']])}`;
  const { payload, payloadBase64, properties, ...plain } = frame;
  for (const [name, value] of Object.entries(plain)) rows.push([name, visible(String(value))]);
  if (properties) rows.push(['properties', visible(JSON.stringify(properties))]);
  const text = payload ?? `${payloadBase64} (base64: it is no text)`;
  return `${table(rows)}\n${visible(text)}\n`;
}
