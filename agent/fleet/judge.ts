/**
 * Whether a config that was just applied does harm: watched for `confirmWithin`, compared with how
 * it was before. Only what was well before counts: an upstream that was away already is not blamed
 * on the config. Pure; time comes with each look.
 *
 *   harm at once    a lane that forwarded is halted; more errors, more backlog than is allowed
 *   after a grace   a lane that forwarded does not; all that forwarded is gone, nothing forwards
 *                   (paused by hand says nothing)
 *   after half      NATS was connected, and is not (10 s at the least)
 *   at the end      confirmed, but never while one of these lasts: its grace is waited for
 */
import { fleetGraceLeastMs, fleetGraceShare, fleetLinkLeastMs, fleetLinkShare } from '../bounds.ts';
import { type Health, type Usual, upstreamOf } from './health.ts';

export interface Tolerance {
  readonly confirmWithinMs: number;
  readonly errors: number;
  readonly backlogBytes: number;
}

export type Judgement =
  | { readonly kind: 'watching' | 'confirmed' }
  | { readonly kind: 'harm'; readonly reason: string };

const second = 1_000;
const fine = new Set(['forwarding', 'paused']);

export class Judge {
  readonly #usual: Usual;
  readonly #start: Health;
  readonly #tolerance: Tolerance;
  /** When each fault that lasts was first seen. */
  readonly #since = new Map<string, number>();

  /** @param start as it was when the config was applied; `usual` may be of before another one */
  constructor(usual: Usual, start: Health, tolerance: Tolerance) {
    this.#usual = usual;
    this.#start = start;
    this.#tolerance = tolerance;
  }

  look(now: Health): Judgement {
    const { confirmWithinMs } = this.#tolerance;
    const isOver = now.atMs - this.#start.atMs >= confirmWithinMs;
    const reason = this.#halted(now) ?? this.#lanes(now) ?? this.#link(now) ?? this.#figures(now);
    if (reason !== null) return { kind: 'harm', reason };
    return { kind: isOver && this.#since.size === 0 ? 'confirmed' : 'watching' };
  }

  /** Lanes that have to forward because they did, or because their upstream did. */
  #judged(now: Health): string[] {
    const before = this.#usual.before.lanes;
    const well = forwarding(before);
    const upstreams = new Set(well.map(upstreamOf));
    return Object.keys(now.lanes).filter(
      (lane) =>
        well.includes(lane) || (before[lane] === undefined && upstreams.has(upstreamOf(lane))),
    );
  }

  #halted(now: Health): string | null {
    const lane = this.#judged(now).find((one) => now.lanes[one] === 'halted');
    return lane === undefined ? null : `${lane} forwarded before, and is halted`;
  }

  #lanes(now: Health): string | null {
    const graceMs = Math.max(fleetGraceLeastMs, this.#tolerance.confirmWithinMs * fleetGraceShare);
    const judged = this.#judged(now);
    for (const lane of judged) {
      const state = now.lanes[lane] ?? '';
      const forMs = this.#lasts(lane, !fine.has(state), now.atMs);
      if (forMs > graceMs) return `${lane} forwarded before, and is ${state} for ${show(forMs)}`;
    }
    const none =
      judged.length === 0 &&
      forwarding(this.#usual.before.lanes).length > 0 &&
      forwarding(now.lanes).length === 0;
    const forMs = this.#lasts(nothing, none, now.atMs);
    return forMs > graceMs ? 'all lanes that forwarded are gone, and none forwards now' : null;
  }

  #link(now: Health): string | null {
    const down = this.#usual.before.linked && !now.linked;
    const forMs = this.#lasts(link, down, now.atMs);
    const { confirmWithinMs } = this.#tolerance;
    if (forMs <= Math.max(fleetLinkLeastMs, confirmWithinMs * fleetLinkShare)) return null;
    return `NATS was connected before, and is gone for ${show(forMs)}`;
  }

  #figures(now: Health): string | null {
    const seconds = (now.atMs - this.#start.atMs) / second;
    const { errorsPerSecond, backlogBytesPerSecond } = this.#usual;
    const errors = now.errors - this.#start.errors - errorsPerSecond * seconds;
    if (errors > this.#tolerance.errors) {
      return `${Math.round(errors)} error events more than before`;
    }
    const grown = now.backlogBytes - this.#start.backlogBytes - backlogBytesPerSecond * seconds;
    if (grown <= this.#tolerance.backlogBytes) return null;
    return `the backlog grew by ${Math.round(grown)} bytes more than before`;
  }

  /** @returns for how long a fault lasts, ms; 0 when it does not, or was first seen now */
  #lasts(fault: string, isThere: boolean, atMs: number): number {
    if (!isThere) {
      this.#since.delete(fault);
      return 0;
    }
    const since = this.#since.get(fault) ?? atMs;
    this.#since.set(fault, since);
    return atMs - since;
  }
}

/** Names that no lane has. */
const link = 'link';
const nothing = 'nothing';

function forwarding(lanes: Readonly<Record<string, string>>): string[] {
  return Object.keys(lanes).filter((lane) => lanes[lane] === 'forwarding');
}

function show(ms: number): string {
  return `${(ms / second).toFixed(1)} s`;
}
