/**
 * The states of a lane's loop and the ways between them, asserted at each change. While backing off
 * something is being tried again, and what can goes on; a halted lane needs hands.
 *
 *   connecting ──▶ forwarding ◀──▶ backing-off
 *        ▲             │               │
 *        ├── resume ── halted ◀─────────┘
 *        └── resume ── paused ◀── any    any ──▶ stopped
 */
import type { LaneName } from '../buffer/protocol.ts';

export type LaneStateName =
  | 'connecting'
  | 'forwarding'
  | 'backing-off'
  | 'paused'
  | 'halted'
  | 'stopped';

export interface LaneStateTold {
  readonly lane: LaneName;
  readonly state: LaneStateName;
  /** Wall clock, ms. */
  readonly since: number;
  readonly retries: number;
  readonly lastError: string | null;
}

const ways: Readonly<Record<LaneStateName, readonly LaneStateName[]>> = {
  connecting: ['forwarding', 'paused', 'halted', 'stopped'],
  forwarding: ['backing-off', 'connecting', 'paused', 'halted', 'stopped'],
  'backing-off': ['forwarding', 'connecting', 'paused', 'halted', 'stopped'],
  paused: ['connecting', 'stopped'],
  halted: ['connecting', 'paused', 'stopped'],
  stopped: [],
};

export class LaneStates {
  readonly #lane: LaneName;
  readonly #tell: (told: LaneStateTold) => void;
  #state: LaneStateName = 'connecting';
  #sinceMs = Date.now();
  #retries = 0;
  #lastError: string | null = null;

  constructor(lane: LaneName, tell: (told: LaneStateTold) => void) {
    this.#lane = lane;
    this.#tell = tell;
  }

  get now(): LaneStateName {
    return this.#state;
  }

  is(...names: readonly LaneStateName[]): boolean {
    return names.includes(this.#state);
  }

  become(next: LaneStateName): void {
    if (next === this.#state) return;
    if (!ways[this.#state].includes(next)) {
      throw new RangeError(`lane ${this.#lane}: no way from ${this.#state} to ${next}`);
    }
    this.#state = next;
    this.#sinceMs = Date.now();
    if (next === 'forwarding') this.#lastError = null;
    this.tell();
  }

  failed(error: string): void {
    this.#retries += 1;
    this.#lastError = error;
  }

  tell(): void {
    this.#tell({
      lane: this.#lane,
      state: this.#state,
      since: this.#sinceMs,
      retries: this.#retries,
      lastError: this.#lastError,
    });
  }
}
