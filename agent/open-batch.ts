/**
 * What the next COMMIT will make durable: the frames in the core's open segment, the changes of
 * session state recorded with them, and the sources that wait for it; these are known until it is
 * on disk. Numbers are given here, since only the path appends: `commit` counts batches, `sequence`
 * segments, `firstFrame` frames.
 */
import { waitingChangesBytes } from './bounds.ts';
import type { Appender, Batch, SealedSegment, SessionChange } from './buffer/protocol.ts';
import type { PathCore } from './frames/path-core.ts';
import type { Clock } from './ingress/clock.ts';
import type { Source } from './ingress/source.ts';

export class OpenBatch {
  readonly #core: PathCore;
  readonly #clock: Clock;
  readonly #epoch: string;
  #sequence: number;
  #firstFrame: number;
  #changes: SessionChange[] = [];
  /** Sources owed an acknowledgement, by each commit that is not on disk yet. */
  readonly #owed = new Map<number, Set<Source>>();
  /** The last commit that is on disk. */
  #settled = 0;
  commit = 1;
  /** Bodies of the changes in hand. */
  #changeBytes = 0;

  constructor(core: PathCore, clock: Clock, opened: Appender['opened']) {
    this.#core = core;
    this.#clock = clock;
    this.#epoch = opened.epoch;
    this.#sequence = opened.nextSequence;
    this.#firstFrame = opened.nextFrame;
  }

  get isEmpty(): boolean {
    return this.#core.core.segmentFrames() === 0 && this.#changes.length === 0;
  }

  /** Number of the frame that is appended next. */
  get nextFrame(): number {
    return this.#firstFrame + this.#core.core.segmentFrames();
  }

  /** @returns `commit` */
  owes(source: Source, commit = this.commit): number {
    const sources = this.#owed.get(commit) ?? new Set();
    this.#owed.set(commit, sources.add(source));
    return commit;
  }

  /** So much of session state waits for the disk that no more Wills are taken. */
  get isCrowded(): boolean {
    return this.#changeBytes > waitingChangesBytes;
  }

  /** Batches on their way to the disk. */
  get inFlight(): number {
    return this.commit - 1 - this.#settled;
  }

  isOnDisk(commit: number): boolean {
    return commit <= this.#settled;
  }

  /** `commit` is on disk. @returns whom it is told, once */
  settle(commit: number): Iterable<Source> {
    this.#settled = commit;
    const sources = this.#owed.get(commit) ?? [];
    this.#owed.delete(commit);
    return sources;
  }

  change(change: SessionChange): void {
    this.#changes.push(change);
    if (change.op === 'put') this.#changeBytes += change.body.length;
  }

  /** Closes it and begins the next. */
  seal(): Batch {
    const batch = { commit: this.commit, segment: this.#segment(), sessions: this.#changes };
    this.#changes = [];
    this.#changeBytes = 0;
    this.commit += 1;
    return batch;
  }

  /** Numbers for a segment that is made elsewhere. The batch in hand must be empty. */
  place(frames: number): { sequence: number; firstFrame: number } {
    const place = { sequence: this.#sequence, firstFrame: this.#firstFrame };
    this.#sequence += 1;
    this.#firstFrame += frames;
    return place;
  }

  #segment(): SealedSegment | null {
    const frames = this.#core.core.segmentFrames();
    if (frames === 0) return null;
    const [sequence, firstFrame] = [this.#sequence, this.#firstFrame];
    const routes = this.#core.routeCounts();
    const [createdMs, livedMs] = [this.#clock.now(), this.#clock.lived()];
    const body = this.#core.seal(this.#epoch, sequence, firstFrame, createdMs, livedMs);
    this.#sequence += 1;
    this.#firstFrame += frames;
    return { sequence, firstFrame, frames, createdMs, livedMs, body, routes };
  }
}
