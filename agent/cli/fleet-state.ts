/**
 * The state of one gateway in one word and its reasons, from what it reports of its layers:
 *
 *   refused > reverted > silent > pending > spared > applied > none (no layer has come)
 *
 * The worst one is the one to show. Silent is what has not reported for three of its intervals, or
 * has a config of its own in the bucket and never reported.
 */
import type { GatewayReport, LayerState } from '../fleet/report.ts';
import { type Heard, silentAfterMs } from './fleet-reports.ts';

export type GatewayState = LayerState | 'silent' | 'none';

const worstFirst: readonly LayerState[] = ['refused', 'reverted', 'pending', 'spared', 'applied'];

export function worstLayer({ layers }: GatewayReport): LayerState | 'none' {
  const states = new Set(Object.values(layers).map(({ state }) => state));
  return worstFirst.find((state) => states.has(state)) ?? 'none';
}

export function isSilent({ report, atMs }: Heard, nowMs: number): boolean {
  return nowMs - atMs > silentAfterMs(report);
}

export function stateOf(heard: Heard, nowMs: number): GatewayState {
  return isSilent(heard, nowMs) ? 'silent' : worstLayer(heard.report);
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
