/**
 * What changed in a fleet, told from the reports and configs as they come: one change each, none
 * for what only repeats itself. It outlives connections: after one was lost, what changed meanwhile
 * is told.
 */
import type { GatewayReport } from '../fleet/report.ts';
import type { Stored } from './fleet-bucket.ts';
import { type Heard, silentAfterMs } from './fleet-reports.ts';
import { type GatewayState, newestOf, reasonOf, worstLayer } from './fleet-state.ts';

export interface Change {
  readonly kind: 'gateway' | 'layer' | 'health' | 'gone' | 'config';
  /** null: about the bucket. */
  readonly gateway: string | null;
  readonly key: string | null;
  readonly revision: number | null;
  readonly what: string;
  readonly reason: string | null;
}

interface Seen {
  readonly report: GatewayReport;
  /** By our own clock. */
  readonly heardMs: number;
  readonly isGone: boolean;
}

const none = { gateway: null, key: null, revision: null, reason: null };

export class FleetChanges {
  readonly #gateways = new Map<string, Seen>();
  readonly #configs = new Map<string, Stored>();

  /** @param heard null: its report was taken out */
  hear(gateway: string, heard: Heard | null, nowMs: number): Change[] {
    const before = this.#gateways.get(gateway);
    if (heard === null) return before === undefined ? [] : this.#leave(gateway, 'said so');
    const { report } = heard;
    this.#gateways.set(gateway, { report, heardMs: nowMs, isGone: false });
    const of = { ...none, gateway };
    if (before === undefined) {
      return [{ ...of, kind: 'gateway', what: `reports, version ${report.version}` }];
    }
    const back = before.isGone ? [{ ...of, kind: 'gateway' as const, what: 'is back' }] : [];
    return [...back, ...between(before.report, report).map((one) => ({ ...of, ...one }))];
  }

  /** Those that have not reported for too long. */
  missed(nowMs: number): Change[] {
    const late = [...this.#gateways].filter(([, { report, heardMs, isGone }]) => {
      return !isGone && nowMs - heardMs > silentAfterMs(report);
    });
    return late.flatMap(([gateway, { report }]) => {
      const seconds = Math.round(silentAfterMs(report) / msPerSecond);
      return this.#leave(gateway, `no report for ${seconds}s`);
    });
  }

  /** After all that stands in the bucket was read anew. */
  retain(names: ReadonlySet<string>): Change[] {
    const rest = [...this.#gateways].filter(([name, { isGone }]) => !isGone && !names.has(name));
    return rest.flatMap(([name]) => this.#leave(name, 'its report has gone'));
  }

  #leave(gateway: string, reason: string): Change[] {
    const seen = this.#gateways.get(gateway);
    if (seen === undefined || seen.isGone) return [];
    this.#gateways.set(gateway, { ...seen, isGone: true });
    return [{ ...none, kind: 'gone', gateway, what: 'gone', reason }];
  }

  stored(stored: Stored): Change[] {
    const { key, sequence, signed, trusted, fault } = stored;
    if (this.#configs.get(key)?.sequence === sequence) return [];
    this.#configs.set(key, stored);
    const of = { ...none, kind: 'config' as const, key };
    if (signed === null) return [{ ...of, what: 'taken by no gateway', reason: fault }];
    const { revision, rollout } = signed;
    const whom = rollout === null ? '' : `, a canary of ${rollout.share * percent} %`;
    const what = `signed by ${signed.signer}${whom}`;
    return [
      { ...of, revision, what, reason: trusted === false ? 'its signer is not trusted' : null },
    ];
  }

  states(): GatewayState[] {
    const newest = newestOf(this.#configs.values());
    return [...this.#gateways.values()].map(({ report, isGone }) =>
      isGone ? 'silent' : worstLayer(report, newest),
    );
  }
}

const percent = 100;
const msPerSecond = 1_000;

type Difference = Omit<Change, 'gateway'>;

function between(before: GatewayReport, now: GatewayReport): Difference[] {
  const changes: Difference[] = [];
  const of = { key: null, revision: null, reason: null };
  if (before.version !== now.version) {
    changes.push({ ...of, kind: 'gateway', what: `version ${now.version}` });
  }
  for (const [key, { revision, state, reason }] of Object.entries(now.layers)) {
    const was = before.layers[key];
    if (was?.revision === revision && was.state === state) continue;
    changes.push({ kind: 'layer', key, revision, what: state, reason });
  }
  for (const key of Object.keys(before.layers)) {
    if (now.layers[key]) continue;
    changes.push({ ...of, kind: 'layer', key, what: 'is no longer a layer of it' });
  }
  if (before.health !== now.health) {
    const reason = now.health === 'ok' ? null : reasonOf(now);
    changes.push({ ...of, kind: 'health', what: now.health, reason });
  }
  return changes;
}
