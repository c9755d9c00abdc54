/**
 * Drives the buffer's writer without threads: a real file in a folder of its own, a clock that only
 * the test moves, everything the writer says kept in lists. Bodies are random bytes: to the buffer
 * a body is opaque.
 */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Effects } from '../../agent/buffer/effects.ts';
import type {
  BufferOptions,
  BufferStart,
  CursorPosition,
  EgressToBuffer,
  LaneSpec,
  RouteDefinition,
  SealedSegment,
  SessionChange,
} from '../../agent/buffer/protocol.ts';
import { Writer } from '../../agent/buffer/writer.ts';
import type { TidegateError } from '../../agent/errors.ts';
import type { EventName, Fields } from '../../agent/events.ts';

const kib = 1024;
const mib = 1024 * kib;

export const farAwayMs = 1e12;

export function tempFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'tidegate-buffer-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

export function optionsFor(path: string, change: Partial<BufferOptions> = {}): BufferOptions {
  const room = { bytes: 64 * mib, reserveBytes: 64 * kib, deadLetterBytes: 16 * mib };
  return { path, ...room, ageMs: farAwayMs, whenFull: 'hold', compression: 'none', ...change };
}

export function laneSpec(upstream: string, change: Partial<LaneSpec> = {}): LaneSpec {
  const delivery = change.delivery ?? 'at-least-once';
  const lag = { bytes: 1024 * mib, ageMs: farAwayMs, over: 'hold' as const };
  return { lane: `${upstream}/${delivery}`, upstream, delivery, lag, from: 'latest', ...change };
}

export function routeTo(name: string, lanes: readonly string[]): RouteDefinition {
  const one = { topic: '{topic}', key: '{device}', envelope: 'none' as const, headers: {} };
  const targets = lanes.map((lane) => ({ lane, ...one, unknownTopic: 'hold' as const }));
  return { name, from: `${name}/#`, gateway: 'test', targets };
}

export class BufferRig {
  readonly writer: Writer;
  /** Sequences of segments, in the order of their commits. */
  readonly committed: number[] = [];
  /** Of all batches. */
  readonly commits: number[] = [];
  readonly answered: number[] = [];
  readonly discarded: number[] = [];
  readonly configured: { id: number; routeIds: readonly number[] }[] = [];
  readonly jumps: { lane: string; generation: number; position: CursorPosition }[] = [];
  readonly events: { name: EventName; fields: Fields }[] = [];
  readonly failures: TidegateError[] = [];
  routeIds: readonly number[];
  /** Called as the writer does, before the lists grow. */
  onAnswered: (id: number) => void = () => {};
  onJump: (lane: string, generation: number, position: CursorPosition) => void = () => {};
  nowMs = 0;
  #nextSequence: number;
  #nextFrame: number;
  #advanceId = 0;
  #commit = 0;

  constructor(start: BufferStart) {
    const effects: Effects = {
      wallMs: () => Date.now(),
      monotonicMs: () => this.nowMs,
      report: (name, fields = {}) => this.events.push({ name, fields }),
      committed: ({ commit, segment }) => {
        this.commits.push(commit);
        if (segment) this.committed.push(segment.sequence);
      },
      discarded: (_id, letters) => this.discarded.push(letters),
      configured: (id, routeIds) => this.configured.push({ id, routeIds }),
      advanced: (_lane, id) => {
        this.onAnswered(id);
        this.answered.push(id);
      },
      jumped: (lane, generation, position) => {
        this.onJump(lane, generation, position);
        this.jumps.push({ lane, generation, position });
      },
      failed: (error) => this.failures.push(error),
    };
    this.writer = new Writer(start, effects);
    this.routeIds = this.writer.routeIds();
    this.#nextSequence = this.writer.state.nextSequence;
    this.#nextFrame = this.writer.state.nextFrame;
  }

  /** @param frames of each route of the start, in order */
  append(
    frames: readonly number[],
    bytes = kib,
    sessions: readonly SessionChange[] = [],
    replayed: readonly number[] = [],
  ): SealedSegment {
    const routes = frames.flatMap((count, index): [number, number][] =>
      count > 0 ? [[this.routeIds[index] ?? 0, count]] : [],
    );
    const count = frames.reduce((sum, next) => sum + next, 0);
    const body = Uint8Array.from(randomBytes(bytes)).buffer;
    const place = { ...this.claim(count), frames: count };
    const times = { createdMs: Date.now(), livedMs: this.writer.livedMs() };
    const segment = { ...place, ...times, body, routes };
    this.writer.append({ kind: 'append', commit: ++this.#commit, segment, sessions, replayed });
    return segment;
  }

  /** The next place in the log, for a segment of so many frames. */
  claim(frames: number): { sequence: number; firstFrame: number } {
    const place = { sequence: this.#nextSequence, firstFrame: this.#nextFrame };
    this.#nextSequence += 1;
    this.#nextFrame += frames;
    return place;
  }

  /** A batch without a segment. @returns its commit */
  change(...sessions: readonly SessionChange[]): number {
    this.writer.append({ kind: 'append', commit: ++this.#commit, segment: null, sessions });
    return this.#commit;
  }

  /** Fills in the generation of now, and what is not said. */
  advance(change: Pick<EgressToBuffer, 'lane' | 'to'> & Partial<EgressToBuffer>): EgressToBuffer {
    const generation = this.writer.state.lanes.get(change.lane)?.generation ?? 0;
    const none = { outcomes: {}, buried: [], damaged: [], now: false };
    const id = ++this.#advanceId;
    const advance: EgressToBuffer = { kind: 'advance', id, generation, ...none, ...change };
    this.writer.advance(advance);
    return advance;
  }

  get nextAdvanceId(): number {
    return this.#advanceId + 1;
  }

  lane(name: string): ReturnType<Writer['gauges']>['lanes'][number] {
    const found = this.writer.gauges().lanes.find((gauge) => gauge.lane === name);
    if (!found) throw new Error(`no lane ${name}`);
    return found;
  }

  seen(name: EventName): Fields[] {
    return this.events.filter((event) => event.name === name).map((event) => event.fields);
  }
}
