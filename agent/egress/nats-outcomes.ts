/**
 * Tells the forwarder what became of records: each outcome at once, that it may look at them, and
 * what a once lane lost, in groups. A once lane's records have no outcome here but being lost.
 */
import type { TidegateError } from '../errors.ts';
import type { EgressRecord } from './record.ts';
import type { UpstreamSink } from './upstream.ts';

export class Outcomes {
  readonly #sink: UpstreamSink;
  readonly #once: boolean;
  #hasSettled = false;
  #lost: { records: number; error: TidegateError } | null = null;

  constructor(sink: UpstreamSink, once: boolean) {
    this.#sink = sink;
    this.#once = once;
  }

  confirmed({ segment, frame }: EgressRecord): void {
    this.#hasSettled = true;
    this.#sink.confirmed(segment, frame);
  }

  expired({ segment, frame }: EgressRecord): void {
    this.#hasSettled = true;
    this.#sink.expired(segment, frame);
  }

  buried({ segment, frame }: EgressRecord, error: TidegateError): void {
    this.#hasSettled = true;
    if (this.#once) this.lost(1, error);
    else this.#sink.buried(segment, frame, error.code, error.message);
  }

  lost(records: number, error: TidegateError): void {
    if (records === 0) return;
    this.#hasSettled = true;
    this.#lost = { records: (this.#lost?.records ?? 0) + records, error };
  }

  /** Ends a group. */
  tell(): void {
    const lost = this.#lost;
    this.#lost = null;
    if (lost !== null) this.#sink.lost(lost.records, lost.error);
    if (!this.#hasSettled) return;
    this.#hasSettled = false;
    this.#sink.progress();
  }
}
