/**
 * What a gateway says of itself in the status bucket, under its own name. Written by the gateway,
 * read by `tidegate fleet`.
 *
 * State of a layer, by its newest signed revision in the bucket:
 *   pending   applied, and watched for `confirmWithin`       spared    a canary that is for others
 *   applied   it runs, and did no harm                       refused   never ran, see reason
 *   reverted  ran, did harm, was taken back
 */
export type LayerState = 'applied' | 'pending' | 'refused' | 'reverted' | 'spared';

export interface LayerReport {
  /** The newest seen: the state is about it. */
  readonly revision: number;
  readonly hash: string;
  readonly state: LayerState;
  readonly reason: string | null;
  /** The revision of this layer that runs; null: none. */
  readonly running: number | null;
}

export interface GatewayReport {
  readonly gateway: string;
  readonly version: string;
  /** RFC 3339. */
  readonly at: string;
  /** The report after which it counts as gone, if none came. */
  readonly everySeconds: number;
  readonly uptimeSeconds: number;
  readonly groups: readonly string[];
  /** By key: `fleet.default`, `group.NAME`, `gateway.NAME`. */
  readonly layers: Readonly<Record<string, LayerReport>>;
  /** Of the effective config that runs. */
  readonly hash: string;
  /** ok: ready, nothing degraded, every lane forwarding. */
  readonly health: 'ok' | 'degraded';
  /** State of each lane. */
  readonly lanes: Readonly<Record<string, string>>;
  readonly backlog: { readonly frames: number; readonly bytes: number };
  readonly rates: { readonly framesPerSecond: number; readonly errorsPerSecond: number };
}

export const fleetKey = 'fleet.default';
export const groupKey = (name: string): string => `group.${name}`;
export const gatewayKey = (name: string): string => `gateway.${name}`;

/** The layers of one gateway, from wide to narrow. */
export function keysOf(gateway: string, groups: readonly string[]): string[] {
  return [fleetKey, ...groups.map(groupKey), gatewayKey(gateway)];
}
