/**
 * What `/status` and `/metrics` show of the fleet: whether this gateway follows its bucket, and of
 * each layer which revision runs and what became of the newest one.
 */
import type { LayerReport } from '../fleet/report.ts';
import type { Exposition } from './exposition.ts';

export interface FleetShown {
  /** Connected, and all keys read. */
  readonly connected: boolean;
  readonly lastError: string | null;
  /** SHA-256 of the effective config that runs. */
  readonly hash: string;
  readonly layers: Readonly<Record<string, LayerReport>>;
}

export function writeFleetMetrics(to: Exposition, { connected, layers }: FleetShown): void {
  to.gauge('tidegate_fleet_connected', '1 while the bucket is followed.', connected ? 1 : 0);
  const all = Object.entries(layers);
  to.gauge(
    'tidegate_fleet_revision',
    'Revision of the layer that runs.',
    all.flatMap(([key, { running }]) =>
      running === null ? [] : [{ labels: { key }, value: running }],
    ),
  );
  to.gauge(
    'tidegate_fleet_state',
    '1 for the state of the newest revision of the layer.',
    all.map(([key, { state }]) => ({ labels: { key, state }, value: 1 })),
  );
}
