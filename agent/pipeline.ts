/**
 * The path, on one screen: chunk → frames → verdicts → append → commit → acknowledge.
 *
 * A source (one connection) hands its bytes to `take`. One call into the core finds, rates, routes
 * and appends all frames of the chunk; the rows it leaves are told back to the source, which passes
 * on what was not captured and keeps what it owes an acknowledgement for. The open segment is sealed
 * once the sockets of this turn of the event loop were read (or after `commitEvery`) and sent to the
 * buffer thread; while it is on its way to the disk the next one fills: fsync time sets the batch
 * size by itself. Only `committed`, which the buffer thread sends after COMMIT returned, makes a
 * source acknowledge (promise 1). Backpressure: with `commitsInFlight` on their way and the open
 * segment full, sources wait in turn and nobody reads.
 */
import { commitsInFlight } from './bounds.ts';
import type { BufferPort } from './buffer/buffer.ts';
import type { Core } from './frames/core.ts';
import type { StopName, VerdictName } from './frames/rows.ts';
import { bit, column, ingestFlag, packet, rowColumns, stopNames, verdictNames } from './frames/rows.ts';
import type { Clock } from './ingress/clock.ts';
import type { HoldQueue } from './ingress/hold-queue.ts';
import type { Source, Taken } from './ingress/source.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

const phaseFlags = { first: ingestFlag.first, open: ingestFlag.capture, down: ingestFlag.down } as const;

export interface PathParts {
  readonly core: Core;
  readonly buffer: BufferPort;
  readonly holds: HoldQueue;
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly commitEveryMs: number;
  /** Stored route ids by the core's route index. */
  readonly routeIds: readonly number[];
}

export class Pipeline {
  readonly #parts: PathParts;
  readonly #owed = new Map<number, Set<Source>>();
  #sources = new Set<Source>();
  #waiting: Source[] = [];
  #sequence: number;
  #firstFrame: number;
  #inFlight = 0;
  #sealing = false;

  constructor(parts: PathParts) {
    this.#parts = parts;
    this.#sequence = parts.buffer.opened.nextSequence;
    this.#firstFrame = parts.buffer.opened.nextFrame;
    parts.buffer.onCommitted((sequence) => this.#committed(sequence));
  }

  /** The sequence of the segment that is being filled: what is captured now is owed to it. */
  get openSegment(): number {
    return this.#sequence;
  }

  /** @param budget the most frames this call may admit */
  take(source: Source, bytes: Uint8Array, budget: number): Taken {
    const { core, clock, holds } = this.#parts;
    const chunk = bytes.length > core.chunkBytes ? bytes.subarray(0, core.chunkBytes) : bytes;
    core.putChunk(chunk);
    core.putName(source.name);
    if (source.aliasName !== null) core.putScratch(source.aliasName);
    const rows = core.ingest(
      chunk.length, source.name.length, source.version,
      phaseFlags[source.phase] | (clock.synchronised ? 0 : ingestFlag.clockUnsynced),
      source.aliasName?.length ?? 0, source.maxPacketBytes, clock.now(), clock.lived(), budget,
    );
    const taken = {
      consumed: core.consumed(), reason: stopNames[core.stop()] as StopName,
      needed: core.needed(), fault: core.fault(), alias: core.aliasWanted(),
    };
    for (let row = 0; row < rows; row++) this.#tell(source, row * rowColumns);
    if (core.segmentFrames() > 0) this.#sealSoon();
    if (taken.reason === 'segmentFull') return this.#makeRoom(source, taken);
    if (taken.reason === 'held') {
      holds.hold(source, core.heldLimit(), core.heldShared() === 1, core.waitMs());
    }
    return taken;
  }

  /** A source that is gone is owed nothing and waits for nothing. */
  leave(source: Source): void {
    this.#waiting = this.#waiting.filter((other) => other !== source);
    this.#parts.holds.leave(source);
  }

  /** Seals what is open and resolves when everything sealed so far is on disk. */
  async flush(): Promise<void> {
    const { core } = this.#parts;
    while (core.segmentFrames() > 0 || this.#inFlight > 0) {
      if (core.segmentFrames() > 0 && this.#inFlight < commitsInFlight) this.#seal();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  #tell(source: Source, row: number): void {
    const { core, telemetry } = this.#parts;
    const cell = (name: keyof typeof column): number => core.rows[row + column[name]] as number;
    const type = cell('type');
    const [start, end] = [cell('start'), cell('end')];
    const verdict = verdictNames[cell('verdict')] as VerdictName;
    telemetry.frames(verdict, 1);
    const name = (): Uint8Array => core.bytesAt(cell('nameOffset'), cell('nameBytes'));
    if (type === packet.connect) {
      const clientId = Buffer.from(name()).toString();
      const [version, keepAliveSeconds] = [cell('alias'), cell('packetId')];
      const seen = { version, keepAliveSeconds, flags: cell('firstByte'), clientId };
      return source.connect(seen, start, end);
    }
    if (verdict === 'pass') return source.passed(type, start, end, cell('packetId'));
    if (verdict !== 'drop') this.#sources.add(source);
    const bits = cell('bits');
    source.captured({
      verdict, start, end, packetId: cell('packetId'), alias: cell('alias'), topicName: name,
      qos: (bits >> bit.qosShift) & bit.qosMask, copy: (bits & bit.local) !== 0,
    });
  }

  /** A full segment is sealed at once; with too many on their way the source waits its turn. */
  #makeRoom(source: Source, taken: Taken): Taken {
    if (this.#inFlight < commitsInFlight) {
      this.#seal();
      return { ...taken, reason: 'tableFull' };
    }
    this.#waiting.push(source);
    return taken;
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
    const { core, buffer, clock, routeIds } = this.#parts;
    const frames = core.segmentFrames();
    if (frames === 0) return;
    const [createdMs, livedMs] = [clock.now(), clock.lived()];
    const routes = core.routeCounts(routeIds);
    const body = core.seal(buffer.opened.epoch, this.#sequence, this.#firstFrame, createdMs, livedMs);
    buffer.append({
      sequence: this.#sequence, firstFrame: this.#firstFrame, frames, createdMs, livedMs, body, routes,
    });
    this.#owed.set(this.#sequence, this.#sources);
    this.#sources = new Set();
    this.#sequence += 1;
    this.#firstFrame += frames;
    this.#inFlight += 1;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const source of waiting) source.wake();
  }

  #committed(sequence: number): void {
    this.#inFlight -= 1;
    const owed = this.#owed.get(sequence) ?? [];
    this.#owed.delete(sequence);
    for (const source of owed) source.committed(sequence);
    if (this.#parts.core.segmentFrames() > 0) this.#sealSoon();
  }
}
