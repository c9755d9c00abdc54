/**
 * Waiting times between attempts: exponential with full jitter and a cap. Full jitter, so that a
 * fleet whose uplink comes back at one moment does not arrive at one moment; randomness is an
 * argument, so that a test can name its seed.
 */
import { backoffCapMs, backoffFirstMs } from '../bounds.ts';

export type Random = () => number;

/** Even a lucky draw waits this long: a refused connection must not become a spin. */
const leastMs = 5;

/** @param attempts failures before this one; @returns ms to wait */
export function jittered(
  random: Random,
  attempts: number,
  firstMs = backoffFirstMs,
  capMs = backoffCapMs,
): number {
  return Math.max(leastMs, random() * Math.min(capMs, firstMs * 2 ** attempts));
}

export class Backoff {
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #capMs: number;
  #attempts = 0;

  constructor(random: Random, firstMs = backoffFirstMs, capMs = backoffCapMs) {
    this.#random = random;
    this.#firstMs = firstMs;
    this.#capMs = capMs;
  }

  /** Failures since the last success. */
  get attempts(): number {
    return this.#attempts;
  }

  /** Counts one failure. @returns ms to wait before the next attempt */
  failed(): number {
    const waitMs = jittered(this.#random, this.#attempts, this.#firstMs, this.#capMs);
    this.#attempts += 1;
    return waitMs;
  }

  succeeded(): void {
    this.#attempts = 0;
  }
}
