/**
 * After a failed sync. The kernel reports such an error once, marks the pages clean, and shows what
 * was written to every reader, on the disk or not; so neither a second fsync nor reading back
 * proves anything. What does: close, reopen, and wal_checkpoint(TRUNCATE), which writes every page
 * of the WAL into the file anew and syncs it. If that succeeds, all that SQLite shows now is on
 * disk.
 *
 * The failed transaction may have come through with it (its pages were in the WAL): then it must
 * not be done twice. It was atomic, so any of its rows tells for all: its segment, else the cursors
 * it moved, else the sessions it changed and the dead letters it discarded (which may have been so
 * before: then it is on disk, and that is all that was asked).
 */
import { TidegateError } from '../errors.ts';
import { openWriter, type Sqlite } from './database.ts';
import { lettersGone } from './dead-letters.ts';
import { sessionsHold } from './sessions.ts';
import { type CursorRow, readCursors, Statements } from './statements.ts';
import type { Append } from './transaction.ts';

/** A reader may stand in the way of TRUNCATE for a moment. */
const checkpointAttempts = 20;

export interface Reopened {
  readonly db: Sqlite;
  readonly sql: Statements;
}

/** @throws whatever SQLite says when reopening or the checkpoint fails */
export function reopenAfterSync(log: {
  readonly db: Sqlite;
  readonly path: string;
  readonly checkpointPages: number;
}): Reopened {
  log.db.close();
  const db = openWriter(log.path, { checkpointPages: log.checkpointPages });
  try {
    const sql = new Statements(db);
    checkpointWhole(sql);
    return { db, sql };
  } catch (error) {
    db.close();
    throw error;
  }
}

/**
 * Also at every start: the run before may have ended by just such a failure, and commits behind WAL
 * pages that are not on the disk would be lost with them.
 */
export function checkpointWhole(sql: Statements): void {
  for (let attempt = 0; attempt < checkpointAttempts; attempt++) {
    if (sql.checkpoint()) return;
  }
  throw new TidegateError('bufferSyncFailed', 'readers kept the checkpoint from running');
}

/** Did the transaction whose COMMIT failed reach the file all the same? */
export function wasApplied(
  db: Sqlite,
  changed: readonly CursorRow[],
  append: Append | null,
  discarded: readonly number[] = [],
): boolean {
  if (append?.segment) return new Statements(db).has(append.segment.sequence);
  const stored = new Map(readCursors(db).map((row) => [row.lane, JSON.stringify(row)]));
  const moved = changed.every((row) => stored.get(row.lane) === JSON.stringify(row));
  return moved && lettersGone(db, discarded) && sessionsHold(db, append?.sessions ?? []);
}
