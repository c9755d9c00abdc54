/**
 * `tidegate fleet status`: what configs stand in the bucket and who signed them, and how each
 * gateway is by its last report. One read of each bucket, however many gateways there are.
 */
import type { Command } from 'commander';
import { exitCodes } from '../errors.ts';
import { fleetKey, groupKey } from '../fleet/report.ts';
import type { CliContext, Perform } from './context.ts';
import { plural, roughDuration, roughSize } from './figures.ts';
import type { Stored } from './fleet-bucket.ts';
import { showCounts } from './fleet-follow.ts';
import { type FleetFlags, placeFlags, placeOf } from './fleet-place.ts';
import type { FleetReports, Heard } from './fleet-reports.ts';
import { withFleet } from './fleet-session.ts';
import {
  type GatewayState,
  newestOf,
  reasonOf,
  revisionsOf,
  stateOf,
  totalsOf,
} from './fleet-state.ts';
import { fitted, oneLine, secondsSince, shortKey, shortTime } from './fleet-view.ts';
import type { Cell } from './table.ts';

interface StatusFlags extends FleetFlags {
  readonly group?: string;
}

export function addFleetStatus(fleet: Command, context: CliContext, perform: Perform): void {
  const command = fleet
    .command('status')
    .description('configs in the bucket, and every gateway: state, revisions, health, backlog')
    .option('--group <name>', 'only the gateways of this group');
  placeFlags(command)
    .addHelpText(
      'after',
      `
A gateway's state is the worst of its layers. Silent: no report for three of its intervals.

Examples:
  $ tidegate fleet status --config operator.yaml
  $ tidegate fleet status --servers tls://nats.plant:4222 --creds operator.creds --group line-a
  $ tidegate fleet status --json | jq '.gateways[] | select(.state == "refused")'`,
    )
    .action((flags: StatusFlags) => perform(() => status(flags, context)));
}

interface Row {
  readonly gateway: string;
  readonly state: GatewayState;
  readonly heard: Heard | null;
}

async function status(flags: StatusFlags, context: CliContext): Promise<number> {
  const place = await placeOf(flags, context);
  await withFleet({ place }, async ({ link, bucket, reports }) => {
    const nowMs = Date.now();
    const latest = await bucket.latest();
    const rows = rowsOf(reports, latest, flags.group ?? null, nowMs);
    const configs = configsOf(latest, flags.group ?? null, rows);
    const { unreadable } = reports;
    const totals = totalsOf(rows.map(({ state }) => state));
    if (flags.json) {
      const gateways = rows.map((row) => gatewayJson(row, nowMs));
      const whole = { server: link.server, bucket: place.bucket, totals, unreadable };
      const shown = { ...whole, configs: configs.map(configJson), gateways };
      context.out(`${JSON.stringify(shown, null, 2)}\n`);
      return;
    }
    const where = `bucket ${place.bucket} of ${link.server}`;
    if (bucket.kv === null) context.out(`there is no ${where}: fleet push makes it\n`);
    else if (configs.length === 0) context.out(`no config in ${where}\n`);
    else context.out(fitted([configHeading, ...configs.map(configRow)], context));
    context.out('\n');
    if (rows.length > 0) {
      context.out(fitted([heading, ...rows.map((row) => gatewayRow(row, nowMs))], context));
    }
    const bad = unreadable > 0 ? `, ${plural(unreadable, 'report')} cannot be read` : '';
    const shown = rows.length > 0 ? `: ${showCounts(totals)}` : '';
    context.out(`${plural(rows.length, 'gateway')}${shown}${bad}\n`);
  });
  return exitCodes.ok;
}

function rowsOf(
  reports: FleetReports,
  latest: ReadonlyMap<string, Stored>,
  group: string | null,
  nowMs: number,
): Row[] {
  const rows: Row[] = [];
  const newest = newestOf(latest.values());
  for (const [gateway, heard] of reports.heard) {
    if (group !== null && !heard.report.groups.includes(group)) continue;
    rows.push({ gateway, state: stateOf(heard, newest, nowMs), heard });
  }
  for (const key of latest.keys()) {
    const gateway = gatewayOf(key);
    // Whose groups nobody knows is in none.
    if (gateway === null || group !== null || reports.heard.has(gateway)) continue;
    rows.push({ gateway, state: 'silent', heard: null });
  }
  return rows.sort((a, b) => (a.gateway < b.gateway ? -1 : 1));
}

function gatewayOf(key: string): string | null {
  return /^gateway\.(.+)$/.exec(key)?.[1] ?? null;
}

function configsOf(
  latest: ReadonlyMap<string, Stored>,
  group: string | null,
  rows: readonly Row[],
): Stored[] {
  const shown = new Set(rows.map(({ gateway }) => gateway));
  const order = (key: string) => ['fleet', 'group', 'gateway'].indexOf(key.split('.')[0] ?? '');
  return [...latest.values()]
    .filter(({ key }) => {
      if (group === null || key === fleetKey || key === groupKey(group)) return true;
      return shown.has(gatewayOf(key) ?? '');
    })
    .sort((a, b) => order(a.key) - order(b.key) || (a.key < b.key ? -1 : 1));
}

const configHeading = ['CONFIG', 'REVISION', 'PUSHED', 'SIGNED BY', 'SIZE', 'NOTE'] as const;
const percent = 100;

function configRow({ key, signed, trusted, fault }: Stored): Cell[] {
  if (signed === null) return [oneLine(key), '-', '-', '-', '-', oneLine(fault ?? '')];
  const { revision, pushedAt, signer, config, rollout } = signed;
  const canary = rollout === null ? [] : [`canary of ${rollout.share * percent} %`];
  const untrusted = trusted === false ? ['signer not trusted: no gateway takes it'] : [];
  const size = roughSize(Buffer.byteLength(config));
  const note = [...untrusted, ...canary].join(', ');
  return [oneLine(key), revision, shortTime(pushedAt), shortKey(signer), size, note];
}

function configJson({ key, signed, trusted, fault }: Stored): object {
  if (signed === null) return { key, fault };
  const { config, ...rest } = signed;
  return { ...rest, bytes: Buffer.byteLength(config), trusted };
}

const heading = [
  ...['GATEWAY', 'VERSION', 'STATE', 'REVISIONS', 'HEALTH', 'BACKLOG', 'RATE', 'AGE', 'REASON'],
] as const;

const msPerSecond = 1_000;

function gatewayRow({ gateway, state, heard }: Row, nowMs: number): Cell[] {
  if (heard === null) return [gateway, '-', state, '-', '-', '-', '-', 'never', 'never reported'];
  const { report, atMs } = heard;
  const { frames, bytes } = report.backlog;
  return [
    oneLine(gateway),
    oneLine(report.version),
    state,
    oneLine(revisionsOf(report)) || '-',
    oneLine(report.health),
    frames === 0 ? '0' : `${frames} (${roughSize(bytes)})`,
    `${Math.round(report.rates.framesPerSecond)}/s`,
    roughDuration(secondsSince(atMs, nowMs) * msPerSecond),
    oneLine(reasonOf(report)),
  ];
}

function gatewayJson({ gateway, state, heard }: Row, nowMs: number): object {
  if (heard === null) return { gateway, state, ageSeconds: null, report: null };
  const { report, atMs } = heard;
  return { gateway, state, ageSeconds: secondsSince(atMs, nowMs), report };
}
