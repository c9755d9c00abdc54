/**
 * Step 1 of salvage: what a damaged file still holds. Rows that SQLite gives are believed; the leaf
 * pages are asked only for what it did not reach, since they also show rows that were deleted long
 * ago. Bodies stay in the file until they are written: a long log does not pass through memory.
 */
import { messageOf } from '../errors.ts';
import { openPlain, type Sqlite } from './database.ts';
import { eachRawRow, type RawRow, type RawValue } from './raw-pages.ts';
import type { RouteRow } from './routes.ts';
import { type CursorRow, cursorColumns } from './statements.ts';

export interface FoundSegment {
  readonly sequence: number;
  readonly firstFrame: number;
  readonly frames: number;
  readonly bytes: number;
  readonly createdMs: number;
  readonly livedMs: number;
  readonly routes: string;
  readonly body: Buffer;
}

export interface FoundDead {
  readonly values: readonly RawValue[];
}

export interface Found {
  readonly routes: Map<number, RouteRow>;
  readonly cursors: Map<string, CursorRow>;
  readonly meta: Map<string, string>;
  readonly dead: Map<number, FoundDead>;
  /** Visits each segment once, in no order. */
  readonly segments: (visit: (segment: FoundSegment) => void) => void;
  /** Why SQLite stopped, or null where it went through. */
  readonly error: string | null;
}

type Columns = readonly RawValue[];
interface Table {
  readonly name: string;
  readonly key: string;
  readonly columns: readonly string[];
  /** One letter a column: i integer, t text, b blob, k the rowid itself (NULL in the record). */
  readonly shape: string;
}

const segmentTable: Table = {
  name: 'segment',
  key: 'sequence',
  columns: ['sequence', 'first_frame', 'frames', 'bytes', 'created', 'lived', 'routes', 'body'],
  shape: 'kiiiiitb',
};
const deadTable: Table = {
  name: 'dead_letter',
  key: 'id',
  columns: [
    ...['id', 'lane', 'reason', 'detail', 'route'],
    ...['segment', 'frame', 'created', 'bytes', 'body'],
  ],
  shape: 'ktttiiiiib',
};
const routeTable: Table = {
  name: 'route',
  key: 'id',
  columns: ['id', 'name', 'definition'],
  shape: 'ktt',
};
const cursorTable: Table = {
  name: 'cursor',
  key: 'lane',
  columns: cursorColumns,
  shape: 'tttiiiiiiiiiii',
};
const metaTable: Table = { name: 'meta', key: 'key', columns: ['key', 'value'], shape: 'tt' };

export function readOut(path: string): Found {
  const small = { routes: new Map(), cursors: new Map(), meta: new Map(), dead: new Map() };
  const { routes, cursors, meta, dead } = small;
  const takers: [Table, (row: Columns) => void][] = [
    [routeTable, (row) => keep(routes, row[0], routeOf(row))],
    [cursorTable, (row) => keep(cursors, row[0], cursorOf(row))],
    [metaTable, (row) => keep(meta, row[0], row[1])],
    [deadTable, (row) => keep(dead, row[0], { values: row })],
  ];
  let error: string | null = null;
  for (const [table, take] of takers) error = throughSqlite(path, table, take) ?? error;
  if (error !== null) throughPages(path, takers);
  return { ...small, segments: (visit) => readSegments(path, visit), error };
}

function readSegments(path: string, visit: (segment: FoundSegment) => void): void {
  const seen = new Set<RawValue>();
  const take = (row: Columns): void => {
    const segment = segmentOf(row);
    const whole = segment.body.length === segment.bytes || segment.body.length === 0;
    if (!whole || seen.has(segment.sequence)) return;
    seen.add(segment.sequence);
    visit(segment);
  };
  const error = throughSqlite(path, segmentTable, take);
  if (error !== null) throughPages(path, [[segmentTable, take]]);
}

/** Upward until an error, then downward to the same place. @returns the error, if any */
function throughSqlite(path: string, table: Table, take: (row: Columns) => void): string | null {
  let db: Sqlite | null = null;
  try {
    db = openPlain(path, { readonly: true });
    const low = walk(db, table, '>', 'ASC', null, take);
    if (low.error === null) return null;
    walk(db, table, '<', 'DESC', low.last, take);
    return low.error;
  } catch (error) {
    return messageOf(error);
  } finally {
    db?.close();
  }
}

function walk(
  db: Sqlite,
  table: Table,
  relation: '>' | '<',
  order: 'ASC' | 'DESC',
  until: RawValue,
  take: (row: Columns) => void,
): { last: RawValue; error: string | null } {
  const { name, key } = table;
  const from = `SELECT ${table.columns.join(', ')} FROM ${name}`;
  const end = `ORDER BY ${key} ${order} LIMIT 1`;
  let last: RawValue = null;
  try {
    const first = db.prepare<[], Columns>(`${from} ${end}`).raw();
    const next = db.prepare<[RawValue], Columns>(`${from} WHERE ${key} ${relation} ? ${end}`).raw();
    let row = first.get();
    while (row && (until === null || row[0] !== until)) {
      take(row);
      last = row[0] ?? null;
      row = next.get(last);
    }
    return { last, error: null };
  } catch (error) {
    return { last, error: messageOf(error) };
  }
}

function throughPages(path: string, takers: readonly [Table, (row: Columns) => void][]): void {
  eachRawRow(path, (raw) => {
    const found = takers.find(([table]) => fits(raw, table.shape));
    if (found) found[1](raw.rowid === null ? raw.values : [raw.rowid, ...raw.values.slice(1)]);
  });
}

function fits(raw: RawRow, shape: string): boolean {
  if (raw.values.length !== shape.length) return false;
  if ((raw.rowid !== null) !== shape.startsWith('k')) return false;
  return raw.values.every((value, index) => {
    if (shape[index] === 'i') return typeof value === 'number';
    if (shape[index] === 't') return typeof value === 'string';
    if (shape[index] === 'b') return Buffer.isBuffer(value);
    return value === null;
  });
}

/** The first one found is the one SQLite gave, where it gave one. */
function keep<T>(map: Map<RawValue, T>, key: RawValue | undefined, value: T): void {
  if (key !== undefined && !map.has(key)) map.set(key, value);
}

function routeOf([id, name, definition]: Columns): RouteRow {
  return { id: Number(id), name: String(name), definition: String(definition) };
}

function cursorOf(row: Columns): CursorRow {
  const entries = cursorColumns.map((column, index) => [column, row[index]]);
  return Object.fromEntries(entries) as CursorRow;
}

function segmentOf(row: Columns): FoundSegment {
  const [sequence, firstFrame, frames, bytes, createdMs, livedMs] = row.map(Number);
  const numbers = { sequence, firstFrame, frames, bytes, createdMs, livedMs };
  return { ...numbers, routes: String(row[6]), body: row[7] } as FoundSegment;
}
