/**
 * One lane's loop: from the log through the window to the upstream, and the cursor back.
 *
 *   committed ▶ pump: read, render, submit ▶ upstream ▶ outcomes ▶ take ▶ advance ▶ advanced ▶ room
 *
 * It starts with everything down: records are read only once the upstream could be reached, and
 * what it holds after that is bounded by the window. The cursor passes a frame only with an outcome
 * (promise 2); nothing is dropped here.
 *
 * An at-most-once lane turns the order round: its frames get `sentOnce` as they are read, the
 * cursor is committed, and only then are they sent, once. It reads on when all of them were
 * answered.
 */

import { backoffFirstMs, logLineEveryMs } from '../bounds.ts';
import type {
  BufferToEgress,
  CursorPosition,
  EgressToBuffer,
  LaneSpec,
} from '../buffer/protocol.ts';
import { messageOf, remedyOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import { Backoff, type Random } from './backoff.ts';
import { Drain, type DrainRates } from './drain.ts';
import { LaneReader, type Step } from './lane-reader.ts';
import { LaneRoutes } from './lane-routes.ts';
import { LaneStates, type LaneStateTold } from './lane-states.ts';
import type { Binding, EgressRecord } from './record.ts';
import type { LivedTime, SegmentSource } from './segment-source.ts';
import type { Upstream, UpstreamSink } from './upstream.ts';
import { type Progress, Window, type WindowBounds } from './window.ts';

export interface ForwarderParts {
  readonly spec: LaneSpec;
  readonly source: SegmentSource;
  readonly upstream: (sink: UpstreamSink) => Upstream;
  readonly binding: Binding;
  readonly drain: DrainRates;
  readonly lived: LivedTime;
  readonly post: (advance: EgressToBuffer) => void;
  readonly report: Report;
  readonly changed: (told: LaneStateTold) => void;
  readonly random: Random;
  readonly bounds?: WindowBounds;
}

/** Frames of one turn of the loop; between turns answers are read. */
const pumpFrames = 2_048;
/** Outcomes are gathered this long before the cursor is told. */
const takeEveryMs = 5;
/** Waiting for what is in flight, and again for the last cursor, when stopping. */
const stopGraceMs = 400;
const stopPollMs = 5;
const readAgainMs = 1_000;

export class Forwarder {
  readonly #parts: ForwarderParts;
  readonly #once: boolean;
  readonly #window: Window;
  readonly #reader: LaneReader;
  readonly #upstream: Upstream;
  readonly #states: LaneStates;
  readonly #backoff: Backoff;
  readonly #timers = new Map<'pump' | 'take', NodeJS.Timeout>();
  #generation = -1;
  /** What has been told to the buffer. */
  #position: CursorPosition | null = null;
  #pumpDue: NodeJS.Immediate | null = null;
  /** Counts attempts to connect: one that was overtaken ends quietly. */
  #attempt = 0;
  #toldRetryMs = Number.NEGATIVE_INFINITY;
  /** At-most-once: rendered, not sent before the cursor of `#heldMark` is on disk. */
  #held: EgressRecord[] = [];
  #heldMark = 0;
  #advancedMark = 0;
  #postedMark = 0;

  constructor(parts: ForwarderParts) {
    const { spec, source, lived, binding } = parts;
    this.#parts = parts;
    this.#once = spec.delivery === 'at-most-once';
    this.#window = new Window(parts.bounds);
    this.#states = new LaneStates(spec.lane, parts.changed);
    this.#backoff = new Backoff(parts.random);
    this.#upstream = parts.upstream(this.#sink());
    const properties = source.properties;
    this.#reader = new LaneReader({
      lane: spec.lane,
      source,
      routes: new LaneRoutes(spec.lane, (id) => source.route(id), { binding, properties }),
      window: this.#window,
      drain: new Drain(parts.drain, performance.now()),
      lived,
      emit: (record) => this.#emit(record),
    });
  }

  get upstreamName(): string {
    return this.#parts.spec.upstream;
  }

  get lane(): string {
    return this.#parts.spec.lane;
  }

  start(): void {
    this.#states.tell();
    void this.#connect();
  }

  heard(message: BufferToEgress): void {
    if (message.kind === 'committed') {
      this.#reader.wake();
      this.#pumpSoon();
    } else if (message.lane !== this.lane) return;
    else if (message.kind === 'advanced') this.#advanced(message.id);
    else void this.#jump(message.generation, message.position);
  }

  pause(): void {
    if (this.#states.is('paused', 'stopped')) return;
    this.#attempt += 1;
    this.#upstream.pause();
    this.#states.become('paused');
  }

  resume(): void {
    if (!this.#states.is('paused', 'halted')) return;
    this.#upstream.resume();
    void this.#connect();
  }

  /** Never waits for the upstream longer than a moment: what is unconfirmed is sent again. */
  async stop(): Promise<void> {
    if (this.#states.is('stopped')) return;
    this.#attempt += 1;
    this.#upstream.pause();
    this.#states.become('stopped');
    await until(() => this.#upstream.inFlight === 0);
    this.#take(true);
    await until(() => this.#advancedMark >= this.#postedMark);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    await this.#upstream.close();
  }

  #sink(): UpstreamSink {
    return {
      confirmed: (segment, frame) => {
        if (!this.#once) this.#window.settle(segment, frame, 'confirmed');
      },
      buried: (segment, frame, reason, detail) => {
        this.#reader.bury(segment, frame, reason, detail);
      },
      expired: (segment, frame) => {
        if (!this.#once) this.#window.settle(segment, frame, 'expired');
      },
      progress: () => {
        if (this.#states.is('backing-off')) this.#states.become('forwarding');
        this.#takeSoon();
        this.#pumpSoon();
      },
      retrying: (error, _attempt, delayMs) => this.#retrying(error, delayMs),
      halted: (error) => this.#halt(error),
      restart: (reason) => void this.#restart(reason),
      lost: (records, error) => this.#lost(records, error),
    };
  }

  async #connect(): Promise<void> {
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#states.become('connecting');
    // A fleet that starts at one moment does not arrive at one moment.
    await idle(this.#parts.random() * backoffFirstMs);
    while (attempt === this.#attempt) {
      try {
        await this.#upstream.connect();
        break;
      } catch (error) {
        if (attempt !== this.#attempt) return;
        const cause = asError(error);
        if (cause.class === 'halt') return this.#halt(cause);
        const delayMs = this.#backoff.failed();
        this.#retrying(cause, delayMs);
        await idle(delayMs);
      }
    }
    if (attempt !== this.#attempt) return;
    this.#backoff.succeeded();
    this.#states.become('forwarding');
    this.#pumpSoon();
  }

  #retrying(error: TidegateError, delayMs: number): void {
    this.#states.failed(`${error.code}: ${error.message}`);
    if (this.#states.is('forwarding')) this.#states.become('backing-off');
    const nowMs = performance.now();
    if (nowMs - this.#toldRetryMs < logLineEveryMs) return;
    this.#toldRetryMs = nowMs;
    this.#states.tell();
    this.#parts.report('laneRetrying', {
      ...this.#fields(error),
      retryInMs: Math.round(delayMs),
    });
  }

  #halt(error: TidegateError): void {
    if (!this.#states.is('connecting', 'forwarding', 'backing-off')) return;
    this.#attempt += 1;
    this.#states.failed(`${error.code}: ${error.message}`);
    this.#states.become('halted');
    this.#parts.report('laneHalted', this.#fields(error));
  }

  #lost(records: number, error: TidegateError): void {
    this.#parts.report('laneRetrying', { ...this.#fields(error), lostRecords: records });
    if (this.#states.is('forwarding', 'backing-off')) void this.#connect();
  }

  #fields(error: TidegateError) {
    const { lane, upstream } = this.#parts.spec;
    return {
      lane,
      upstream,
      code: error.code,
      error: error.message,
      remedy: remedyOf(error.code),
      retries: this.#backoff.attempts,
    };
  }

  async #jump(generation: number, position: CursorPosition): Promise<void> {
    if (generation <= this.#generation) return;
    const first = this.#generation < 0;
    this.#generation = generation;
    this.#position = position;
    if (first) {
      this.#reader.start(position);
      this.#pumpSoon();
    } else await this.#anew();
  }

  async #restart(reason: string): Promise<void> {
    const { lane, upstream } = this.#parts.spec;
    this.#parts.report('laneRetrying', { lane, upstream, error: reason });
    await this.#anew();
  }

  /** Forgets what was read and is not told yet, and begins again at the cursor. */
  async #anew(): Promise<void> {
    const { segment, frame } = this.#position as CursorPosition;
    const goOn = this.#states.is('connecting', 'forwarding', 'backing-off');
    if (goOn) this.#states.become('connecting');
    this.#attempt += 1;
    const attempt = this.#attempt;
    this.#window.clear();
    this.#held = [];
    this.#reader.start({ segment, frame });
    await this.#upstream.abandon();
    if (goOn && attempt === this.#attempt) await this.#connect();
  }

  #pumpSoon(): void {
    if (this.#pumpDue !== null || !this.#mayPump()) return;
    this.#pumpDue = setImmediate(() => {
      this.#pumpDue = null;
      this.#pump();
    });
  }

  #mayPump(): boolean {
    if (this.#generation < 0 || !this.#states.is('forwarding', 'backing-off')) return false;
    return !this.#once || (this.#held.length === 0 && this.#upstream.pending === 0);
  }

  #pump(): void {
    if (!this.#mayPump()) return;
    let step: Step;
    try {
      step = this.#reader.step(pumpFrames);
    } catch (error) {
      const { lane } = this.#parts.spec;
      this.#parts.report('unexpected', { lane, error: messageOf(error) });
      step = { why: 'shaped', waitMs: readAgainMs };
    }
    if (this.#once) this.#cursorFirst();
    else this.#upstream.flush();
    this.#takeSoon();
    if (step.why === 'budget') this.#pumpSoon();
    if (step.why === 'shaped') this.#later('pump', step.waitMs, () => this.#pumpSoon());
  }

  #emit(record: EgressRecord): void {
    if (!this.#once) {
      this.#upstream.submit(record);
      return;
    }
    this.#window.settle(record.segment, record.frame, 'sentOnce');
    this.#held.push(record);
  }

  #cursorFirst(): void {
    if (this.#held.length === 0) return;
    this.#take(true);
    this.#heldMark = this.#postedMark;
  }

  #advanced(id: number): void {
    this.#advancedMark = Math.max(this.#advancedMark, id);
    this.#window.released(id);
    if (this.#held.length > 0 && id >= this.#heldMark && this.#generation >= 0) {
      const held = this.#held;
      this.#held = [];
      for (const record of held) this.#upstream.submit(record);
      this.#upstream.flush();
    }
    this.#pumpSoon();
  }

  #takeSoon(): void {
    if (this.#window.pressed) this.#take(false);
    else this.#later('take', takeEveryMs, () => this.#take(false));
  }

  /** Tells the buffer how far the lane has come. */
  #take(now: boolean): void {
    const progress = this.#window.take();
    if (progress === null) return;
    const { to, outcomes, buried, damaged, mark } = progress;
    this.#position = to;
    this.#postedMark = mark;
    this.#parts.post({
      kind: 'advance',
      id: mark,
      lane: this.#parts.spec.lane,
      generation: this.#generation,
      to,
      outcomes,
      buried,
      damaged,
      now: now || this.#window.pressed,
    });
    if (buried.length > 0) this.#tellBuried(progress);
  }

  #tellBuried({ buried }: Progress): void {
    const { lane, upstream } = this.#parts.spec;
    const byReason = Map.groupBy(buried, (one) => one.reason);
    for (const [reason, frames] of byReason) {
      const detail = frames.at(-1)?.detail;
      this.#parts.report('recordBuried', {
        lane,
        upstream,
        reason,
        records: frames.length,
        detail,
      });
    }
  }

  #later(name: 'pump' | 'take', delayMs: number, run: () => void): void {
    if (this.#timers.has(name)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, delayMs);
    this.#timers.set(name, timer);
  }
}

function asError(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  return new TidegateError('upstreamUnreachable', messageOf(error), { cause: error });
}

/** Between attempts: does not keep a thread alive that has nothing else to do. */
function idle(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms).unref());
}

function sleep(ms: number): Promise<void> {
  return new Promise((wake) => setTimeout(wake, ms));
}

async function until(done: () => boolean): Promise<void> {
  for (let waitedMs = 0; !done() && waitedMs < stopGraceMs; waitedMs += stopPollMs) {
    await sleep(stopPollMs);
  }
}
