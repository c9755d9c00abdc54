/**
 * The sentence that `systemctl status` shows: what runs, and what is not as it should be, the worst
 * at the end where the eye stops. Figures are rough, so that it changes only when something did.
 *
 *   3 listeners, 12 devices, 1 of 2 sources; backlog 1.2 MiB behind cloud (backing-off)
 */
import type { BufferGauges, LaneGauge } from '../buffer/protocol.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import { plural, roughSize } from './figures.ts';

/** A lane that forwards is named only with a backlog from here on. */
const backlogToldBytes = 1024 * 1024;
const lanesNamed = 3;
const charsMost = 300;

export type StatusSource = Pick<
  Telemetry,
  'openConnections' | 'laneStates' | 'gaugesSource' | 'seatsSource' | 'degraded'
>;

export function statusOf(telemetry: StatusSource, listeners: number): string {
  const { held, sources } = telemetry.seatsSource();
  const gauges = telemetry.gaugesSource();
  const works = [
    plural(listeners, 'listener'),
    plural(telemetry.openConnections, 'device'),
    ...(sources.length > 0 ? [sourcesOf(sources)] : []),
  ];
  const wrongs = [
    ...lanesOf(telemetry, gauges),
    ...(held.length > 0 ? [`${held.length} held`] : []),
    ...(gauges?.holding ? [`holding: ${gauges.holding}`] : []),
    ...(telemetry.degraded === 'config'
      ? ['degraded: config refused, the last good one runs']
      : []),
  ];
  return oneLine([works.join(', '), ...wrongs].join('; '));
}

/** What a status may be: one line, not long. */
export function oneLine(text: string): string {
  const line = text
    .split(/[\p{Cc}\p{Zl}\p{Zp}]+/u)
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .join('; ');
  return line.length <= charsMost ? line : `${line.slice(0, charsMost - 1)}…`;
}

function sourcesOf(sources: readonly { readonly state: string }[]): string {
  const subscribed = sources.filter(({ state }) => state === 'subscribed').length;
  if (subscribed === sources.length) return plural(subscribed, 'source');
  return `${subscribed} of ${plural(sources.length, 'source')}`;
}

function lanesOf(telemetry: StatusSource, gauges: BufferGauges | null): string[] {
  const told = new Map(telemetry.laneStates.map((lane) => [lane.lane, lane]));
  const behind = (gauges?.lanes ?? [])
    .map((gauge) => ({ gauge, lane: told.get(gauge.lane) }))
    .filter(({ gauge, lane }) => gauge.backlogBytes >= backlogToldBytes || waits(lane))
    .sort((one, other) => other.gauge.backlogBytes - one.gauge.backlogBytes);
  const named = behind
    .slice(0, lanesNamed)
    .map(({ gauge, lane }) => laneOf(gauge, lane?.state ?? null));
  const more = behind.length - named.length;
  return more > 0 ? [...named, `${more} more behind`] : named;
}

/** At the start a lane connects; that is not worth a word until it failed. */
function waits(lane: StatusSource['laneStates'][number] | undefined): boolean {
  if (lane === undefined || lane.state === 'forwarding') return false;
  return lane.state !== 'connecting' || lane.lastError !== null;
}

/** A lane without a state is one of an upstream that left the config. */
function laneOf({ upstream, backlogBytes }: LaneGauge, state: string | null): string {
  const why = state === 'forwarding' ? '' : ` (${state ?? 'not in the config'})`;
  if (backlogBytes === 0) return `${upstream}${why}`;
  return `backlog ${roughSize(backlogBytes)} behind ${upstream}${why}`;
}
