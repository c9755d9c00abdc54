/**
 * What the writer knows of the log without asking the disk: the running sums of every lane, the
 * ends of the log, the dead letters' size. Read once at open, then changed on a copy inside each
 * transaction, and the copy becomes the state only after COMMIT returned: a failed commit leaves no
 * trace here.
 *
 * A lane's backlog is summed from the segments and its outcomes come from egress, so that
 * `appended = Σ outcomes + backlog` is a check of one against the other and not a definition.
 */
import { type Outcome, type OutcomeCounts, outcomes } from '../events.ts';
import type { Sqlite } from './database.ts';
import type { CursorPosition, Delivery, LaneGauge, LaneName, LaneSpec } from './protocol.ts';
import type { Routes } from './routes.ts';
import {
  type CursorRow,
  eachHead,
  readCursors,
  readDamagedSums,
  readDeadSums,
  readMeta,
  type SegmentHead,
} from './statements.ts';

export interface LaneState {
  readonly lane: LaneName;
  readonly upstream: string;
  readonly delivery: Delivery;
  /** null: the lane is not in the config; it stays, and pins what it has not passed. */
  lag: LaneSpec['lag'] | null;
  position: CursorPosition;
  /** Frames of this lane that were passed in `position.segment`. */
  passed: number;
  appended: number;
  counts: Record<Outcome, number>;
  backlogFrames: number;
  /** This lane's share of the segments it has not wholly passed. */
  backlogBytes: number;
  /** Lived time of the segment at the cursor, once someone asked; null after the cursor moved. */
  oldestMs: number | null;
  /** Counts jumps; an advance that was made before one is ignored. Not kept on disk. */
  generation: number;
}

export interface LogState {
  lanes: Map<LaneName, LaneState>;
  /** Segments kept, and the oldest of them (nextSequence where there is none). */
  segments: number;
  firstSequence: number;
  nextSequence: number;
  nextFrame: number;
  livedMs: number;
  deadLetters: number;
  deadLetterBytes: number;
  damagedSegments: number;
  damagedBytes: number;
}

export type EachHead = (visit: (head: SegmentHead) => void) => void;

/** @param specs the lanes of the config; null when unknown (a file read by the CLI) */
export function loadState(db: Sqlite, routes: Routes, specs: readonly LaneSpec[] | null): LogState {
  const dead = readDeadSums(db);
  const damaged = readDamagedSums(db);
  const lanes = new Map(readCursors(db).map((row) => [row.lane, fromRow(row)]));
  const state: LogState = {
    lanes,
    segments: 0,
    firstSequence: Number(readMeta(db, 'nextSequence') ?? 0),
    nextSequence: Number(readMeta(db, 'nextSequence') ?? 0),
    nextFrame: Number(readMeta(db, 'nextFrame') ?? 0),
    livedMs: Number(readMeta(db, 'livedMs') ?? 0),
    deadLetters: dead.letters,
    deadLetterBytes: dead.bytes,
    damagedSegments: damaged.letters,
    damagedBytes: damaged.bytes,
  };
  eachHead(db, (head) => {
    if (state.segments === 0) state.firstSequence = head.sequence;
    countSegment(state, head);
    for (const lane of lanes.values()) {
      if (head.sequence >= lane.position.segment) countBacklog(lane, head, routes);
    }
  });
  for (const lane of lanes.values()) lane.backlogFrames -= lane.passed;
  if (specs) configureLanes(state, specs, routes, (visit) => eachHead(db, visit));
  return state;
}

/**
 * The lanes of a config, at open or while running: new ones begin, those that left it stay where
 * they are and pin what they have not passed.
 */
export function configureLanes(
  state: LogState,
  specs: readonly LaneSpec[],
  routes: Routes,
  each: EachHead,
): void {
  const configured = new Set(specs.map((spec) => spec.lane));
  for (const lane of state.lanes.values()) if (!configured.has(lane.lane)) lane.lag = null;
  for (const spec of specs) {
    const known = state.lanes.get(spec.lane);
    if (known) known.lag = spec.lag;
    else state.lanes.set(spec.lane, freshLane(state, spec, routes, each));
  }
}

export function cloneState(state: LogState): LogState {
  const lanes = new Map<LaneName, LaneState>();
  for (const [name, lane] of state.lanes) {
    lanes.set(name, { ...lane, counts: { ...lane.counts } });
  }
  return { ...state, lanes };
}

/** A segment at the end of the log. */
export function countSegment(state: LogState, head: SegmentHead): void {
  if (state.segments === 0) state.firstSequence = head.sequence;
  state.segments += 1;
  state.nextSequence = Math.max(state.nextSequence, head.sequence + 1);
  state.nextFrame = Math.max(state.nextFrame, head.firstFrame + head.frames);
  state.livedMs = Math.max(state.livedMs, head.livedMs);
}

/** @returns the frames of the segment that have a target in the lane */
export function countBacklog(lane: LaneState, head: SegmentHead, routes: Routes): number {
  const frames = routes.targeted(head.routes, lane.lane);
  lane.backlogFrames += frames;
  lane.backlogBytes += shareBytes(head, frames);
  return frames;
}

/** The lane's part of a segment's bytes; the same at append and at passing. */
export function shareBytes(head: SegmentHead, frames: number): number {
  return head.frames === 0 ? 0 : Math.ceil((head.bytes * frames) / head.frames);
}

export function addOutcomes(lane: LaneState, counts: OutcomeCounts): void {
  for (const name of outcomes) lane.counts[name] += counts[name] ?? 0;
}

export function sumOutcomes(counts: OutcomeCounts): number {
  return outcomes.reduce((sum, name) => sum + (counts[name] ?? 0), 0);
}

/** The oldest segment any lane still needs. */
export function lowestSegment(state: LogState): number {
  let lowest = state.nextSequence;
  for (const lane of state.lanes.values()) lowest = Math.min(lowest, lane.position.segment);
  return lowest;
}

export function toRow(lane: LaneState): CursorRow {
  const { sentOnce, ...counts } = lane.counts;
  return {
    lane: lane.lane,
    upstream: lane.upstream,
    delivery: lane.delivery,
    segment: lane.position.segment,
    frame: lane.position.frame,
    passed: lane.passed,
    appended: lane.appended,
    ...counts,
    sent_once: sentOnce,
  };
}

export function laneGauge(lane: LaneState, backlogAgeMs: number): LaneGauge {
  const { upstream, delivery, backlogFrames, backlogBytes, position } = lane;
  return {
    lane: lane.lane,
    upstream,
    delivery,
    configured: lane.lag !== null,
    appendedFrames: lane.appended,
    outcomes: { ...lane.counts },
    backlogFrames,
    backlogBytes,
    backlogAgeMs,
    position,
  };
}

function fromRow(row: CursorRow): LaneState {
  const { confirmed, buried, evicted, expired, damaged, skipped } = row;
  return {
    lane: row.lane,
    upstream: row.upstream,
    delivery: row.delivery as Delivery,
    lag: null,
    position: { segment: row.segment, frame: row.frame },
    passed: row.passed,
    appended: row.appended,
    counts: { confirmed, buried, evicted, expired, damaged, skipped, sentOnce: row.sent_once },
    backlogFrames: 0,
    backlogBytes: 0,
    oldestMs: null,
    generation: 1,
  };
}

/** A lane seen for the first time: at the end of the log, or at its start on request. */
function freshLane(state: LogState, spec: LaneSpec, routes: Routes, each: EachHead): LaneState {
  const oldest = spec.from === 'oldest';
  const segment = oldest ? state.firstSequence : state.nextSequence;
  const lane = fromRow(emptyRow(spec, segment));
  lane.lag = spec.lag;
  if (oldest) each((head) => countBacklog(lane, head, routes));
  lane.appended = lane.backlogFrames;
  return lane;
}

export function emptyRow(
  spec: Pick<LaneSpec, 'lane' | 'upstream' | 'delivery'>,
  segment: number,
): CursorRow {
  const { lane, upstream, delivery } = spec;
  const none = { confirmed: 0, buried: 0, evicted: 0, expired: 0, damaged: 0, skipped: 0 };
  const place = { segment, frame: 0, passed: 0, appended: 0 };
  return { lane, upstream, delivery, ...place, ...none, sent_once: 0 };
}
