/**
 * The buffer as the path sees it, and a second way into the log beside the path: dead letters that
 * are replayed are a segment of their own. Batches of the path count upwards from 1, these count
 * downwards from −1, so that every COMMIT is told to the one who waits for it.
 */
import type { BufferPort, Committed } from './buffer/buffer.ts';
import type { Appender } from './buffer/protocol.ts';
import type { Report } from './events.ts';
import { type MakeSegment, Replay } from './frames/replay.ts';
import type { Clock } from './ingress/clock.ts';
import type { Pipeline } from './pipeline.ts';
import type { DeadLetters } from './telemetry/http-dead.ts';

export class LogAppender implements Appender {
  readonly opened: Appender['opened'];
  readonly #buffer: BufferPort;
  readonly #inserted = new Map<number, () => void>();
  #lastInserted = 0;
  #tell: (commit: number) => void = () => {};

  /** @param committed told of every COMMIT first */
  constructor(buffer: BufferPort, committed: (commit: Committed) => void) {
    this.opened = buffer.opened;
    this.#buffer = buffer;
    buffer.onCommitted((told) => {
      committed(told);
      const resolve = this.#inserted.get(told.commit);
      if (!resolve) return this.#tell(told.commit);
      this.#inserted.delete(told.commit);
      resolve();
    });
  }

  append(batch: Parameters<Appender['append']>[0]): void {
    this.#buffer.append(batch);
  }

  onCommitted(tell: (commit: number) => void): void {
    this.#tell = tell;
  }

  /** Replayed, they go back in behind all that the path has sealed. */
  deadLetters(path: Pipeline, clock: Clock, report: Report): DeadLetters {
    const buffer = this.#buffer;
    const { epoch } = buffer.opened;
    const replay = new Replay({
      epoch,
      report,
      takeDead: (request) => buffer.takeDead(request),
      discardDead: (selection) => buffer.discardDead(selection),
      insert: (make, replayed) => this.#insert(path, clock, make, replayed),
    });
    return {
      epoch,
      step: (request) => replay.step(request),
      discard: (selection) => replay.discard(selection),
      holding: () => buffer.gauges().holding,
    };
  }

  #insert(
    path: Pipeline,
    clock: Clock,
    make: MakeSegment,
    replayed: readonly number[],
  ): Promise<void> {
    const commit = --this.#lastInserted;
    const place = path.place(replayed.length);
    const segment = make({ ...place, createdMs: clock.now(), livedMs: clock.lived() });
    this.#buffer.append({ commit, segment, sessions: [], replayed });
    return new Promise((resolve) => this.#inserted.set(commit, resolve));
  }
}
