/**
 * Rows leave the log here and nowhere else: trimmed (every lane has passed them), or evicted (room
 * or age asked for it under `dropOldest`, and the lanes that had not passed them are moved on).
 *
 * The newest segment stays: it carries the sequence and frame number the next one follows on, which
 * saves a page a commit to keep them elsewhere. Where room is made of it too, `meta` has them. Each
 * step is bounded in rows and in bytes, because freeing a body walks its chain of pages, and
 * commits wait meanwhile.
 */
import { trimSegmentsPerCommit } from '../bounds.ts';
import type { Capacity } from './capacity.ts';
import { type LogState, lowestSegment } from './log-state.ts';
import { jumpTo, type Work } from './passing.ts';
import type { SegmentHead } from './statements.ts';

/** Body bytes one step may free, once it has freed one segment. */
const trimBytesPerStep = 4 * 1024 * 1024;

/** What eviction did, for one event. */
export interface Evicted {
  segments: number;
  frames: number;
  bytes: number;
}

/** @returns segments deleted; the step's bound means that there may be more */
export function trimStep(work: Work): number {
  const { sql, state } = work;
  const below = Math.min(lowestSegment(state), state.nextSequence - 1);
  if (state.segments === 0 || state.firstSequence >= below) return 0;
  const heads = sql.heads(state.firstSequence, below - 1, trimSegmentsPerCommit);
  if (heads.length === 0) state.firstSequence = below; // a gap that salvage left
  return deleteHeads(work, withinBytes(heads));
}

/** How many segments every lane has passed, at most: salvage leaves gaps. */
export function trimmable(state: LogState): number {
  const below = Math.min(lowestSegment(state), state.nextSequence - 1);
  return state.segments > 0 ? Math.max(0, below - state.firstSequence) : 0;
}

/** Evicts oldest segments until the body fits, all of them if it must. */
export function evictForRoom(work: Work, capacity: Capacity, bodyBytes: number): Evicted {
  const sum: Evicted = { segments: 0, frames: 0, bytes: 0 };
  while (work.state.segments > 0 && capacity.missingFor(bodyBytes) > 0) {
    const heads = work.sql.heads(work.state.firstSequence, work.state.nextSequence - 1, 1);
    if (heads.length === 0) break;
    evict(work, heads, sum);
  }
  if (work.state.segments === 0) keepPlace(work);
  return sum;
}

/** What makes room need not bring a segment (a change of sessions): no row carries the numbers. */
function keepPlace({ sql, state }: Work): void {
  sql.putMeta('nextSequence', String(state.nextSequence));
  sql.putMeta('nextFrame', String(state.nextFrame));
}

/** Evicts what has lived longer than `buffer.age`; the newest row stays, but is passed. */
export function evictByAge(work: Work, bornBeforeMs: number): Evicted {
  const sum: Evicted = { segments: 0, frames: 0, bytes: 0 };
  const { sql, state } = work;
  const isOld = (head: SegmentHead): boolean => head.livedMs < bornBeforeMs;
  if (!sql.heads(state.firstSequence, state.nextSequence - 1, 1).some(isOld)) return sum;
  const heads = sql.heads(state.firstSequence, state.nextSequence - 1, trimSegmentsPerCommit);
  const old = heads.filter(isOld);
  const newest = state.nextSequence - 1;
  const last = old.at(-1);
  if (!last) return sum;
  moveLanes(work, last.sequence + 1, sum);
  const gone = old.filter((head) => head.sequence < newest);
  sum.segments += deleteHeads(work, gone);
  sum.bytes += sumBytes(gone);
  return sum;
}

function evict(work: Work, heads: readonly SegmentHead[], sum: Evicted): void {
  const last = heads.at(-1);
  if (!last) return;
  moveLanes(work, last.sequence + 1, sum);
  sum.segments += deleteHeads(work, heads);
  sum.bytes += sumBytes(heads);
}

function moveLanes(work: Work, segment: number, sum: Evicted): void {
  for (const lane of work.state.lanes.values()) {
    if (lane.position.segment < segment) sum.frames += jumpTo(work, lane, segment, 'evicted');
  }
}

function deleteHeads(work: Work, heads: readonly SegmentHead[]): number {
  const last = heads.at(-1);
  if (!last) return 0;
  work.sql.deleteUpTo(last.sequence);
  work.state.segments -= heads.length;
  work.state.firstSequence = last.sequence + 1;
  return heads.length;
}

function withinBytes(heads: readonly SegmentHead[]): readonly SegmentHead[] {
  let bytes = 0;
  const past = heads.findIndex((head, index) => {
    bytes += head.bytes;
    return index > 0 && bytes > trimBytesPerStep;
  });
  return past < 0 ? heads : heads.slice(0, past);
}

function sumBytes(heads: readonly SegmentHead[]): number {
  return heads.reduce((sum, head) => sum + head.bytes, 0);
}
