/**
 * A read-only connection on the log, for egress and for the CLI. WAL readers do not block the
 * writer and are not blocked by it; each read runs to its end, so that no snapshot stays open and
 * the WAL can be emptied. The file must exist.
 */
import { fileBytes } from './capacity.ts';
import {
  canonicalPath,
  isDamage,
  openReadOnly,
  pragmaNumber,
  type Sqlite,
  type Statement,
} from './database.ts';
import { factsOf, gaugesOf, statOf } from './gauges.ts';
import { loadState } from './log-state.ts';
import { unpack } from './packing.ts';
import type { BufferStat, DeadLetter, RouteDefinition } from './protocol.ts';
import { parseDefinition, type RouteFrames, Routes } from './routes.ts';
import { eachHead, readMeta, readRoutes, type SegmentHead } from './statements.ts';

export interface StoredSegment {
  readonly sequence: number;
  readonly firstFrame: number;
  readonly frames: number;
  /** Plain, however it is stored. Empty when the segment was set aside as damaged. */
  readonly body: Buffer;
  readonly routes: RouteFrames;
}

interface SegmentRow extends Omit<StoredSegment, 'routes'> {
  readonly routes: string;
}

const columns = 'sequence, first_frame AS firstFrame, frames, routes';
const letterSelect =
  'SELECT d.id, d.lane, d.reason, d.detail, d.created AS createdMs, d.route AS routeId,' +
  " coalesce(r.name, '') AS routeName, d.bytes FROM dead_letter d" +
  ' LEFT JOIN route r ON r.id = d.route';
const deadLettersDefault = 100;
const complaintsMost = 20;

export class BufferReader {
  readonly #db: Sqlite;
  readonly #path: string;
  readonly #sizes: Statement<[number, number], { sequence: number; bytes: number }>;
  readonly #segments: Statement<[number, number], SegmentRow>;
  readonly #withoutBody: Statement<[number], SegmentRow>;
  readonly #route: Statement<[number], string>;
  readonly #routes = new Map<number, RouteDefinition>();

  /** @throws TidegateError bufferCannotOpen | bufferNewer | bufferNotDurable */
  constructor(path: string) {
    this.#path = canonicalPath(path);
    this.#db = openReadOnly(this.#path);
    this.#sizes = this.#db.prepare(
      'SELECT sequence, bytes FROM segment WHERE sequence >= ? ORDER BY sequence LIMIT ?',
    );
    this.#segments = this.#db.prepare(
      `SELECT ${columns}, body FROM segment WHERE sequence BETWEEN ? AND ? ORDER BY sequence`,
    );
    this.#withoutBody = this.#db.prepare(
      `SELECT ${columns}, x'' AS body FROM segment WHERE sequence = ?`,
    );
    this.#route = this.#db.prepare<[number], string>('SELECT definition FROM route WHERE id = ?');
    this.#route.pluck();
  }

  /** Committed segments from `fromSegment` on: at least one if there is any, oldest first. */
  read(fromSegment: number, maxBytes: number, maxSegments: number): StoredSegment[] {
    let bytes = 0;
    let last: number | null = null;
    for (const row of this.#sizes.all(fromSegment, maxSegments)) {
      bytes += row.bytes;
      if (last !== null && bytes > maxBytes) break;
      last = row.sequence;
    }
    if (last === null) return [];
    const rows = this.#rows(fromSegment, last);
    return rows.map((row) => {
      const routes = JSON.parse(row.routes) as RouteFrames;
      return { ...row, body: unpack(row.body), routes };
    });
  }

  /** A body whose pages SQLite cannot follow is read as empty, and the others are read. */
  #rows(first: number, last: number): SegmentRow[] {
    try {
      return this.#segments.all(first, last);
    } catch (error) {
      if (!isDamage(error)) throw error;
      if (first === last) return this.#withoutBody.all(first);
    }
    const { sequence } = this.#nextOf(first) ?? { sequence: first };
    const rest = sequence < last ? this.#rows(sequence + 1, last) : [];
    return [...this.#rows(sequence, sequence), ...rest];
  }

  #nextOf(first: number): { sequence: number } | undefined {
    return this.#sizes.all(first, 1)[0];
  }

  route(id: number): RouteDefinition | undefined {
    const known = this.#routes.get(id);
    if (known) return known;
    const text = this.#route.get(id);
    if (text === undefined) return undefined;
    const definition = parseDefinition(text);
    this.#routes.set(id, definition);
    return definition;
  }

  /** Dead letters in the order of their burial. */
  deadLetters(afterId = 0, most = deadLettersDefault): DeadLetter[] {
    const sql = `${letterSelect} WHERE d.id > ? ORDER BY d.id LIMIT ?`;
    return this.#db.prepare<[number, number], DeadLetter>(sql).all(afterId, most);
  }

  deadLetter(id: number): DeadLetter | undefined {
    return this.#db.prepare<[number], DeadLetter>(`${letterSelect} WHERE d.id = ?`).get(id);
  }

  /** The frame of a dead letter, as its segment held it. */
  deadLetterBody(id: number): Buffer | undefined {
    const sql = 'SELECT body FROM dead_letter WHERE id = ?';
    return this.#db.prepare<[number], Buffer>(sql).pluck().get(id);
  }

  /** Reads the head of every segment. Lanes are shown as configured: the file does not know. */
  stat(): BufferStat {
    const state = this.#db.transaction(() =>
      loadState(this.#db, new Routes(readRoutes(this.#db)), null),
    )();
    const pageBytes = pragmaNumber(this.#db, 'page_size');
    const count = pragmaNumber(this.#db, 'page_count');
    const freePages = pragmaNumber(this.#db, 'freelist_count');
    const walBytes = fileBytes(`${this.#path}-wal`);
    const usedBytes = (count - freePages) * pageBytes + walBytes;
    const fill = { usedBytes, fileBytes: count * pageBytes, walBytes, freePages };
    const sql = { heads: (first: number) => this.#firstHead(first) };
    const view = { state, sql, livedMs: state.livedMs, fill };
    const gauges = gaugesOf(view, Number(readMeta(this.#db, 'limitBytes') ?? 0), null);
    const lanes = gauges.lanes.map((lane) => ({ ...lane, configured: true }));
    return statOf({ ...gauges, lanes }, state, factsOf(this.#db));
  }

  /** What SQLite finds wrong with the pages, in its words; nothing where they are whole. */
  integrity(): string[] {
    const found = this.#db.pragma(`quick_check(${complaintsMost})`) as { quick_check: string }[];
    return found.map((row) => row.quick_check).filter((line) => line !== 'ok');
  }

  meta(key: string): string | undefined {
    return readMeta(this.#db, key);
  }

  close(): void {
    this.#db.close();
  }

  #firstHead(first: number): SegmentHead[] {
    const found: SegmentHead[] = [];
    eachHead(this.#db, (head) => {
      if (found.length === 0 && head.sequence >= first) found.push(head);
    });
    return found;
  }
}
