/**
 * The path, on one screen: chunk → frames → verdicts → append → commit → acknowledge.
 *
 * A source (one connection) hands its bytes to `take`. One call into the core finds, rates, routes
 * and appends all frames of the chunk; the source is told each row, passes on what was not captured
 * and keeps what it owes an acknowledgement for. The open batch (a segment and changes of sessions)
 * is sealed once the sockets of this turn of the event loop were read (or after `commitEvery`);
 * while it is on its way the next one fills: fsync time sets the batch size. Only `committed`, sent
 * after COMMIT returned, makes a source acknowledge (promise 1). Backpressure: with
 * `commitsInFlight` on their way and the open segment full, sources wait and nobody reads.
 */
import { commitsInFlight } from './bounds.ts';
import type { Appender, SessionChange } from './buffer/protocol.ts';
import type { Route } from './config/types.ts';
import type { PathCore } from './frames/path-core.ts';
import { type StopName, stopNames, type VerdictName } from './frames/rows.ts';
import { tellRow } from './frames/tell-row.ts';
import type { Clock } from './ingress/clock.ts';
import type { HoldQueue } from './ingress/hold-queue.ts';
import type { Source, Taken } from './ingress/source.ts';
import { OpenBatch } from './open-batch.ts';

export interface PathParts {
  readonly core: PathCore;
  readonly buffer: Appender;
  readonly holds: HoldQueue;
  readonly clock: Clock;
  readonly telemetry: { frames(verdict: VerdictName, count: number, protocol?: string): void };
  readonly commitEveryMs: number;
}

export class Pipeline {
  readonly #parts: PathParts;
  readonly #open: OpenBatch;
  #waiting: Source[] = [];
  #sealing = false;
  commitEveryMs: number;

  constructor(parts: PathParts) {
    this.#parts = parts;
    this.#open = new OpenBatch(parts.core, parts.clock, parts.buffer.opened);
    this.commitEveryMs = parts.commitEveryMs;
    parts.buffer.onCommitted((commit) => this.#committed(commit));
  }

  get openCommit(): number {
    return this.#open.commit;
  }
  get nextFrame(): number {
    return this.#open.nextFrame;
  }

  take(source: Source, bytes: Uint8Array, budget: number): Taken {
    const { core: path, clock, holds, telemetry } = this.#parts;
    const rows = path.ingest(source, bytes, clock, budget);
    const reason = stopNames[path.core.stop()] as StopName;
    const taken = { ...path.stopped(), reason };
    for (let row = 0; row < rows; row++) {
      const verdict = tellRow(path, row, source);
      if (verdict === 'admit' || verdict === 'bury') this.#open.owes(source);
      if (verdict !== null) telemetry.frames(verdict, 1, source.protocol);
    }
    if (path.core.segmentFrames() > 0) this.#sealSoon();
    if (reason === 'segmentFull') return this.#makeRoom(source, taken);
    if (reason === 'held') path.holdOn(holds, source);
    return taken;
  }

  record(change: SessionChange, source: Source | null): number {
    this.#open.change(change);
    if (source !== null) this.#open.owes(source);
    this.#sealSoon();
    return this.openCommit;
  }

  awaits(commit: number, source: Source): number {
    return this.#open.isOnDisk(commit) ? -1 : this.#open.owes(source, commit);
  }

  get crowded(): boolean {
    return this.#open.isCrowded;
  }

  readonly captures = (topicName: Uint8Array) => this.#parts.core.captures(topicName);

  /** From the next chunk on; what is open is sealed under the routes it was taken by. */
  install(routes: readonly Route[], routeIds: readonly number[]): void {
    const waiting = this.#close();
    this.#parts.core.installRoutes(routes, routeIds);
    for (const source of waiting) source.wake();
    this.#parts.holds.wakeAll();
  }

  /** A place behind what is open, for a segment made elsewhere (replayed dead letters). */
  place(frames: number): { sequence: number; firstFrame: number } {
    this.#seal();
    return this.#open.place(frames);
  }

  leave(source: Source): void {
    this.#waiting = this.#waiting.filter((other) => other !== source);
    this.#parts.holds.leave(source);
  }

  /** Seals what is open; resolves when all that was taken is on disk, or at the deadline. */
  async flush(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    const last = this.#open.isEmpty ? this.openCommit - 1 : this.openCommit;
    while (!this.#open.isOnDisk(last) && performance.now() < deadline) {
      if (this.#open.inFlight < commitsInFlight) this.#seal();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** A full segment is sealed at once; with too many on their way the source waits its turn. */
  #makeRoom(source: Source, taken: Taken): Taken {
    if (this.#open.inFlight >= commitsInFlight) {
      this.#waiting.push(source);
      return taken;
    }
    this.#seal();
    return { ...taken, reason: 'tableFull' };
  }

  #sealSoon(): void {
    if (this.#sealing || this.#open.inFlight >= commitsInFlight) return;
    this.#sealing = true;
    const seal = (): void => {
      this.#sealing = false;
      if (this.#open.inFlight < commitsInFlight) this.#seal();
    };
    if (this.commitEveryMs > 0) setTimeout(seal, this.commitEveryMs);
    else setImmediate(seal);
  }

  #seal(): void {
    for (const source of this.#close()) source.wake();
  }

  #close(): Source[] {
    if (this.#open.isEmpty) return [];
    this.#parts.buffer.append(this.#open.seal());
    return this.#waiting.splice(0);
  }

  #committed(commit: number): void {
    for (const source of this.#open.settle(commit)) source.committed(commit);
    if (!this.#open.isEmpty) this.#sealSoon();
  }
}
