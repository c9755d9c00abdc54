/**
 * How a cursor passes frames: the arithmetic of promise 2, inside a transaction and on the copy of
 * the state that will hold after it.
 *
 *   advance   egress says how far it came and what became of the frames (Σ must agree)
 *   jump      the buffer moves a cursor past whole segments: evicted or skipped, counted exactly
 *
 * `passed` makes both exact: of the segment a cursor stands in, the frames of this lane that
 * already have an outcome. A jump counts the rest of that segment and all of the ones behind it.
 */
import type { Report } from '../events.ts';
import {
  addOutcomes,
  type LaneState,
  type LogState,
  shareBytes,
  sumOutcomes,
} from './log-state.ts';
import type { CursorPosition, EgressToBuffer } from './protocol.ts';
import type { Routes } from './routes.ts';
import type { SegmentHead, Statements } from './statements.ts';

/** What a transaction works on. */
export interface Work {
  readonly sql: Statements;
  readonly routes: Routes;
  readonly state: LogState;
  readonly report: Report;
}

/** All heads between two positions are asked for at once: egress' window bounds an advance. */
const unlimited = -1;
/** Heads read at once while a cursor jumps. */
const headsPerRead = 64;

/** Applies what egress reported. The caller has asked whether it is of this generation. */
export function applyAdvance(work: Work, lane: LaneState, advance: EgressToBuffer): void {
  const { sql, routes, state } = work;
  const from = lane.position;
  const wanted = clampPosition(state, from, advance.to);
  const heads = sql.heads(from.segment, wanted.segment, unlimited);
  const to = wholeSegments(wanted, heads);
  const counts = { ...advance.outcomes };
  let whole = 0;
  let wholeBytes = 0;
  let damaged = 0;
  for (const head of heads) {
    if (head.sequence >= to.segment) continue;
    const frames = routes.targeted(head.routes, lane.lane);
    const rest = head.sequence === from.segment ? frames - lane.passed : frames;
    whole += rest;
    wholeBytes += shareBytes(head, frames);
    if (advance.damaged.includes(head.sequence)) damaged += rest;
  }
  // A body that cannot be read cannot be counted by egress; its row in the log can.
  if (advance.damaged.length > 0) counts.damaged = damaged;
  const reported = sumOutcomes(counts);
  const carried = to.segment === from.segment ? lane.passed : 0;
  const here = heads.find((head) => head.sequence === to.segment);
  const most = here ? routes.targeted(here.routes, lane.lane) : 0;
  const claimed = carried + reported - whole;
  const passed = to.frame === 0 ? 0 : Math.min(most, Math.max(carried, claimed));
  const expected = whole + passed - carried;
  if (reported !== expected || wanted !== advance.to) {
    const at = `${from.segment}:${from.frame} to ${advance.to.segment}:${advance.to.frame}`;
    const error = `lane ${lane.lane} moved ${at}: ${reported} outcomes for ${expected} frames`;
    work.report('unexpected', { error, lane: lane.lane });
  }
  if (to.segment !== from.segment) lane.oldestMs = null;
  lane.position = to;
  lane.passed = passed;
  lane.backlogFrames -= expected;
  lane.backlogBytes -= wholeBytes;
  addOutcomes(lane, counts);
}

/** Moves a cursor to the start of a later segment; what lies between has the outcome given. */
export function jumpTo(
  work: Work,
  lane: LaneState,
  segment: number,
  outcome: 'evicted' | 'skipped',
): number {
  let frames = 0;
  while (lane.position.segment < segment) {
    const heads = work.sql.heads(lane.position.segment, segment - 1, headsPerRead);
    if (heads.length === 0) break;
    for (const head of heads) frames += passWhole(work, lane, head);
  }
  lane.position = { segment, frame: 0 };
  lane.passed = 0;
  lane.oldestMs = null;
  lane.counts[outcome] += frames;
  lane.generation += 1;
  return frames;
}

export interface Excess {
  /** The first segment from which on the backlog is within its bounds. */
  readonly segment: number;
  /** Frames of the lane before it. */
  readonly frames: number;
}

/** What of a lane's backlog lies beyond a bound in bytes or in lived time. */
export function beyond(
  work: Work,
  lane: LaneState,
  bound: { readonly bytes: number; readonly sinceMs: number },
): Excess {
  let { segment } = lane.position;
  let bytes = lane.backlogBytes;
  let frames = 0;
  if (bytes <= bound.bytes && oldestMs(work, lane) >= bound.sinceMs) return { segment, frames };
  while (segment < work.state.nextSequence) {
    const heads = work.sql.heads(segment, work.state.nextSequence - 1, headsPerRead);
    if (heads.length === 0) break;
    for (const head of heads) {
      if (bytes <= bound.bytes && head.livedMs >= bound.sinceMs) return { segment, frames };
      const targeted = work.routes.targeted(head.routes, lane.lane);
      frames += head.sequence === lane.position.segment ? targeted - lane.passed : targeted;
      bytes -= shareBytes(head, targeted);
      segment = head.sequence + 1;
    }
  }
  return { segment: work.state.nextSequence, frames };
}

/** Asked at every append: nearly always it is known. */
function oldestMs({ sql, state }: Work, lane: LaneState): number {
  if (lane.oldestMs !== null) return lane.oldestMs;
  const [head] = sql.heads(lane.position.segment, state.nextSequence - 1, 1);
  if (!head) return Number.POSITIVE_INFINITY;
  lane.oldestMs = head.livedMs;
  return head.livedMs;
}

function passWhole(work: Work, lane: LaneState, head: SegmentHead): number {
  const frames = work.routes.targeted(head.routes, lane.lane);
  const rest = frames - lane.passed;
  lane.backlogFrames -= rest;
  lane.backlogBytes -= shareBytes(head, frames);
  lane.passed = 0;
  lane.position = { segment: head.sequence + 1, frame: 0 };
  return rest;
}

/** Never back, never past the end of the log; the same object when nothing was wrong. */
function clampPosition(state: LogState, from: CursorPosition, to: CursorPosition): CursorPosition {
  if (to.segment < from.segment) return from;
  if (to.segment === from.segment && to.frame < from.frame) return from;
  if (to.segment > state.nextSequence) return { segment: state.nextSequence, frame: 0 };
  return to;
}

/** The place behind a segment's last frame is the start of the next. */
function wholeSegments(to: CursorPosition, heads: readonly SegmentHead[]): CursorPosition {
  const here = heads.find((head) => head.sequence === to.segment);
  const past = here !== undefined && to.frame >= here.frames;
  return past ? { segment: to.segment + 1, frame: 0 } : to;
}
