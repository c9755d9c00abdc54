/**
 * What every upstream is to the forwarder, and the forwarder to it.
 *
 * An upstream takes records in order and tells the outcome of each, once, through its sink. It
 * never drops one: what it cannot deliver it holds and tries again until it is confirmed or classed
 * as one to bury. How much it holds is not its concern: the forwarder's window bounds that. Whether
 * it keeps a record or turns it into bytes at once is its own affair.
 *
 * In a once lane (`once: true`) the outcome was settled before the send; then nothing is tried
 * again, and what failed is told with `lost`.
 */
import type { TidegateError } from '../errors.ts';
import type { EgressRecord } from './record.ts';
import type { WindowSegment } from './window.ts';

export interface UpstreamSink {
  confirmed(segment: WindowSegment, frame: number): void;
  buried(segment: WindowSegment, frame: number, reason: string, detail: string): void;
  /** Nobody wants it any more: its Message Expiry passed while it waited here. */
  expired(segment: WindowSegment, frame: number): void;
  /** A group of outcomes has been told, or room was made: look at the window. */
  progress(): void;
  /** Something waits for `delayMs` before it is tried again. */
  retrying(error: TidegateError, attempt: number, delayMs: number): void;
  /** Hands are needed; the upstream has stopped sending and waits for `resume`. */
  halted(error: TidegateError): void;
  /** What it holds can no longer be sent as it was made: read again from the cursor. */
  restart(reason: string): void;
  /** Once lanes: records that were sent, or should have been, and are gone. */
  lost(records: number, error: TidegateError): void;
}

export interface Upstream {
  /** Resolves when records can be sent. @throws TidegateError upstream… */
  connect(): Promise<void>;
  submit(record: EgressRecord): void;
  /** Ends a burst of submits: what was submitted may leave. */
  flush(): void;
  /** Records without an outcome. */
  readonly pending: number;
  /** Records that were sent and not answered yet. */
  readonly inFlight: number;
  /** Sends nothing new; what is in flight is still answered. */
  pause(): void;
  resume(): void;
  /** Forgets what it holds; resolves once nothing is in flight. */
  abandon(): Promise<void>;
  close(): Promise<void>;
}
