/**
 * What gateways report, kept up to date by one watch of the status bucket. A report is what some
 * machine in the field wrote: its shape is checked, and its key, which the server's permissions
 * guard, says whose it is. One that cannot be read is counted, and is otherwise not there.
 */
import type { KV, KvEntry } from 'nats';
import { reportsMissed } from '../bounds.ts';
import type { TidegateError } from '../errors.ts';
import { fleetKey, type GatewayReport, gatewayKey, groupKey } from '../fleet/report.ts';
import type { FleetLink } from './fleet-link.ts';
import { type Reading, readBucket } from './fleet-read.ts';

export interface Heard {
  readonly report: GatewayReport;
  /** By the clock of the server: a gateway's may stand in 1970. */
  readonly atMs: number;
}

/** @param now null: it is gone */
export type HeardChange = (gateway: string, before: Heard | null, now: Heard | null) => void;

const msPerSecond = 1_000;

export class FleetReports {
  readonly heard = new Map<string, Heard>();
  readonly #unreadable = new Set<string>();
  #reading: Reading | null = null;
  #changed: HeardChange = () => {};

  /** With all that stands in the bucket now. */
  static async open(
    link: FleetLink,
    bucket: string,
    kv: KV | null,
    changed: HeardChange = () => {},
  ): Promise<FleetReports> {
    const reports = new FleetReports();
    reports.#changed = changed;
    if (kv === null) return reports;
    await link.ask(`bucket ${bucket}`, async () => {
      const reading = await readBucket(kv, {}, (entry) => reports.#take(entry));
      reports.#reading = reading;
      await reading.loaded;
    });
    return reports;
  }

  get unreadable(): number {
    return this.#unreadable.size;
  }

  /** From now on; one listener. */
  onChange(changed: HeardChange): void {
    this.#changed = changed;
  }

  /** Nothing more is heard; never, where there is no bucket. */
  get ended(): Promise<TidegateError> {
    return this.#reading?.ended ?? new Promise(() => {});
  }

  #take(entry: KvEntry): void {
    const { key } = entry;
    const before = this.heard.get(key) ?? null;
    const isGone = entry.operation !== 'PUT';
    const report = isGone ? null : parseReport(entry.string(), key);
    if (isGone || report !== null) this.#unreadable.delete(key);
    else this.#unreadable.add(key);
    const now = report === null ? null : { report, atMs: entry.created.getTime() };
    if (now === null) this.heard.delete(key);
    else this.heard.set(key, now);
    if (before !== null || now !== null) this.#changed(key, before, now);
  }

  /** Those that a config under this key is for, by name. */
  concerned(key: string): string[] {
    const all = [...this.heard.values()].map(({ report }) => report);
    return all
      .filter((report) => concerns(key, report))
      .map(({ gateway }) => gateway)
      .sort();
  }

  /** The highest revision under this key that any gateway has seen; above `most` none counts. */
  highestSeen(key: string, most: number): number {
    let highest = 0;
    for (const { report } of this.heard.values()) {
      // The newest entry may be an old one again.
      const { revision = 0, running = 0 } = report.layers[key] ?? {};
      for (const one of [revision, running ?? 0]) {
        if (Number.isSafeInteger(one) && one <= most) highest = Math.max(highest, one);
      }
    }
    return highest;
  }
}

function concerns(key: string, { gateway, groups }: GatewayReport): boolean {
  if (key === fleetKey || key === gatewayKey(gateway)) return true;
  return groups.some((group) => groupKey(group) === key);
}

/** After this it counts as gone. */
export function silentAfterMs({ everySeconds }: GatewayReport): number {
  return everySeconds * msPerSecond * reportsMissed;
}

type Shape = 'string' | 'number';

function has(value: unknown, shape: Readonly<Record<string, Shape>>): boolean {
  const found = Object(value) as Record<string, unknown>;
  return Object.entries(shape).every(([key, type]) => {
    const one = found[key];
    return typeof one === type && (type !== 'number' || Number.isFinite(one));
  });
}

const reportShape = {
  gateway: 'string',
  version: 'string',
  at: 'string',
  hash: 'string',
  health: 'string',
  everySeconds: 'number',
  uptimeSeconds: 'number',
} as const;
const rateShape = { framesPerSecond: 'number', errorsPerSecond: 'number' } as const;
const layerShape = { revision: 'number', hash: 'string', state: 'string' } as const;
const layerStates = new Set(['applied', 'pending', 'refused', 'reverted', 'spared']);
const groupsMost = 64;

function parseReport(text: string, key: string): GatewayReport | null {
  let value: Partial<GatewayReport>;
  try {
    value = Object(JSON.parse(text)) as Partial<GatewayReport>;
  } catch {
    return null;
  }
  if (!has(value, reportShape) || value.gateway !== key) return null;
  if (!has(value.backlog, { frames: 'number', bytes: 'number' })) return null;
  if (!has(value.rates, rateShape) || !isTexts(value.lanes)) return null;
  const { groups, layers } = value;
  if (!Array.isArray(groups) || groups.length > groupsMost) return null;
  if (!groups.every((group) => typeof group === 'string')) return null;
  if (typeof layers !== 'object' || layers === null) return null;
  return Object.values(layers).every(isLayer) ? (value as GatewayReport) : null;
}

function isTexts(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.values(value).every((text) => typeof text === 'string');
}

function isLayer(value: unknown): boolean {
  if (!has(value, layerShape)) return false;
  const { state, reason, running } = value as Record<string, unknown>;
  if (running !== null && typeof running !== 'number') return false;
  return layerStates.has(String(state)) && (reason === null || typeof reason === 'string');
}
