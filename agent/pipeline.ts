/**
 * The path, on one screen: chunk → frames → verdicts → append → commit → acknowledge.
 *
 * A source (one connection) hands its bytes to `take`. One call into the core finds, rates, routes
 * and appends all frames of the chunk; the rows it leaves are told back to the source, which passes
 * on what was not captured and keeps what it owes an acknowledgement for. The open segment is
 * sealed once the sockets of this turn of the event loop were read (or after `commitEvery`) and
 * sent to the buffer thread; while it is on its way to the disk the next one fills: fsync time sets
 * the batch size by itself. Only `committed`, which the buffer thread sends after COMMIT returned,
 * makes a source acknowledge (promise 1). Backpressure: with `commitsInFlight` on their way and the
 * open segment full, sources wait in turn and nobody reads.
 */
import { commitsInFlight } from './bounds.ts';
import type { Appender } from './buffer/protocol.ts';
import { ingestFlags } from './frames/core.ts';
import type { PathCore } from './frames/path-core.ts';
import type { StopName, VerdictName } from './frames/rows.ts';
import { stopNames } from './frames/rows.ts';
import { phaseFlags, tellRow } from './frames/tell-row.ts';
import type { Clock } from './ingress/clock.ts';
import type { HoldQueue } from './ingress/hold-queue.ts';
import type { Source, Taken } from './ingress/source.ts';

type CountedVerdict = Exclude<VerdictName, 'repeat' | 'deny'>;
export interface PathParts {
  readonly core: PathCore;
  readonly buffer: Appender;
  readonly holds: HoldQueue;
  readonly clock: Clock;
  readonly telemetry: { frames(verdict: CountedVerdict, count: number): void };
  readonly commitEveryMs: number;
}

export class Pipeline {
  readonly #parts: PathParts;
  /** Sources that a sealed segment owes an acknowledgement. */
  readonly #owed = new Map<number, Set<Source>>();
  #sources = new Set<Source>();
  #waiting: Source[] = [];
  /** What is captured now is owed to this segment. */
  openSegment: number;
  #firstFrame: number;
  #inFlight = 0;
  #sealing = false;

  constructor(parts: PathParts) {
    this.#parts = parts;
    this.openSegment = parts.buffer.opened.nextSequence;
    this.#firstFrame = parts.buffer.opened.nextFrame;
    parts.buffer.onCommitted((sequence) => this.#committed(sequence));
  }

  /** @param budget the most frames this call may admit */
  take(source: Source, bytes: Uint8Array, budget: number): Taken {
    const { core: path, clock, holds, telemetry } = this.#parts;
    const { core } = path;
    const { name, version, aliasName, maxPacketBytes } = source;
    const placed = path.putChunk(bytes);
    path.putName(name);
    if (aliasName !== null) path.putAlias(aliasName);
    const flags = phaseFlags[source.phase] | (clock.synchronised ? 0 : ingestFlags.clockUnsynced);
    const call = [placed, name.length, 0, version, flags, aliasName?.length ?? 0] as const;
    const limits = [65_535, maxPacketBytes, 0, 0, clock.now(), clock.lived(), budget] as const;
    const rows = core.ingest(...call, ...limits);
    const [consumed, needed, alias] = [core.consumed(), core.needed(), core.aliasWanted()];
    const reason = stopNames[core.stop()] as StopName;
    const taken = { consumed, needed, alias, reason, fault: core.fault() };
    for (let row = 0; row < rows; row++) {
      const verdict = tellRow(path, row, source);
      if (verdict === 'admit' || verdict === 'bury') this.#sources.add(source);
      if (verdict !== null) telemetry.frames(verdict as CountedVerdict, 1);
    }
    if (core.segmentFrames() > 0) this.#sealSoon();
    if (reason === 'segmentFull') return this.#makeRoom(source, taken);
    if (reason === 'held') {
      holds.hold(source, core.heldLimit(), core.heldShared() === 1, core.waitMs());
    }
    return taken;
  }

  /** A source that is gone waits for nothing. */
  leave(source: Source): void {
    this.#waiting = this.#waiting.filter((other) => other !== source);
    this.#parts.holds.leave(source);
  }

  /** Seals what is open; resolves when everything sealed is on disk, or at the deadline. */
  async flush(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    const { core } = this.#parts.core;
    while (core.segmentFrames() > 0 || this.#inFlight > 0) {
      if (performance.now() > deadline) return;
      if (this.#inFlight < commitsInFlight) this.#seal();
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** A full segment is sealed at once; with too many on their way the source waits its turn. */
  #makeRoom(source: Source, taken: Taken): Taken {
    if (this.#inFlight >= commitsInFlight) {
      this.#waiting.push(source);
      return taken;
    }
    this.#seal();
    return { ...taken, reason: 'tableFull' };
  }

  #sealSoon(): void {
    if (this.#sealing || this.#inFlight >= commitsInFlight) return;
    this.#sealing = true;
    const seal = (): void => {
      this.#sealing = false;
      if (this.#inFlight < commitsInFlight) this.#seal();
    };
    if (this.#parts.commitEveryMs > 0) setTimeout(seal, this.#parts.commitEveryMs);
    else setImmediate(seal);
  }

  #seal(): void {
    const { core: path, buffer, clock } = this.#parts;
    const frames = path.core.segmentFrames();
    if (frames === 0) return;
    const [sequence, firstFrame, routes] = [this.openSegment, this.#firstFrame, path.routeCounts()];
    const [createdMs, livedMs] = [clock.now(), clock.lived()];
    const body = path.seal(buffer.opened.epoch, sequence, firstFrame, createdMs, livedMs);
    buffer.append({ sequence, firstFrame, frames, createdMs, livedMs, body, routes });
    this.#owed.set(sequence, this.#sources);
    this.#sources = new Set();
    this.openSegment += 1;
    this.#firstFrame += frames;
    this.#inFlight += 1;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const source of waiting) source.wake();
  }

  #committed(sequence: number): void {
    this.#inFlight -= 1;
    for (const source of this.#owed.get(sequence) ?? []) source.committed(sequence);
    this.#owed.delete(sequence);
    if (this.#parts.core.core.segmentFrames() > 0) this.#sealSoon();
  }
}
