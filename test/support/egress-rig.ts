/**
 * A log in memory and the buffer's side of a lane, so that egress can be tested without SQLite and
 * without the core: segments of plain frames, cursors that move by the same messages, and a ledger
 * that adds up outcomes as the buffer would.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type {
  BufferToEgress,
  BuriedFrame,
  CursorPosition,
  EgressToBuffer,
  LaneSpec,
  RouteDefinition,
  RouteTarget,
} from '../../agent/buffer/protocol.ts';
import { Forwarder, type ForwarderParts } from '../../agent/egress/forwarder.ts';
import type { LaneStateName } from '../../agent/egress/lane-states.ts';
import type { Frame, FrameProperties } from '../../agent/egress/record.ts';
import { LivedTime, type SegmentSource } from '../../agent/egress/segment-source.ts';
import type { EventName, Fields, Outcome } from '../../agent/events.ts';

export const epoch = '00112233aabbccdd';
const noBytes = new Uint8Array(0);
const bytesPerFrame = 64;

/** A frame with everything that a test does not care about filled in. */
export function frameOf(fields: Partial<Frame> & { value?: string }): Frame {
  const { value = '', ...rest } = fields;
  const device = rest.device ?? 'd1';
  return {
    number: 0,
    routeId: 1,
    protocol: 1,
    buryReason: 0,
    clockUnsynced: false,
    arrivalMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
    livedMs: 0,
    retain: false,
    expirySeconds: null,
    partition: null,
    timestampMs: null,
    device,
    client: device,
    topicName: `plant/${device}/telemetry`,
    properties: noBytes,
    payload: Buffer.from(value),
    key: null,
    eventId: null,
    trace: null,
    raw: Buffer.from(`raw ${value}`),
    ...rest,
  };
}

export function routeOf(target: Partial<RouteTarget> = {}): RouteDefinition {
  return {
    name: 'telemetry',
    from: 'plant/+/telemetry',
    gateway: 'gw1',
    targets: [
      {
        lane: 'cloud/at-least-once',
        topic: 'telemetry',
        key: '{device}',
        envelope: 'cloudevents',
        headers: {},
        unknownTopic: 'hold',
        ...target,
      },
    ],
  };
}

interface FakeSegment {
  readonly sequence: number;
  readonly frames: Frame[];
  readonly body: Buffer;
  damaged: boolean;
}

export class FakeLog {
  readonly routes = new Map<number, RouteDefinition>();
  readonly segments: FakeSegment[] = [];
  properties: (bytes: Uint8Array) => FrameProperties = () => ({ userProperties: [] });
  #frames = 0;
  #sequence = 1;

  /** @returns the segment's sequence */
  append(frames: readonly Frame[], bytes = frames.length * bytesPerFrame): number {
    const sequence = this.#sequence++;
    const body = Buffer.alloc(bytes);
    body.writeUInt32LE(sequence);
    const numbered = frames.map((frame) => ({ ...frame, number: this.#frames++ }));
    this.segments.push({ sequence, frames: numbered, body, damaged: false });
    return sequence;
  }

  get frames(): number {
    return this.#frames;
  }

  get source(): SegmentSource {
    return {
      read: (from, maxBytes, maxSegments) => {
        const found = this.segments.filter((segment) => segment.sequence >= from);
        let bytes = 0;
        const fits = found.filter((segment, i) => {
          bytes += segment.body.length;
          return i === 0 || bytes <= maxBytes;
        });
        return fits.slice(0, maxSegments).map(({ sequence, frames, body }) => {
          const sums = new Map<number, number>();
          for (const { routeId } of frames) sums.set(routeId, (sums.get(routeId) ?? 0) + 1);
          return { sequence, frames: frames.length, body, routes: [...sums] };
        });
      },
      open: (body) => {
        const sequence = Buffer.from(body.buffer, body.byteOffset).readUInt32LE();
        const segment = this.segments.find((one) => one.sequence === sequence);
        if (segment === undefined || segment.damaged) return null;
        const { frames } = segment;
        return {
          epoch,
          frames: frames.length,
          livedMs: frames[0]?.livedMs ?? 0,
          frame: (index) => frames[index] as Frame,
        };
      },
      route: (id) => this.routes.get(id),
      properties: (bytes) => this.properties(bytes),
    };
  }
}

/** One lane against a fake buffer. */
export class LaneRig {
  readonly log: FakeLog;
  readonly forwarder: Forwarder;
  readonly outcomes: Record<Outcome, number> = {
    confirmed: 0,
    buried: 0,
    evicted: 0,
    expired: 0,
    damaged: 0,
    skipped: 0,
    sentOnce: 0,
  };
  readonly advances: EgressToBuffer[] = [];
  readonly buried: BuriedFrame[] = [];
  readonly events: { name: EventName; fields: Fields }[] = [];
  readonly states: LaneStateName[] = [];
  position: CursorPosition = { segment: 1, frame: 0 };
  /** Ms until a cursor is on disk, as the buffer's next commit would take. */
  advanceDelayMs = 1;
  /** False: cursors never reach the disk. */
  answers = true;
  #generation = 1;

  constructor(
    log: FakeLog,
    upstream: ForwarderParts['upstream'],
    options: Partial<ForwarderParts> & { spec?: LaneSpec } = {},
  ) {
    this.log = log;
    const spec: LaneSpec = {
      lane: 'cloud/at-least-once',
      upstream: 'cloud',
      delivery: 'at-least-once',
      lag: { bytes: Number.POSITIVE_INFINITY, ageMs: Number.POSITIVE_INFINITY, over: 'hold' },
      from: 'oldest',
    };
    this.forwarder = new Forwarder({
      spec,
      source: log.source,
      upstream,
      binding: 'kafka',
      drain: { messagesPerSecond: null, bytesPerSecond: null },
      lived: new LivedTime(0),
      post: (advance) => this.#advance(advance),
      report: (name, fields = {}) => this.events.push({ name, fields }),
      changed: ({ state }) => {
        if (this.states.at(-1) !== state) this.states.push(state);
      },
      random: Math.random,
      ...options,
    });
  }

  start(): void {
    this.forwarder.start();
    this.#say({
      kind: 'cursor',
      lane: this.forwarder.lane,
      generation: this.#generation,
      position: this.position,
    });
  }

  committed(): void {
    this.#say({ kind: 'committed', lastSequence: this.log.segments.length });
  }

  append(frames: readonly Frame[], bytes?: number): number {
    const sequence = this.log.append(frames, bytes);
    this.committed();
    return sequence;
  }

  /** As `lag.over: skip` or eviction does it. */
  jump(position: CursorPosition): void {
    this.#generation += 1;
    this.position = position;
    this.#say({
      kind: 'cursor',
      lane: this.forwarder.lane,
      generation: this.#generation,
      position,
    });
  }

  #say(message: BufferToEgress): void {
    queueMicrotask(() => this.forwarder.heard(message));
  }

  #advance(advance: EgressToBuffer): void {
    this.advances.push(advance);
    if (advance.generation !== this.#generation) return;
    this.position = advance.to;
    for (const [name, count] of Object.entries(advance.outcomes)) {
      this.outcomes[name as Outcome] += count;
    }
    this.buried.push(...advance.buried);
    if (!this.answers) return;
    const lane = this.forwarder.lane;
    const delayMs = advance.now ? 0 : this.advanceDelayMs;
    setTimeout(() => this.#say({ kind: 'advanced', lane, id: advance.id }), delayMs);
  }

  get settled(): number {
    return Object.values(this.outcomes).reduce((sum, count) => sum + count, 0);
  }

  /** Until every frame of the log has an outcome. */
  async settledAll(frames = this.log.frames, withinMs = 60_000): Promise<void> {
    await waitFor(
      () => this.settled >= frames,
      withinMs,
      () => `${this.settled} of ${frames}`,
    );
  }
}

export async function waitFor(
  done: () => boolean,
  withinMs = 30_000,
  what: () => string = () => 'it did not come true',
): Promise<void> {
  const until = performance.now() + withinMs;
  while (!done()) {
    if (performance.now() > until) throw new Error(`waited ${withinMs} ms: ${what()}`);
    await sleep(5);
  }
}

/** mulberry32: a seed that is printed makes a run that can be repeated. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000;
  };
}
