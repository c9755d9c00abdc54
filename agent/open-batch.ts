/**
 * What the next COMMIT will make durable: the frames in the core's open segment, the changes of
 * session state recorded with them, and the sources that wait for it. Numbers are given here, since
 * only the path appends: `commit` counts batches, `sequence` segments, `firstFrame` frames.
 */
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
  #sources = new Set<Source>();
  commit = 1;

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

  owes(source: Source): void {
    this.#sources.add(source);
  }

  change(change: SessionChange): void {
    this.#changes.push(change);
  }

  /** Closes it and begins the next. */
  seal(): { batch: Batch; sources: ReadonlySet<Source> } {
    const batch = { commit: this.commit, segment: this.#segment(), sessions: this.#changes };
    const sources = this.#sources;
    this.#changes = [];
    this.#sources = new Set();
    this.commit += 1;
    return { batch, sources };
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
