/**
 * The one file that opens SQLite. Owns: connections and their pragmas, the layout's version.
 *
 * Every connection, reader or writer, gets journal_mode=WAL and synchronous=FULL, and is asked
 * afterwards what it has: better-sqlite3 is compiled with WAL's default of NORMAL, which loses the
 * last commits at a power cut, and a file system without shared memory silently stays out of WAL.
 *
 * auto_vacuum=INCREMENTAL stands before the first table, because it cannot be turned on later
 * without rewriting the file. Layouts go forward only, one step a version, all of them in one
 * transaction; a file from a newer tidegate, or another program's database, is refused untouched.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import Database from 'better-sqlite3';
import { messageOf, TidegateError } from '../errors.ts';

export type Sqlite = Database.Database;
export type Statement<P extends unknown[], R> = Database.Statement<P, R>;

/** synchronous: 0 OFF, 1 NORMAL, 2 FULL, 3 EXTRA. */
const synchronousFull = 2;
/** auto_vacuum: 0 none, 1 full, 2 incremental. */
const autoVacuumIncremental = 2;
/** 'TGDB': what `file` and we know the database by. */
const applicationId = 0x54474442;
const epochBytes = 8;
const ownerOnly = 0o600;
/** How long a reader waits while another connection recovers the WAL. */
const readerBusyMs = 5_000;
/** A checkpoint waits this long for readers; then it is tried again later. */
const writerBusyMs = 250;
/** Page caches, KiB: bodies are written once and read once, so that there is little to keep. */
const writerCacheKib = 4_096;
const readerCacheKib = 1_024;

/** Step n makes layout n+1 from layout n. */
export const migrations: readonly string[] = ['schema.sql', 'schema-2.sql', 'schema-3.sql'].map(
  (name) => readFileSync(new URL(`./${name}`, import.meta.url), 'utf8'),
);

/** @param checkpointPages pages in the WAL after which a commit moves them into the file */
export interface WriterTuning {
  readonly checkpointPages: number;
}

/** The path all processes agree on, whatever links lead there. */
export function canonicalPath(path: string): string {
  const absolute = resolve(path);
  if (existsSync(absolute)) return realpathSync(absolute);
  const folder = dirname(absolute);
  return existsSync(folder) ? join(realpathSync(folder), basename(absolute)) : absolute;
}

export function sqliteCode(error: unknown): string {
  return error instanceof Database.SqliteError ? error.code : '';
}

/** NOTADB or CORRUPT: what salvage is for. */
export function isDamage(error: unknown): boolean {
  const code = sqliteCode(error);
  return code === 'SQLITE_NOTADB' || code.startsWith('SQLITE_CORRUPT');
}

export function isDiskFull(error: unknown): boolean {
  return sqliteCode(error) === 'SQLITE_FULL' || (error as { code?: string }).code === 'ENOSPC';
}

export function isInputOutput(error: unknown): boolean {
  return sqliteCode(error).startsWith('SQLITE_IOERR');
}

export function pragmaNumber(db: Sqlite, name: string): number {
  return Number(db.pragma(name, { simple: true }));
}

/** @throws TidegateError bufferNotDurable when SQLite has not taken what promise 1 stands on */
export function assertDurable(db: Sqlite): void {
  const mode = String(db.pragma('journal_mode', { simple: true }));
  const level = pragmaNumber(db, 'synchronous');
  if (mode === 'wal' && level === synchronousFull) return;
  const found = `journal_mode=${mode}, synchronous=${level}`;
  throw new TidegateError('bufferNotDurable', `${db.name} has ${found}`);
}

/** A connection that never meets the log: the lock file, or a damaged file being read out. */
export function openPlain(path: string, options: { readonly readonly: boolean }): Sqlite {
  return connect(path, { readonly: options.readonly, timeout: 0 });
}

export function openReadOnly(path: string): Sqlite {
  if (!existsSync(path)) throw new TidegateError('bufferCannotOpen', `there is no file ${path}`);
  const db = connect(path, { readonly: true, timeout: readerBusyMs });
  return closeUnless(db, () => {
    refuseStrangers(db);
    db.pragma('synchronous = FULL');
    db.pragma(`cache_size = -${readerCacheKib}`);
    assertDurable(db);
  });
}

/**
 * Opens for writing, makes the file where there is none, and brings its layout up to date.
 * @throws TidegateError bufferCannotOpen | bufferNewer | bufferNotDurable, or SQLite's own error
 */
export function openWriter(path: string, tuning: WriterTuning, steps = migrations): Sqlite {
  const db = connect(path, { readonly: false, timeout: writerBusyMs });
  return closeUnless(db, () => {
    const fresh = refuseStrangers(db, steps.length);
    // Said to a file that has it, this would still write a page.
    if (fresh) db.pragma(`auto_vacuum = ${autoVacuumIncremental}`);
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    assertDurable(db);
    db.pragma(`cache_size = -${writerCacheKib}`);
    db.pragma(`wal_autocheckpoint = ${tuning.checkpointPages}`);
    const pageBytes = pragmaNumber(db, 'page_size');
    db.pragma(`journal_size_limit = ${tuning.checkpointPages * pageBytes}`);
    migrate(db, steps);
    if (pragmaNumber(db, 'auto_vacuum') !== autoVacuumIncremental) {
      throw new TidegateError('bufferCannotOpen', `${path} has no auto_vacuum=INCREMENTAL`);
    }
  });
}

/** All missing steps in one transaction: a crash in between leaves the old layout. */
function migrate(db: Sqlite, steps: readonly string[]): void {
  const run = db.transaction(() => {
    const from = pragmaNumber(db, 'user_version');
    if (from === steps.length) return;
    for (const step of steps.slice(from)) db.exec(step);
    if (from === 0) {
      db.pragma(`application_id = ${applicationId}`);
      const epoch = randomBytes(epochBytes).toString('hex');
      db.prepare("INSERT INTO meta (key, value) VALUES ('epoch', ?)").run(epoch);
    }
    db.pragma(`user_version = ${steps.length}`);
  });
  run.immediate();
}

/** @returns whether there is nothing in the file yet */
function refuseStrangers(db: Sqlite, newest = migrations.length): boolean {
  const version = pragmaNumber(db, 'user_version');
  const tables = Number(db.prepare('SELECT count(*) FROM sqlite_schema').pluck().get());
  if (tables === 0 && version === 0) return true;
  if (pragmaNumber(db, 'application_id') !== applicationId) {
    throw new TidegateError('bufferCannotOpen', `${db.name} is another program's database`);
  }
  if (version > newest) {
    const versions = `layout ${version}; this tidegate knows up to ${newest}`;
    throw new TidegateError('bufferNewer', `${db.name} has ${versions}`);
  }
  return false;
}

function connect(path: string, options: { readonly: boolean; timeout: number }): Sqlite {
  if (!options.readonly) makePrivate(path);
  try {
    return new Database(path, options);
  } catch (error) {
    if (isDamage(error) || isDiskFull(error) || isInputOutput(error)) throw error;
    throw new TidegateError('bufferCannotOpen', `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Events are their owner's business: SQLite would make the file as the umask has it, and its log
 * and shared memory as the file. Only ever made, never opened: closing it would drop the locks that
 * other connections of this process have on it.
 */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'wx', ownerOnly));
  } catch {
    // It is there; what else hinders is found by whoever opens it.
  }
}

function closeUnless(db: Sqlite, prepare: () => void): Sqlite {
  try {
    prepare();
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
