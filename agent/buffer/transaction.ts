/**
 * What one transaction does, between BEGIN IMMEDIATE and COMMIT, on a copy of the state:
 *
 *   0 the lanes of a new config; dead letters that an operator discards
 *   1 pending advances: dead letters, set-aside segments, cursors (so that burial and the cursor
 *     past it are one transaction)
 *   2 lanes beyond their lag with `skip` jump ahead
 *   3 under `dropOldest`, what is older than buffer.age goes; trim a bounded number of segments
 *   4 room for the append: hold, or evict the oldest
 *   5 the append: route definitions it is first to use, its segment, the lanes' counters; what
 *     it changes in sessions; dead letters whose frames it carries again
 *   6 the cursor rows that changed
 *
 * A held append does not undo 0 to 3: what they free is what it waits for.
 */
import { TidegateError } from '../errors.ts';
import type { Capacity } from './capacity.ts';
import {
  configureLanes,
  countBacklog,
  countSegment,
  type LaneState,
  lowestSegment,
  shareBytes,
  toRow,
} from './log-state.ts';
import { pack } from './packing.ts';
import { applyAdvance, beyond, jumpTo, type Work } from './passing.ts';
import type {
  BufferOptions,
  EgressToBuffer,
  LaneName,
  LaneSpec,
  SealedSegment,
  ToBuffer,
} from './protocol.ts';
import type { RouteRow } from './routes.ts';
import { putBytes } from './sessions.ts';
import type { CursorRow, SegmentHead } from './statements.ts';
import { evictByAge, evictForRoom, trimStep } from './trim.ts';

export type Append = Extract<ToBuffer, { kind: 'append' }>;

export interface Task {
  /** Of a config that is new with this transaction. */
  readonly lanes: readonly LaneSpec[] | null;
  /** Ids of dead letters. */
  readonly discarded: readonly number[];
  readonly append: Append | null;
  readonly advances: readonly EgressToBuffer[];
  readonly options: BufferOptions;
  readonly capacity: Capacity;
  readonly before: ReadonlyMap<LaneName, LaneState>;
  readonly wallMs: number;
  readonly livedMs: number;
}

export interface Done {
  /** Why the append was not taken; null when it was, or when there was none. */
  readonly hold: string | null;
  readonly answered: readonly EgressToBuffer[];
  /** Advances that bury more than there is room for; they wait, in order. */
  readonly blocked: readonly EgressToBuffer[];
  readonly routes: readonly RouteRow[];
  readonly changed: readonly CursorRow[];
}

export function transact(work: Work, task: Task): Done {
  if (task.lanes) {
    configureLanes(work.state, task.lanes, work.routes, (visit) => work.sql.eachHead(visit));
    work.sql.putMeta('limitBytes', String(task.options.bytes));
  }
  deleteDead(work, task.discarded);
  const { answered, blocked } = applyAdvances(work, task);
  const { append } = task;
  const next = append?.segment ? headOf(append.segment) : null;
  skipLagging(work, task, next);
  evictAged(work, task);
  trimStep(work);
  const hold = append ? makeRoom(work, task, append, next) : null;
  const taken = hold === null ? append : null;
  const routes = taken?.segment ? insert(work, task, taken.segment) : [];
  if (taken) work.sql.sessions.apply(taken.sessions, task.livedMs);
  if (taken?.replayed) deleteDead(work, taken.replayed);
  const changed: CursorRow[] = [];
  for (const [name, lane] of work.state.lanes) {
    if (same(task.before.get(name), lane)) continue;
    const row = toRow(lane);
    work.sql.putCursor(row);
    changed.push(row);
  }
  return { hold, answered, blocked, routes, changed };
}

function applyAdvances(work: Work, task: Task): Pick<Done, 'answered' | 'blocked'> {
  const answered: EgressToBuffer[] = [];
  const blocked: EgressToBuffer[] = [];
  for (const advance of task.advances) {
    const lane = work.state.lanes.get(advance.lane);
    const behind = blocked.some((other) => other.lane === advance.lane);
    if (lane === undefined || advance.generation !== lane.generation) {
      answered.push(advance);
    } else if (behind || !roomToBury(work, task, advance)) {
      blocked.push(advance);
    } else {
      for (const frame of advance.buried) bury(work, task, lane, frame);
      for (const sequence of advance.damaged) setAside(work, task, sequence);
      applyAdvance(work, lane, advance);
      answered.push(advance);
    }
  }
  return { answered, blocked };
}

/** The dead letters' share: when it is full, `hold` waits and `dropOldest` lets the oldest go. */
function roomToBury(work: Work, task: Task, advance: EgressToBuffer): boolean {
  const bytes = advance.buried.reduce((sum, frame) => sum + frame.body.byteLength, 0);
  const { state } = work;
  const missing = state.deadLetterBytes + state.damagedBytes + bytes - task.options.deadLetterBytes;
  if (bytes === 0 || missing <= 0 || state.deadLetters === 0) return true;
  if (task.options.whenFull === 'hold') return false;
  const gone = work.sql.deleteOldestDead(missing);
  state.deadLetters -= gone.letters;
  state.deadLetterBytes -= gone.bytes;
  work.report('bufferEvicted', { deadLetters: gone.letters, bytes: gone.bytes, reason: 'full' });
  return true;
}

function deleteDead({ sql, state }: Work, ids: readonly number[]): void {
  if (ids.length === 0) return;
  const gone = sql.deleteDead(ids);
  state.deadLetters -= gone.letters;
  state.deadLetterBytes -= gone.bytes;
}

function bury(
  work: Work,
  task: Task,
  lane: LaneState,
  frame: EgressToBuffer['buried'][number],
): void {
  work.sql.insertDead(lane.lane, frame, task.wallMs);
  work.state.deadLetters += 1;
  work.state.deadLetterBytes += frame.body.byteLength;
}

/** Its body is kept to be looked at, as long as the dead letters' share has room. */
function setAside(work: Work, task: Task, sequence: number): void {
  const { state, sql } = work;
  const [head] = sql.heads(sequence, sequence, 1);
  if (!head) return;
  const keep =
    state.deadLetterBytes + state.damagedBytes + head.bytes <= task.options.deadLetterBytes;
  if (!sql.setAside(sequence, task.wallMs, keep)) return;
  if (keep) state.damagedSegments += 1;
  if (keep) state.damagedBytes += head.bytes;
  work.report('bufferDamaged', { segment: sequence, frames: head.frames, kept: keep });
}

/** @param next what is about to be appended, which counts against the bound as well */
function skipLagging(work: Work, task: Task, next: SegmentHead | null): void {
  for (const lane of work.state.lanes.values()) {
    if (lane.lag?.over !== 'skip') continue;
    const bytes = lane.lag.bytes - (next ? incomingBytes(work, lane, next) : 0);
    if (lane.backlogFrames === 0) continue;
    const excess = beyond(work, lane, { bytes, sinceMs: task.livedMs - lane.lag.ageMs });
    if (excess.frames === 0) continue;
    const frames = jumpTo(work, lane, excess.segment, 'skipped');
    work.report('bufferSkipped', { lane: lane.lane, frames, segment: excess.segment });
  }
}

function evictAged(work: Work, task: Task): void {
  if (task.options.whenFull !== 'dropOldest') return;
  const gone = evictByAge(work, task.livedMs - task.options.ageMs);
  if (gone.frames > 0) work.report('bufferEvicted', { reason: 'age', ...gone });
}

/**
 * What adds nothing needs no room: the release of a Packet Identifier is never what waits.
 * @returns why the append has to wait
 */
function makeRoom(work: Work, task: Task, append: Append, next: SegmentHead | null): string | null {
  for (const lane of work.state.lanes.values()) {
    if (next === null || lane.lag?.over !== 'hold') continue;
    if (beyondLag(work, task, lane, next)) return `lag ${lane.lane}`;
  }
  const bytes = (next?.bytes ?? 0) + putBytes(append.sessions);
  if (bytes === 0 || task.capacity.missingFor(bytes) <= 0) return null;
  // With nothing behind any cursor, waiting would free nothing.
  if (lowestSegment(work.state) >= work.state.nextSequence && trimStep(work) === 0) return null;
  if (task.capacity.missingFor(bytes) <= 0) return null;
  if (task.options.whenFull === 'hold') return 'full';
  const gone = evictForRoom(work, task.capacity, bytes);
  if (gone.segments > 0) work.report('bufferEvicted', { reason: 'full', ...gone });
  return null;
}

function beyondLag(work: Work, task: Task, lane: LaneState, next: SegmentHead): boolean {
  const incoming = incomingBytes(work, lane, next);
  if (!lane.lag || incoming === 0 || lane.backlogFrames === 0) return false;
  if (lane.backlogBytes + incoming > lane.lag.bytes) return true;
  const sinceMs = task.livedMs - lane.lag.ageMs;
  return beyond(work, lane, { bytes: lane.backlogBytes, sinceMs }).frames > 0;
}

function incomingBytes(work: Work, lane: LaneState, next: SegmentHead): number {
  return shareBytes(next, work.routes.targeted(next.routes, lane.lane));
}

function insert(work: Work, task: Task, segment: SealedSegment): RouteRow[] {
  const head = headOf(segment);
  if (head.sequence !== work.state.nextSequence) {
    const place = `segment ${head.sequence} where ${work.state.nextSequence} is next`;
    throw new TidegateError('internal', `append of ${place}`);
  }
  const routes = work.routes.unstored(segment.routes);
  for (const route of routes) work.sql.insertRoute(route);
  const body = pack(Buffer.from(segment.body), task.options.compression);
  work.sql.insertSegment(head, segment.createdMs, body);
  countSegment(work.state, head);
  for (const lane of work.state.lanes.values()) {
    lane.appended += countBacklog(lane, head, work.routes);
  }
  return routes;
}

function headOf(segment: SealedSegment): SegmentHead {
  const { sequence, firstFrame, frames, livedMs, routes } = segment;
  return { sequence, firstFrame, frames, bytes: segment.body.byteLength, livedMs, routes };
}

/** Every outcome moves the position or `passed`, so that these four tell. */
function same(before: LaneState | undefined, after: LaneState): boolean {
  return (
    before !== undefined &&
    before.appended === after.appended &&
    before.passed === after.passed &&
    before.position.segment === after.position.segment &&
    before.position.frame === after.position.frame
  );
}
