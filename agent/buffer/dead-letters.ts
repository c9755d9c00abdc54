/**
 * Dead letters, worked with: which ones an operator means, and what each needs to go back into the
 * log. A replayed frame goes only to the lane that buried it, so its route is the stored definition
 * (or the present one of a name that was given) with that lane's targets and no other; the log
 * knows it by an id of its own. Reading only: what leaves the table leaves it in a transaction.
 */
import { replayBytes, replayFrames } from '../bounds.ts';
import type { Sqlite } from './database.ts';
import type {
  DeadSelection,
  LaneName,
  ReplayRequest,
  RouteDefinition,
  TakenLetter,
  TakenLetters,
} from './protocol.ts';
import type { Routes } from './routes.ts';

interface LetterRow {
  readonly id: number;
  readonly lane: LaneName;
  readonly route: number;
  readonly bytes: number;
}

export interface ReplayView {
  readonly db: Sqlite;
  readonly routes: Routes;
  /** Of the present config. */
  readonly definitions: readonly RouteDefinition[];
  readonly hasLane: (lane: LaneName) => boolean;
}

interface Where {
  readonly sql: string;
  readonly values: readonly (string | number)[];
}

/** At most a segment's worth of letters, oldest first. */
export function takeLetters(view: ReplayView, request: ReplayRequest): TakenLetters {
  const { db } = view;
  const upTo = request.upTo ?? newestId(db);
  const where = whereOf(request.selection, request.after, upTo);
  const rows = db
    .prepare<unknown[], LetterRow>(
      `SELECT id, lane, route, bytes FROM dead_letter ${where.sql} ORDER BY id LIMIT ?`,
    )
    .all(...where.values, replayFrames + 1);
  const bodyOf = db.prepare<[number], Buffer>('SELECT body FROM dead_letter WHERE id = ?').pluck();
  const letters: TakenLetter[] = [];
  const refused: { id: number; why: string }[] = [];
  let bytes = 0;
  let after = request.after;
  for (const row of rows.slice(0, replayFrames)) {
    bytes += row.bytes;
    if (bytes > replayBytes && letters.length > 0) break;
    after = row.id;
    const narrowed = narrow(view, row, request.route);
    const body = bodyOf.get(row.id);
    if (typeof narrowed === 'string') refused.push({ id: row.id, why: narrowed });
    else if (body) {
      const routeId = view.routes.reserve(narrowed);
      letters.push({ id: row.id, routeId, body: new Uint8Array(body) });
    }
  }
  const more = rows.some((row) => row.id > after);
  return { letters, refused, after, upTo, more };
}

/** The definition that leads to the lane of the letter only, or why there is none. */
function narrow(view: ReplayView, row: LetterRow, name: string | null): RouteDefinition | string {
  const { lane } = row;
  if (!view.hasLane(lane)) return `the buffer has no lane ${lane}`;
  const definition =
    name === null
      ? view.routes.definition(row.route)
      : view.definitions.find((route) => route.name === name);
  if (!definition) return name === null ? `route ${row.route} is lost` : `no route ${name}`;
  const targets = definition.targets.filter((target) => target.lane === lane);
  if (targets.length === 0) return `route ${definition.name} has no target in ${lane}`;
  return { ...definition, targets };
}

export function selectedIds(db: Sqlite, selection: DeadSelection): number[] {
  const where = whereOf(selection, 0, newestId(db));
  return db
    .prepare<unknown[], number>(`SELECT id FROM dead_letter ${where.sql} ORDER BY id`)
    .pluck()
    .all(...where.values);
}

/** After a failed sync: did the transaction that deleted these reach the disk? */
export function lettersGone(db: Sqlite, ids: readonly number[]): boolean {
  const sql = 'SELECT count(*) FROM dead_letter WHERE id IN (SELECT value FROM json_each(?))';
  return db.prepare<[string], number>(sql).pluck().get(JSON.stringify(ids)) === 0;
}

function newestId(db: Sqlite): number {
  return Number(db.prepare('SELECT coalesce(max(id), 0) FROM dead_letter').pluck().get());
}

function whereOf({ ids, lane, reason }: DeadSelection, after: number, upTo: number): Where {
  const parts: [string, string | number][] = [
    ['id > ?', after],
    ['id <= ?', upTo],
  ];
  if (lane !== null) parts.push(['lane = ?', lane]);
  if (reason !== null) parts.push(['reason = ?', reason]);
  if (ids !== null) parts.push(['id IN (SELECT value FROM json_each(?))', JSON.stringify(ids)]);
  const sql = `WHERE ${parts.map(([condition]) => condition).join(' AND ')}`;
  return { sql, values: parts.map(([, value]) => value) };
}
