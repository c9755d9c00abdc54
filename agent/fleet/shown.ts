/**
 * How this gateway is, in the words of its report. Pure: rates are taken between two reports, the
 * first one has none.
 */
import type { Health } from './health.ts';
import type { GatewayReport, LayerReport } from './report.ts';

export interface Shown {
  readonly gateway: string;
  readonly version: string;
  readonly groups: readonly string[];
  readonly everyMs: number;
  readonly layers: Readonly<Record<string, LayerReport>>;
  readonly hash: string;
  /** Ready, and running what it was configured to. */
  readonly well: boolean;
  readonly backlogFrames: number;
  readonly frames: number;
  readonly uptimeSeconds: number;
}

export interface Counted {
  readonly atMs: number;
  readonly frames: number;
  readonly errors: number;
}

const second = 1_000;

/** @param before at the report before, @param nowMs Unix time */
export function composeReport(
  shown: Shown,
  health: Health,
  before: Counted | null,
  nowMs: number,
): GatewayReport {
  const { gateway, version, groups, layers, hash, everyMs, well, uptimeSeconds } = shown;
  const { lanes, backlogBytes, errors, atMs } = health;
  const seconds = before === null ? 0 : (atMs - before.atMs) / second;
  const rate = (from: number, to: number): number =>
    seconds > 0 ? Number(((to - from) / seconds).toPrecision(3)) : 0;
  const forwards = Object.values(lanes).every((state) => state === 'forwarding');
  return {
    ...{ gateway, version, groups, layers, hash, lanes },
    at: new Date(nowMs).toISOString(),
    everySeconds: everyMs / second,
    uptimeSeconds: Math.round(uptimeSeconds),
    health: well && forwards ? 'ok' : 'degraded',
    backlog: { frames: shown.backlogFrames, bytes: backlogBytes },
    rates: {
      framesPerSecond: rate(before?.frames ?? 0, shown.frames),
      errorsPerSecond: rate(before?.errors ?? 0, errors),
    },
  };
}
