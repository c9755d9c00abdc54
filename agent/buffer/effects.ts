/**
 * What the writer says, and the two clocks it reads: all it has of the outside. The thread makes
 * messages of it, a test keeps it in lists and moves the clock.
 */
import type { TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import type { CursorPosition, LaneName } from './protocol.ts';
import type { Append } from './transaction.ts';

export interface Effects {
  readonly wallMs: () => number;
  readonly monotonicMs: () => number;
  readonly report: Report;
  committed(append: Append, commitSeconds: number): void;
  advanced(lane: LaneName, id: number): void;
  discarded(id: number, letters: number): void;
  configured(id: number, routeIds: readonly number[]): void;
  jumped(lane: LaneName, generation: number, position: CursorPosition): void;
  failed(error: TidegateError): void;
}
