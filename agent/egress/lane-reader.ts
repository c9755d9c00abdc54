/**
 * Reads a lane's part of the log, in order, into its window, and gives each frame its outcome or
 * its record:
 *
 *   body does not verify        damaged, the whole segment
 *   no target in this lane      passed, not counted
 *   marked by the core          buried: limit, payloadTooLarge
 *   lived longer than allowed   expired
 *   cannot be rendered          buried: topicInvalid, recordInvalid, routeUnknown
 *   goes in a circle            buried: loop
 *   else                        a record, to the upstream
 *
 * It works in steps of bounded size, so that answers are read between them, and holds no more than
 * the window plus one read ahead.
 */
import type { BuriedFrame, CursorPosition, LaneName } from '../buffer/protocol.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { Drain } from './drain.ts';
import type { LaneRoutes } from './lane-routes.ts';
import type { EgressRecord, Frame } from './record.ts';
import type { LivedTime, OpenBody, SegmentSource, StoredBody } from './segment-source.ts';
import type { Window, WindowSegment } from './window.ts';

export interface LaneReaderParts {
  readonly lane: LaneName;
  readonly source: SegmentSource;
  readonly routes: LaneRoutes;
  readonly window: Window;
  readonly drain: Drain;
  readonly lived: LivedTime;
  readonly emit: (record: EgressRecord) => void;
}

/** Why a step ended. */
export type Step =
  | { readonly why: 'empty' | 'full' | 'budget' }
  | { readonly why: 'shaped'; readonly waitMs: number };

const readBytes = 1024 * 1024;
const readSegments = 16;
const millisecondsPerSecond = 1_000;
/** The core's bury reasons, by number. */
const coreReasons: Readonly<Record<number, string>> = { 1: 'limit', 2: 'payloadTooLarge' };

export class LaneReader {
  readonly #parts: LaneReaderParts;
  #ahead: StoredBody[] = [];
  #segment: WindowSegment | null = null;
  /** Next frame of `#segment`. */
  #index = 0;
  #position: CursorPosition = { segment: 0, frame: 0 };
  /** Something may have been committed since the log was found empty. */
  #woken = false;

  constructor(parts: LaneReaderParts) {
    this.#parts = parts;
  }

  /** Begins anew; whatever was read before is no longer wanted. */
  start(position: CursorPosition): void {
    this.#position = position;
    this.#ahead = [];
    this.#segment = null;
    this.#woken = true;
  }

  wake(): void {
    this.#woken = true;
  }

  /** Reads and renders up to `budget` frames. */
  step(budget: number): Step {
    let left = budget;
    while (left > 0) {
      const segment = this.#segment ?? this.#next();
      if (segment === 'empty' || segment === 'full') return { why: segment };
      const waitMs = this.#shapedMs(segment);
      if (waitMs > 0) return { why: 'shaped', waitMs };
      left -= this.#render(segment, left);
    }
    return { why: 'budget' };
  }

  #next(): WindowSegment | 'empty' | 'full' {
    const { source, window } = this.#parts;
    if (this.#ahead.length === 0) {
      if (!this.#woken) return 'empty';
      this.#ahead = [...source.read(this.#position.segment, readBytes, readSegments)];
      if (this.#ahead.length === 0) this.#woken = false;
    }
    const stored = this.#ahead[0];
    if (stored === undefined) return 'empty';
    if (!window.fits(stored.frames, stored.body.length)) return 'full';
    this.#ahead.shift();
    const { segment: at, frame } = this.#position;
    const from = stored.sequence === at ? Math.min(frame, stored.frames) : 0;
    this.#position = { segment: stored.sequence + 1, frame: 0 };
    const segment = window.add(stored.sequence, stored.frames, stored.body.length, from);
    const open = source.open(stored.body);
    if (open === null || open.frames !== stored.frames) {
      // The buffer knows how many of the lane's frames lie before the cursor: it counts exactly.
      window.damage(segment, this.#parts.routes.framesIn(stored.routes));
      this.#index = stored.frames;
    } else {
      segment.open = open;
      this.#index = from;
      this.#parts.lived.saw(open.livedMs);
    }
    this.#segment = segment;
    return segment;
  }

  #shapedMs(segment: WindowSegment): number {
    const { drain, lived } = this.#parts;
    if (!drain.shapes || segment.open === null) return 0;
    return drain.waitMs(lived.now() - segment.open.livedMs, performance.now());
  }

  /** @returns frames done, at least 1 so that a step ends */
  #render(segment: WindowSegment, budget: number): number {
    const { drain } = this.#parts;
    const from = this.#index;
    const open = segment.open;
    const livedMs = this.#parts.lived.now();
    // Shaped: frame by frame, because each may be the one that has to wait.
    const most = drain.shapes ? 1 : budget;
    const end = Math.min(segment.frames, from + most);
    for (let index = from; open !== null && index < end; index++) {
      const frame = open.frame(index);
      if (drain.shapes) drain.took(frame.payload.length, performance.now());
      this.#settle(segment, open, index, frame, livedMs);
    }
    this.#index = end;
    if (end >= segment.frames) this.#segment = null;
    return Math.max(1, end - from);
  }

  #settle(
    segment: WindowSegment,
    open: OpenBody,
    index: number,
    frame: Frame,
    livedMs: number,
  ): void {
    const { window, routes, emit } = this.#parts;
    const route = routes.of(frame.routeId);
    if (route.kind === 'none') {
      window.pass(segment, index);
      return;
    }
    if (route.kind === 'unreadable') {
      this.bury(segment, index, route.reason, route.detail);
      return;
    }
    if (frame.buryReason !== 0) {
      this.bury(segment, index, coreReasons[frame.buryReason] ?? 'refused', '');
      return;
    }
    const expiry = frame.expirySeconds;
    if (expiry !== null && livedMs - frame.livedMs >= expiry * millisecondsPerSecond) {
      window.settle(segment, index, 'expired');
      return;
    }
    const { renderers } = route;
    if (renderers.length > 1) segment.expect(index, renderers.length);
    for (const renderer of renderers) {
      let record: EgressRecord;
      try {
        record = renderer.render(frame, open.epoch, segment, index);
      } catch (error) {
        const code = error instanceof TidegateError ? error.code : 'recordInvalid';
        this.bury(segment, index, code, messageOf(error));
        continue;
      }
      const fault = record.place.fault;
      if (fault !== null) this.bury(segment, index, fault.code, fault.detail);
      else emit(record);
    }
  }

  /** Sets a frame aside with its bytes and the reason. */
  bury(segment: WindowSegment, index: number, reason: string, detail: string): void {
    if (!segment.live || segment.open === null) return;
    const frame = segment.open.frame(index);
    const buried: BuriedFrame = {
      segment: segment.sequence,
      frame: index,
      routeId: frame.routeId,
      reason,
      detail,
      // A copy of its own: a view would send the whole segment along.
      body: new Uint8Array(frame.raw),
    };
    this.#parts.window.bury(segment, buried);
  }
}
