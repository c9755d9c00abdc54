/**
 * Where a lane reads from: the buffer's log and the frames' codec, joined by egress-run.ts.
 * Tests give one of their own. And the lived time, which expiry and drain run on.
 */
import type { RouteDefinition } from '../buffer/protocol.ts';
import type { Frame, FrameProperties } from './record.ts';

export interface StoredBody {
  readonly sequence: number;
  readonly frames: number;
  readonly body: Uint8Array;
  /** Frames of this segment per stored route id. */
  readonly routes: readonly (readonly [routeId: number, frames: number])[];
}

export interface OpenBody {
  /** 16 hex digits, made with each database file. */
  readonly epoch: string;
  readonly frames: number;
  readonly livedMs: number;
  frame(index: number): Frame;
}

export interface SegmentSource {
  /** Committed segments from `fromSegment` on, oldest first; at least one if there is any. */
  read(fromSegment: number, maxBytes: number, maxSegments: number): readonly StoredBody[];
  /** null: the body is damaged. */
  open(body: Uint8Array): OpenBody | null;
  route(id: number): RouteDefinition | undefined;
  properties(bytes: Uint8Array): FrameProperties;
}

/**
 * Lived time as egress can know it: what the buffer had written down, the time since, and never
 * less than what a segment says it was made at. Late by a few seconds after a crash, never early,
 * so that nothing expires before its time.
 */
export class LivedTime {
  readonly #monotonicMs: () => number;
  #baseMs: number;
  #atMs: number;

  constructor(livedMs: number, monotonicMs: () => number = () => performance.now()) {
    this.#monotonicMs = monotonicMs;
    this.#baseMs = livedMs;
    this.#atMs = monotonicMs();
  }

  now(): number {
    return this.#baseMs + this.#monotonicMs() - this.#atMs;
  }

  /** A segment was made at this lived time: it cannot be earlier than that now. */
  saw(livedMs: number): void {
    if (livedMs <= this.now()) return;
    this.#baseMs = livedMs;
    this.#atMs = this.#monotonicMs();
  }
}
