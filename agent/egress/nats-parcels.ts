/**
 * The records a NATS upstream holds, in the order they were submitted, and where each stands:
 *
 *   waiting ──take──▶ out ──PubAck──▶ gone
 *      ▲               ├──refused, late──▶ failed
 *      └──reclaim──────┴────────────────────┘
 *
 * A parcel that is out has a token of its own, which the reply's subject names; a reply to a token
 * that is not out any more is nobody's. What failed, and what a lost connection left unanswered,
 * goes back before all that waits, each at its old place.
 */
import type { EgressRecord } from './record.ts';

export interface Parcel {
  readonly record: EgressRecord;
  readonly order: number;
  /** 0 until it was sent. */
  token: number;
  sentAtMs: number;
  /** How often the lane had been narrowed when it was last sent. */
  narrowings: number;
}

/** What was taken from the front is cut off in pieces of this many. */
const cutParcels = 1_024;

export class Parcels {
  #waiting: Parcel[] = [];
  #front = 0;
  #failed: Parcel[] = [];
  /** In the order they were sent. */
  readonly #out = new Map<number, Parcel>();
  #order = 0;
  #lastToken = 0;

  get size(): number {
    return this.#waiting.length - this.#front + this.#failed.length + this.#out.size;
  }

  /** Sent and not answered. */
  get out(): number {
    return this.#out.size;
  }

  get failed(): number {
    return this.#failed.length;
  }

  add(record: EgressRecord): void {
    this.#waiting.push({ record, order: this.#order++, token: 0, sentAtMs: 0, narrowings: 0 });
  }

  /** The next to be sent; it is out from here on. */
  take(nowMs: number): Parcel | null {
    const parcel = this.#waiting[this.#front];
    if (parcel === undefined) return null;
    this.#front += 1;
    if (this.#front >= cutParcels) {
      this.#waiting = this.#waiting.slice(this.#front);
      this.#front = 0;
    }
    this.#lastToken += 1;
    parcel.token = this.#lastToken;
    parcel.sentAtMs = nowMs;
    this.#out.set(parcel.token, parcel);
    return parcel;
  }

  find(token: number): Parcel | null {
    return this.#out.get(token) ?? null;
  }

  /** It has its outcome. */
  gone(parcel: Parcel): void {
    this.#out.delete(parcel.token);
  }

  /** It will be sent again, after `reclaim`. */
  fail(parcel: Parcel): void {
    this.#out.delete(parcel.token);
    this.#failed.push(parcel);
  }

  /** What failed waits again. */
  reclaim(): void {
    const failed = this.#failed.sort((a, b) => a.order - b.order);
    const waiting = this.#waiting.slice(this.#front);
    // Mostly all that failed stands before all that waits; what expired or is new need not.
    this.#waiting = [...failed, ...waiting].sort((a, b) => a.order - b.order);
    this.#front = 0;
    this.#failed = [];
  }

  /** The connection ended. */
  allBack(): void {
    this.#failed.push(...this.#out.values());
    this.#out.clear();
    this.reclaim();
  }

  /** @returns what was out; it is gone */
  dropOut(): number {
    const out = this.#out.size;
    this.#out.clear();
    return out;
  }

  outNow(): Parcel[] {
    return [...this.#out.values()];
  }

  /** The one that waits for its answer the longest. */
  get oldest(): Parcel | null {
    const [first = null] = this.#out.values();
    return first;
  }

  clear(): void {
    this.#waiting = [];
    this.#front = 0;
    this.#failed = [];
    this.#out.clear();
  }
}
