/**
 * `tidegate status`: how the running agent is, asked over its local HTTP port. For people a few
 * lines and a table of the lanes; `--json` gives the agent's own answer. No agent is exit 69.
 */
import type { Command } from 'commander';
import type { BufferGauges, LaneGauge } from '../buffer/protocol.ts';
import { exitCodes } from '../errors.ts';
import { askAgent } from './ask.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { plural, roughDuration, roughSize } from './figures.ts';
import { agentUrl, configFlag, httpFlag, type LocateFlags } from './locate.ts';
import { type Cell, table, visible } from './table.ts';

interface LaneTold {
  readonly state: string;
  readonly since: string;
  readonly retries: number;
  readonly lastError: string | null;
}

interface SourceTold {
  readonly name: string;
  readonly state: string;
  readonly lastError: string | null;
}

interface Status {
  readonly gateway: string;
  readonly version: string;
  readonly ready: boolean;
  readonly degraded: string | null;
  readonly uptimeSeconds: number;
  readonly connections: number;
  /** By lane. */
  readonly upstreams: Readonly<Record<string, LaneTold>>;
  /** null while it is not open. */
  readonly buffer: BufferGauges | null;
  /** Devices, and brokers of sources, that a limit or a full disk lets wait. */
  readonly held: readonly string[];
  readonly sources: readonly SourceTold[];
}

const msPerSecond = 1_000;
const heldShown = 10;

export function addStatus(program: Command, context: CliContext, perform: Perform): void {
  program
    .command('status')
    .description('of a running agent: lanes, backlog, buffer, connections')
    .option(...configFlag)
    .option(...httpFlag)
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Exit 69 when no agent answers.

Examples:
  $ tidegate status
  $ tidegate status --http 127.0.0.1:8080 --json`,
    )
    .action((flags: LocateFlags) => perform(() => status(flags, context)));
}

async function status(flags: LocateFlags, context: CliContext): Promise<number> {
  const url = await agentUrl(flags, context);
  const found = (await askAgent(`${url}/status`, { method: 'GET' })) as Status;
  if (flags.json) context.out(`${JSON.stringify(found, null, 2)}\n`);
  else context.out(show(found, Date.now()));
  return exitCodes.ok;
}

function show(found: Status, nowMs: number): string {
  const { buffer, held, sources } = found;
  const parts = [table(heading(found))];
  const lanes = buffer?.lanes ?? [];
  if (lanes.length > 0) {
    const columns = ['LANE', 'STATE', 'FOR', 'BACKLOG', 'BYTES', 'AGE', 'RETRIES', 'LAST ERROR'];
    const rows = lanes.map((lane) => laneRow(lane, found.upstreams[lane.lane], nowMs));
    parts.push(table([columns, ...rows]));
  }
  if (sources.length > 0) {
    const rows = sources.map(({ name, state, lastError }) => [
      name,
      state,
      visible(lastError ?? ''),
    ]);
    parts.push(table([['SOURCE', 'STATE', 'LAST ERROR'], ...rows]));
  }
  if (held.length > 0) parts.push(showHeld(held));
  return parts.join('\n');
}

function heading(found: Status): Cell[][] {
  const { ready, degraded, uptimeSeconds, connections, buffer } = found;
  const up = `up ${roughDuration(uptimeSeconds * msPerSecond)}`;
  const rows: Cell[][] = [
    ['tidegate', `${found.version}, gateway ${found.gateway}`],
    ['state', `${ready ? 'ready' : 'starting'}, ${up}`],
  ];
  if (degraded !== null) rows.push(['degraded', degraded]);
  rows.push(['connections', `${connections}`]);
  if (!buffer) return [...rows, ['buffer', 'not open']];
  const { usedBytes, limitBytes, segments, holding, deadLetters, deadLetterBytes } = buffer;
  const used = `${roughSize(usedBytes)} of ${roughSize(limitBytes)}`;
  rows.push(['buffer', `${used}, ${plural(segments, 'segment')}`]);
  if (holding !== null) rows.push(['holding', `${holding}: acknowledgements wait`]);
  if (deadLetters > 0) {
    rows.push(['dead letters', `${deadLetters} (${roughSize(deadLetterBytes)})`]);
  }
  return rows;
}

function laneRow(lane: LaneGauge, told: LaneTold | undefined, nowMs: number): Cell[] {
  const state = told?.state ?? (lane.configured ? 'starting' : 'not configured');
  const forMs = told ? Math.max(0, nowMs - Date.parse(told.since)) : null;
  return [
    lane.lane,
    state,
    forMs === null ? '' : roughDuration(forMs),
    lane.backlogFrames,
    roughSize(lane.backlogBytes),
    lane.backlogFrames === 0 ? '' : roughDuration(lane.backlogAgeMs),
    told?.retries ?? 0,
    visible(told?.lastError ?? ''),
  ];
}

/** The first of them by name; a fleet that waits is a number. */
function showHeld(held: readonly string[]): string {
  const named = held.slice(0, heldShown).map(visible).join(', ');
  const more = held.length > heldShown ? ` and ${held.length - heldShown} more` : '';
  return `held by a limit or a full disk: ${named}${more}\n`;
}
