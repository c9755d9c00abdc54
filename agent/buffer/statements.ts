/**
 * The SQL of the writer, prepared once a connection. No policy: what is written when stands in
 * writer.ts. Every statement runs to its end (`get`, `all`, `run`), so that none stays open and
 * holds a snapshot.
 */
import type { Sqlite, Statement } from './database.ts';
import type { BuriedFrame, LaneName } from './protocol.ts';
import type { RouteFrames, RouteRow } from './routes.ts';
import { Sessions } from './sessions.ts';

/** A segment without its body. */
export interface SegmentHead {
  readonly sequence: number;
  readonly firstFrame: number;
  readonly frames: number;
  readonly bytes: number;
  readonly livedMs: number;
  readonly routes: RouteFrames;
}

/** In the order of `headColumns`. Raw rows: an object a row costs as much as finding it. */
type HeadRow = [number, number, number, number, number, string];

export interface CursorRow {
  lane: LaneName;
  upstream: string;
  delivery: string;
  segment: number;
  frame: number;
  passed: number;
  appended: number;
  confirmed: number;
  buried: number;
  evicted: number;
  expired: number;
  damaged: number;
  skipped: number;
  sent_once: number;
}

export interface DeadSums {
  readonly letters: number;
  readonly bytes: number;
}

const headColumns = 'sequence, first_frame, frames, bytes, lived, routes';
export const cursorColumns = [
  'lane',
  'upstream',
  'delivery',
  'segment',
  'frame',
  'passed',
  'appended',
  'confirmed',
  'buried',
  'evicted',
  'expired',
  'damaged',
  'skipped',
  'sent_once',
] as const satisfies readonly (keyof CursorRow)[];

export class Statements {
  readonly sessions: Sessions;
  readonly #db: Sqlite;
  readonly #heads: Statement<[number, number, number], HeadRow>;
  readonly #insertSegment: Statement<unknown[], unknown>;
  readonly #hasSegment: Statement<[number], number>;
  readonly #deleteUpTo: Statement<[number], unknown>;
  readonly #insertRoute: Statement<[RouteRow], unknown>;
  readonly #putCursor: Statement<[CursorRow], unknown>;
  readonly #putMeta: Statement<[string, string], unknown>;
  readonly #insertDead: Statement<unknown[], unknown>;
  readonly #setAside: Statement<[number, number], unknown>;
  readonly #emptyBody: Statement<[number], unknown>;
  readonly #pageCount: Statement<[], number>;
  readonly #freePages: Statement<[], number>;
  readonly #begin: Statement<[], unknown>;
  readonly #commit: Statement<[], unknown>;

  constructor(db: Sqlite) {
    this.#db = db;
    this.sessions = new Sessions(db);
    this.#heads = db.prepare(
      `SELECT ${headColumns} FROM segment WHERE sequence BETWEEN ? AND ? ORDER BY sequence LIMIT ?`,
    );
    this.#heads.raw();
    this.#insertSegment = db.prepare(
      'INSERT INTO segment (sequence, first_frame, frames, bytes, created, lived, routes, body)' +
        ' VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    );
    this.#hasSegment = db.prepare<[number], number>('SELECT 1 FROM segment WHERE sequence = ?');
    this.#hasSegment.pluck();
    this.#deleteUpTo = db.prepare('DELETE FROM segment WHERE sequence <= ?');
    this.#insertRoute = db.prepare(
      'INSERT INTO route (id, name, definition) VALUES (@id, @name, @definition)',
    );
    const values = cursorColumns.map((column) => `@${column}`).join(', ');
    this.#putCursor = db.prepare(
      `INSERT OR REPLACE INTO cursor (${cursorColumns.join(', ')}) VALUES (${values})`,
    );
    this.#putMeta = db.prepare('INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)');
    this.#insertDead = db.prepare(
      'INSERT INTO dead_letter' +
        ' (lane, reason, detail, route, segment, frame, created, bytes, body)' +
        ' VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)',
    );
    this.#setAside = db.prepare(
      'INSERT OR IGNORE INTO damaged_segment SELECT sequence, routes, first_frame, frames, bytes,' +
        ' created, ?, body FROM segment WHERE sequence = ? AND length(body) > 0',
    );
    this.#emptyBody = db.prepare("UPDATE segment SET body = x'' WHERE sequence = ?");
    this.#pageCount = db.prepare<[], number>('PRAGMA page_count').pluck();
    this.#freePages = db.prepare<[], number>('PRAGMA freelist_count').pluck();
    this.#begin = db.prepare('BEGIN IMMEDIATE');
    this.#commit = db.prepare('COMMIT');
  }

  begin(): void {
    this.#begin.run();
  }

  commit(): void {
    this.#commit.run();
  }

  /** After any error: SQLite may have rolled back by itself. */
  rollback(): void {
    if (this.#db.open && this.#db.inTransaction) this.#db.exec('ROLLBACK');
  }

  /** Heads from `first` to `last`, both included, oldest first. */
  heads(first: number, last: number, most: number): SegmentHead[] {
    return this.#heads.all(first, last, most).map(headOf);
  }

  eachHead(visit: (head: SegmentHead) => void): void {
    eachHead(this.#db, visit);
  }

  has(sequence: number): boolean {
    return this.#hasSegment.get(sequence) !== undefined;
  }

  insertSegment(head: SegmentHead, createdMs: number, body: Uint8Array): void {
    const { sequence, firstFrame, frames, bytes } = head;
    const routes = JSON.stringify(head.routes);
    const created = Math.round(createdMs);
    const lived = Math.round(head.livedMs);
    this.#insertSegment.run(sequence, firstFrame, frames, bytes, created, lived, routes, body);
  }

  deleteUpTo(sequence: number): void {
    this.#deleteUpTo.run(sequence);
  }

  insertRoute(row: RouteRow): void {
    this.#insertRoute.run(row);
  }

  putCursor(row: CursorRow): void {
    this.#putCursor.run(row);
  }

  putMeta(key: string, value: string): void {
    this.#putMeta.run(key, value);
  }

  meta(key: string): string | undefined {
    return readMeta(this.#db, key);
  }

  insertDead(lane: LaneName, frame: BuriedFrame, createdMs: number): void {
    const { reason, detail, routeId, segment, body } = frame;
    const place = [routeId, segment, frame.frame, Math.round(createdMs)];
    this.#insertDead.run(lane, reason, detail, ...place, body.byteLength, body);
  }

  /** Oldest dead letters, until at least `bytes` are gone. */
  deleteOldestDead(bytes: number): DeadSums {
    const rows = this.#db
      .prepare<[], { id: number; bytes: number }>('SELECT id, bytes FROM dead_letter ORDER BY id')
      .all();
    let gone = 0;
    let letters = 0;
    let lastId = 0;
    for (const row of rows) {
      if (gone >= bytes) break;
      gone += row.bytes;
      letters += 1;
      lastId = row.id;
    }
    this.#db.prepare('DELETE FROM dead_letter WHERE id <= ?').run(lastId);
    return { letters, bytes: gone };
  }

  /** Those that are there of these. */
  deleteDead(ids: readonly number[]): DeadSums {
    const text = JSON.stringify(ids);
    const where = 'WHERE id IN (SELECT value FROM json_each(?))';
    const sums = 'SELECT count(*) AS letters, coalesce(sum(bytes), 0) AS bytes FROM dead_letter';
    const gone = this.#db.prepare<[string], DeadSums>(`${sums} ${where}`).get(text);
    this.#db.prepare(`DELETE FROM dead_letter ${where}`).run(text);
    return gone ?? { letters: 0, bytes: 0 };
  }

  /** Moves a body to damaged_segment (or lets it go), and leaves the emptied row in the log. */
  setAside(sequence: number, noticedMs: number, keep: boolean): boolean {
    const moved = keep ? this.#setAside.run(Math.round(noticedMs), sequence).changes > 0 : true;
    if (moved) this.#emptyBody.run(sequence);
    return moved;
  }

  pages(): { count: number; free: number } {
    return { count: this.#pageCount.get() ?? 0, free: this.#freePages.get() ?? 0 };
  }

  giveBackPages(most: number): void {
    this.#db.pragma(`incremental_vacuum(${most})`);
  }

  tuneCheckpoints(pages: number, walBytes: number): void {
    this.#db.pragma(`wal_autocheckpoint = ${pages}`);
    this.#db.pragma(`journal_size_limit = ${walBytes}`);
  }

  /** @returns false when a reader was in the way */
  checkpoint(): boolean {
    const rows = this.#db.pragma('wal_checkpoint(TRUNCATE)') as { busy: number }[];
    return rows[0]?.busy === 0;
  }
}

function headOf(row: HeadRow): SegmentHead {
  const [sequence, firstFrame, frames, bytes, livedMs, routes] = row;
  const parsed = JSON.parse(routes) as RouteFrames;
  return { sequence, firstFrame, frames, bytes, livedMs, routes: parsed };
}

export function readMeta(db: Sqlite, key: string): string | undefined {
  return db.prepare<[string], string>('SELECT value FROM meta WHERE key = ?').pluck().get(key);
}

export function readRoutes(db: Sqlite): RouteRow[] {
  return db.prepare<[], RouteRow>('SELECT id, name, definition FROM route ORDER BY id').all();
}

export function readCursors(db: Sqlite): CursorRow[] {
  return db
    .prepare<[], CursorRow>(`SELECT ${cursorColumns.join(', ')} FROM cursor ORDER BY lane`)
    .all();
}

export function readDeadSums(db: Sqlite): DeadSums {
  const sql = 'SELECT count(*) AS letters, coalesce(sum(bytes), 0) AS bytes FROM dead_letter';
  return db.prepare<[], DeadSums>(sql).get() ?? { letters: 0, bytes: 0 };
}

export function readDamagedSums(db: Sqlite): DeadSums {
  const sql = 'SELECT count(*) AS letters, coalesce(sum(bytes), 0) AS bytes FROM damaged_segment';
  return db.prepare<[], DeadSums>(sql).get() ?? { letters: 0, bytes: 0 };
}

/** All heads, a page at a time, so that a long log needs no long list. */
export function eachHead(db: Sqlite, visit: (head: SegmentHead) => void): void {
  const page = db.prepare<[number, number], HeadRow>(
    `SELECT ${headColumns} FROM segment WHERE sequence > ? ORDER BY sequence LIMIT ?`,
  );
  page.raw();
  const rowsPerPage = 1_024;
  let after = -1;
  for (;;) {
    const rows = page.all(after, rowsPerPage);
    for (const row of rows) visit(headOf(row));
    const last = rows.at(-1);
    if (!last) return;
    after = last[0];
  }
}
