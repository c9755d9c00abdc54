/**
 * Steps 2 and 3 of salvage: the new file. Everything found goes in; then each lane's account is
 * made to agree with the segments that are there: frames that are gone count as `damaged`.
 */
import type { Sqlite } from './database.ts';
import { emptyRow, loadState, sumOutcomes, toRow } from './log-state.ts';
import type { Delivery, LaneName } from './protocol.ts';
import { parseDefinition, type RouteFrames, Routes } from './routes.ts';
import type { Found, FoundSegment } from './salvage-read.ts';
import { type CursorRow, readRoutes, Statements } from './statements.ts';

/** The new file is no buffer before it is complete; commits only keep its WAL short. */
const segmentsPerCommit = 256;

/** For the event. */
export interface Written {
  readonly segments: number;
  readonly frames: number;
  readonly deadLetters: number;
  readonly sessions: number;
  readonly lostFrames: number;
  readonly error: string | null;
}

/**
 * Values kept from the old file; the epoch is always new. The configs that an agent starts with are
 * among them, and what a gateway remembers of its fleet, so that nothing old comes back.
 */
const keptMeta = new Set(['livedMs', 'config', 'local', 'fleet']);

export function writeSalvaged(db: Sqlite, found: Found): Written {
  const sql = new Statements(db);
  sql.begin();
  const { segments, frames } = writeSegments(sql, found);
  for (const route of found.routes.values()) if (parses(route.definition)) sql.insertRoute(route);
  writeMissingRoutes(db, sql);
  for (const [key, value] of found.meta) if (keptMeta.has(key)) sql.putMeta(key, value);
  const insertDead = db.prepare('INSERT INTO dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)');
  for (const letter of found.dead.values()) insertDead.run(...letter.values);
  const insertSession = db.prepare('INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)');
  for (const row of found.sessions.values()) insertSession.run(...row.values);
  const cursors = [...found.cursors.values()];
  for (const row of [...cursors, ...lostCursors(db, found)]) sql.putCursor(row);
  const next = Math.max(0, ...cursors.map((row) => row.segment));
  sql.putMeta('nextSequence', String(next));
  const lostFrames = settleAccounts(db, sql);
  sql.commit();
  const kept = { deadLetters: found.dead.size, sessions: found.sessions.size };
  return { segments, frames, ...kept, lostFrames, error: found.error };
}

/** Below the lowest cursor there are only rows that were trimmed before. */
function writeSegments(sql: Statements, found: Found): { segments: number; frames: number } {
  const lowest = Math.min(...[...found.cursors.values()].map((row) => row.segment));
  const known = found.cursors.size > 0;
  let segments = 0;
  let frames = 0;
  found.segments((segment) => {
    const routes = parseRoutes(segment);
    if (!routes || (known && segment.sequence < lowest)) return;
    sql.insertSegment({ ...segment, routes }, segment.createdMs, segment.body);
    segments += 1;
    frames += segment.frames;
    if (segments % segmentsPerCommit !== 0) return;
    sql.commit();
    sql.begin();
  });
  return { segments, frames };
}

/** An id that frames refer to must never be given to another route. */
function writeMissingRoutes(db: Sqlite, sql: Statements): void {
  const stored = new Set(readRoutes(db).map((row) => row.id));
  const used = db
    .prepare<[], string>('SELECT DISTINCT routes FROM segment')
    .pluck()
    .all()
    .flatMap((text) => (JSON.parse(text) as RouteFrames).map(([id]) => id));
  for (const id of new Set(used)) {
    if (stored.has(id)) continue;
    const lost = { name: `lost-${id}`, from: '', gateway: '', targets: [] };
    sql.insertRoute({ id, name: lost.name, definition: JSON.stringify(lost) });
  }
}

/** Rather twice than never, except where the lane said at most once. */
function lostCursors(db: Sqlite, found: Found): CursorRow[] {
  const lanes = new Set<LaneName>();
  for (const row of readRoutes(db)) {
    for (const target of parseDefinition(row.definition).targets) lanes.add(target.lane);
  }
  const ends = sequenceEnds(db);
  return [...lanes]
    .filter((lane) => !found.cursors.has(lane))
    .map((lane) => {
      const cut = lane.lastIndexOf('/');
      const delivery = lane.slice(cut + 1) as Delivery;
      const segment = delivery === 'at-most-once' ? ends.next : ends.first;
      return emptyRow({ lane, upstream: lane.slice(0, cut), delivery }, segment);
    });
}

function sequenceEnds(db: Sqlite): { first: number; next: number } {
  const sql = 'SELECT min(sequence) AS first, max(sequence) + 1 AS next FROM segment';
  const row = db.prepare<[], { first: number | null; next: number | null }>(sql).get();
  return { first: row?.first ?? 0, next: row?.next ?? 0 };
}

/** @returns frames that lanes had not passed and that are gone */
function settleAccounts(db: Sqlite, sql: Statements): number {
  const state = loadState(db, new Routes(readRoutes(db)), null);
  let lost = 0;
  for (const lane of state.lanes.values()) {
    if (!sql.has(lane.position.segment)) {
      lane.backlogFrames += lane.passed;
      lane.passed = 0;
      lane.position = { segment: lane.position.segment, frame: 0 };
    }
    const gone = lane.appended - sumOutcomes(lane.counts) - lane.backlogFrames;
    lane.counts.damaged += Math.max(0, gone);
    lane.appended += Math.max(0, -gone);
    lost += Math.max(0, gone);
    sql.putCursor(toRow(lane));
  }
  return lost;
}

function parseRoutes(segment: FoundSegment): RouteFrames | null {
  try {
    return JSON.parse(segment.routes) as RouteFrames;
  } catch {
    return null;
  }
}

function parses(definition: string): boolean {
  try {
    return Array.isArray(parseDefinition(definition).targets);
  } catch {
    return false;
  }
}
