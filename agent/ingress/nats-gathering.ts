/**
 * What a consumer of our own delivered before this connection and nobody acknowledged, gathered
 * until all of it has come again:
 *
 *   resting ──ackWait is over──▶ asking ──nothing more comes again──▶ counting
 *                                  ▲                                    │
 *                                  └──────the server counts more────────┴──▶ whole, in order
 *
 * The server delivers again in the order in which times ran out, not in that of the stream: what
 * was told to be in progress comes later than what stands behind it. Taken as it came, it would
 * break the order, and an acknowledgement (AckPolicy.All) would stand for what has not come yet.
 * Some of it never comes: a stream may have dropped it meanwhile (its limits, a purge). So its
 * number is not counted down but asked for again, once nothing comes, or something new does, which
 * the server delivers behind what comes again.
 */
import type { Delivered } from './nats-delivered.ts';

export class Gathering {
  readonly #found = new Map<number, Delivered>();
  readonly #fromMs: number;
  #pending: number;
  #hasNew = false;
  #isCounting = false;

  /** @param fromMs when the times of all of it have run out */
  constructor(pending: number, fromMs: number) {
    this.#pending = pending;
    this.#fromMs = fromMs;
  }

  /** Messages to ask for now. */
  room(nowMs: number): number {
    if (this.#isCounting || nowMs < this.#fromMs) return 0;
    return Math.max(1, this.#pending - this.#found.size);
  }

  add(delivered: Delivered): void {
    if (!delivered.again) this.#hasNew = true;
    this.#found.set(delivered.sequence, delivered);
  }

  /** A request is over. @returns true: what the server has pending must be asked for now */
  over(brought: number): boolean {
    const isWhole = this.#found.size >= this.#pending;
    if (this.#isCounting || !(brought === 0 || this.#hasNew || isWhole)) return false;
    this.#isCounting = true;
    return true;
  }

  /** @returns true: all of it is here */
  counted(pending: number): boolean {
    this.#isCounting = false;
    this.#hasNew = false;
    this.#pending = pending;
    return this.#found.size >= pending;
  }

  /** Each once, as last delivered. */
  get found(): Iterable<Delivered> {
    return this.#found.values();
  }

  inOrder(): Delivered[] {
    return [...this.#found.values()].sort((a, b) => a.sequence - b.sequence);
  }
}
