/**
 * Step 1 of salvage: what a damaged file still holds. Rows that SQLite gives are believed; the
 * pages are asked only for what it did not reach, since they may also show rows that were deleted
 * long ago (where the map of free pages is in ruins too). Bodies stay in the file until they are
 * written: a long log does not pass through memory.
 */
import { messageOf } from '../errors.ts';
import { openPlain, type Sqlite } from './database.ts';
import { unpack } from './packing.ts';
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

/** In the order of its table's columns. */
export interface FoundRow {
  readonly values: readonly RawValue[];
}

export interface Found {
  readonly routes: Map<number, RouteRow>;
  readonly cursors: Map<string, CursorRow>;
  readonly meta: Map<string, string>;
  readonly dead: Map<number, FoundRow>;
  readonly sessions: Map<string, FoundRow>;
  /** Visits each segment once, in no order. */
  readonly segments: (visit: (segment: FoundSegment) => void) => void;
  /** Why SQLite stopped, or null where it went through. */
  readonly error: string | null;
}

type Columns = readonly RawValue[];
interface Table {
  readonly name: string;
  /** Columns that stand first and are the primary key. */
  readonly keys: number;
  readonly columns: readonly string[];
  /** One letter a column: i integer, t text, b blob, k the rowid itself (NULL in the record). */
  readonly shape: string;
}

const segmentTable: Table = {
  name: 'segment',
  keys: 1,
  columns: ['sequence', 'first_frame', 'frames', 'bytes', 'created', 'lived', 'routes', 'body'],
  shape: 'kiiiiitb',
};
const deadTable: Table = {
  name: 'dead_letter',
  keys: 1,
  columns: [
    ...['id', 'lane', 'reason', 'detail', 'route'],
    ...['segment', 'frame', 'created', 'bytes', 'body'],
  ],
  shape: 'ktttiiiiib',
};
const routeTable: Table = {
  name: 'route',
  keys: 1,
  columns: ['id', 'name', 'definition'],
  shape: 'ktt',
};
const cursorTable: Table = {
  name: 'cursor',
  keys: 1,
  columns: cursorColumns,
  shape: 'tttiiiiiiiiiii',
};
const metaTable: Table = { name: 'meta', keys: 1, columns: ['key', 'value'], shape: 'tt' };
const sessionTable: Table = {
  name: 'session',
  keys: 4,
  columns: ['scope', 'client', 'kind', 'id', 'lived', 'body'],
  shape: 'tttiib',
};

export function readOut(path: string): Found {
  const log = { routes: new Map(), cursors: new Map(), meta: new Map() };
  const small = { ...log, dead: new Map(), sessions: new Map() };
  const { routes, cursors, meta, dead, sessions } = small;
  const takers: [Table, (row: Columns) => void][] = [
    [routeTable, (row) => keep(routes, row[0], routeOf(row))],
    [cursorTable, (row) => keep(cursors, row[0], cursorOf(row))],
    [metaTable, (row) => keep(meta, row[0], row[1])],
    [deadTable, (row) => keep(dead, row[0], { values: row })],
    [sessionTable, (row) => keep(sessions, JSON.stringify(row.slice(0, 4)), { values: row })],
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
    if (seen.has(segment.sequence) || !isWhole(segment)) return;
    seen.add(segment.sequence);
    visit(segment);
  };
  const error = throughSqlite(path, segmentTable, take);
  if (error !== null) throughPages(path, [[segmentTable, take]]);
}

/** A body is kept as it is stored; set aside before, it is empty. */
function isWhole({ body, bytes }: FoundSegment): boolean {
  return body.length === 0 || body.length === bytes || unpack(body).length === bytes;
}

/** Upward until an error, then downward to the same place. @returns the error, if any */
function throughSqlite(path: string, table: Table, take: (row: Columns) => void): string | null {
  let db: Sqlite | null = null;
  try {
    db = openPlain(path, { readonly: true });
    const low = walk(db, table, '>', 'ASC', null, take);
    if (low.error === null) return null;
    walk(db, table, '<', 'DESC', low.last, take);
    return low.error === lacksSessions ? null : low.error;
  } catch (error) {
    return messageOf(error);
  } finally {
    db?.close();
  }
}

/** What SQLite says of a file of layout 1: nothing is lost with a table it never had. */
const lacksSessions = 'no such table: session';

function walk(
  db: Sqlite,
  table: Table,
  relation: '>' | '<',
  order: 'ASC' | 'DESC',
  until: Columns | null,
  take: (row: Columns) => void,
): { last: Columns | null; error: string | null } {
  const key = table.columns.slice(0, table.keys);
  const from = `SELECT ${table.columns.join(', ')} FROM ${table.name}`;
  const end = `ORDER BY ${key.map((column) => `${column} ${order}`).join(', ')} LIMIT 1`;
  const past = `(${key.join(', ')}) ${relation} (${key.map(() => '?').join(', ')})`;
  let last: Columns | null = null;
  try {
    const first = db.prepare<[], Columns>(`${from} ${end}`).raw();
    const next = db.prepare<RawValue[], Columns>(`${from} WHERE ${past} ${end}`).raw();
    let row = first.get();
    while (row && !row.slice(0, table.keys).every((value, at) => value === until?.[at])) {
      take(row);
      last = row.slice(0, table.keys);
      row = next.get(...last);
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
