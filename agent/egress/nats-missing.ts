/**
 * Subjects that no stream takes, as far as answers say. A server answers "no responders" also while
 * a stream has no leader, and before JetStream is up: so a subject is only believed missing once
 * the answer has been the same for a while, as with Kafka's topics (kafka-topics.ts).
 *
 * The subjects of one burst are doubted together. Bounded: when full it begins anew.
 */
import { natsInFlightMost } from '../bounds.ts';

export const missingAfterMs = 2_000;

export class MissingSubjects {
  readonly #afterMs: number;
  readonly #sinceMs = new Map<string, number>();

  constructor(afterMs = missingAfterMs) {
    this.#afterMs = afterMs;
  }

  /** No stream took it just now. @returns whether that has been so for long enough */
  heard(subject: string, nowMs: number): boolean {
    const sinceMs = this.#sinceMs.get(subject);
    if (sinceMs !== undefined) return nowMs - sinceMs >= this.#afterMs;
    if (this.#sinceMs.size >= natsInFlightMost) this.#sinceMs.clear();
    this.#sinceMs.set(subject, nowMs);
    return this.#afterMs <= 0;
  }

  /** A stream took it. */
  found(subject: string): void {
    if (this.#sinceMs.size > 0) this.#sinceMs.delete(subject);
  }
}
