/**
 * Per broker, when it may be tried again: a broker that cannot be reached holds its partitions, and
 * no other's. Exponential with full jitter; the first answer of any kind ends it.
 */
import { Backoff, type Random } from './backoff.ts';

interface Broker {
  readonly backoff: Backoff;
  retryAtMs: number;
}

export class Brokers {
  readonly #random: Random;
  readonly #brokers = new Map<number, Broker>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** Monotonic ms; 0: now. */
  retryAtMs(broker: number): number {
    return this.#brokers.get(broker)?.retryAtMs ?? 0;
  }

  /** @returns the failures in a row, and ms until the next attempt */
  failed(broker: number): { readonly attempts: number; readonly delayMs: number } {
    const known = this.#brokers.get(broker);
    const state = known ?? { backoff: new Backoff(this.#random), retryAtMs: 0 };
    if (known === undefined) this.#brokers.set(broker, state);
    const delayMs = state.backoff.failed();
    state.retryAtMs = performance.now() + delayMs;
    return { attempts: state.backoff.attempts, delayMs };
  }

  answered(broker: number): void {
    this.#brokers.delete(broker);
  }
}
