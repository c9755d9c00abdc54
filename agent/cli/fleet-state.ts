/**
 * The state of one gateway in one word and its reasons, from what it reports of its layers and what
 * the bucket has for it:
 *
 *   refused > reverted > silent > behind > pending > spared > applied > none (there is no layer)
 *
 * The worst one is the one to show. Silent is what has not reported for three of its intervals, or
 * has a config of its own in the bucket and never reported; behind, what reports but has not seen
 * the newest revision.
 */
import { type GatewayReport, keysOf, type LayerState } from '../fleet/report.ts';
import type { Stored } from './fleet-bucket.ts';
import { type Heard, silentAfterMs } from './fleet-reports.ts';

export type GatewayState = LayerState | 'silent' | 'behind' | 'none';

/** The revision of each key that gateways should know of. */
export type Newest = ReadonlyMap<string, number>;

export function newestOf(latest: Iterable<Stored>): Newest {
  const known = [...latest].filter(({ trusted }) => trusted !== false);
  return new Map(known.flatMap(({ key, signed }) => (signed ? [[key, signed.revision]] : [])));
}

const worstFirst: readonly GatewayState[] = [
  ...(['refused', 'reverted', 'behind', 'pending', 'spared', 'applied'] as const),
];

export function worstLayer(report: GatewayReport, newest: Newest): GatewayState {
  const states = new Set<GatewayState>();
  for (const key of keysOf(report.gateway, report.groups)) {
    const layer = report.layers[key];
    const isBehind = (newest.get(key) ?? 0) > (layer?.revision ?? 0);
    if (isBehind) states.add('behind');
    else if (layer !== undefined) states.add(layer.state);
  }
  return worstFirst.find((state) => states.has(state)) ?? 'none';
}

export function stateOf(heard: Heard, newest: Newest, nowMs: number): GatewayState {
  const { report, atMs } = heard;
  return nowMs - atMs > silentAfterMs(report) ? 'silent' : worstLayer(report, newest);
}

/** `fleet.default@7 group.a@2 (3 refused)`: what runs, and what of it is not the newest. */
export function revisionsOf({ layers }: GatewayReport): string {
  const shown = Object.entries(layers).map(([key, { revision, running, state }]) => {
    const runs = `${key}@${running ?? '-'}`;
    return revision === running ? runs : `${runs} (${revision} ${state})`;
  });
  return shown.join(' ');
}

/** Why it is not as it should be; empty when it is. */
export function reasonOf({ layers, lanes, health }: GatewayReport): string {
  const said = Object.entries(layers).flatMap(([key, { reason }]) =>
    reason === null ? [] : [`${key}: ${reason}`],
  );
  const lame = Object.entries(lanes).filter(([, state]) => state !== 'forwarding');
  const why = health === 'ok' ? [] : lame.map(([lane, state]) => `lane ${lane} ${state}`);
  return [...said, ...why].join('; ');
}

export function totalsOf(states: Iterable<GatewayState>): Record<string, number> {
  const totals: Record<string, number> = {};
  for (const state of states) totals[state] = (totals[state] ?? 0) + 1;
  return totals;
}
