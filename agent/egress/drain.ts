/**
 * Shapes what leaves while the backlog is old: after an outage a gateway must not take the whole
 * uplink from everything else. Two leaky buckets (messages, bytes) of one second each. What is
 * young passes unshaped, so that live traffic never waits for a setting that is about outages.
 */

export interface DrainRates {
  readonly messagesPerSecond: number | null;
  readonly bytesPerSecond: number | null;
}

/** Backlog older than this is drained, not forwarded live. */
export const drainOlderThanMs = 5_000;
const millisecondsPerSecond = 1_000;

class Bucket {
  readonly #perSecond: number;
  #tokens: number;
  #atMs: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#atMs = nowMs;
  }

  /** Takes even into debt, so that one large record passes; the debt is waited for. */
  take(amount: number, nowMs: number): void {
    const grown = ((nowMs - this.#atMs) / millisecondsPerSecond) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + grown) - amount;
    this.#atMs = nowMs;
  }

  waitMs(nowMs: number): number {
    this.take(0, nowMs);
    return this.#tokens > 0 ? 0 : (-this.#tokens / this.#perSecond) * millisecondsPerSecond + 1;
  }
}

export class Drain {
  readonly #messages: Bucket | null;
  readonly #bytes: Bucket | null;

  constructor(rates: DrainRates, nowMs: number) {
    const bucket = (perSecond: number | null) =>
      perSecond === null || perSecond === 0 ? null : new Bucket(perSecond, nowMs);
    this.#messages = bucket(rates.messagesPerSecond);
    this.#bytes = bucket(rates.bytesPerSecond);
  }

  /** @returns ms until a frame of this age may leave; 0: now */
  waitMs(ageMs: number, nowMs: number): number {
    if (ageMs < drainOlderThanMs) return 0;
    return Math.max(this.#messages?.waitMs(nowMs) ?? 0, this.#bytes?.waitMs(nowMs) ?? 0);
  }

  took(bytes: number, nowMs: number): void {
    this.#messages?.take(1, nowMs);
    this.#bytes?.take(bytes, nowMs);
  }

  get shapes(): boolean {
    return this.#messages !== null || this.#bytes !== null;
  }
}
