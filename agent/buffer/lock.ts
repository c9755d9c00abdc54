/**
 * One process a buffer file, by a lock that dies with the process.
 *
 * The lock is an exclusive SQLite transaction, held for as long as we run, on a file of its own,
 * `<path>.lock`, which is never written. Why this: it is a POSIX record lock, so the kernel drops
 * it at any death, SIGKILL included, and no stale pid has to be judged; SQLite keeps its own list
 * of such locks inside a process, so a second thread is refused as well as a second process (a
 * plain fcntl lock would let it in, and lose the lock at the first close); it needs no package,
 * which flock(2) would; and locking_mode=EXCLUSIVE on the buffer itself would shut out the readers.
 * A file of its own also stays in place when a damaged buffer is moved aside.
 *
 * A file system without working POSIX locks (some network mounts) is not found out here; it fails
 * in WAL mode, which `assertDurable` sees.
 */
import { TidegateError } from '../errors.ts';
import { openPlain, type Sqlite, sqliteCode } from './database.ts';

export interface BufferLock {
  release(): void;
}

/** @throws TidegateError bufferLocked when another process (or thread) holds the buffer */
export function takeLock(path: string): BufferLock {
  const db = openPlain(`${path}.lock`, { readonly: false });
  try {
    db.pragma('journal_mode = MEMORY'); // the lock needs no room on the disk
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (!sqliteCode(error).startsWith('SQLITE_BUSY')) throw error;
    throw new TidegateError('bufferLocked', `${path} is held by another process`);
  }
  return { release: () => release(db) };
}

function release(db: Sqlite): void {
  if (!db.open) return;
  if (db.inTransaction) db.exec('ROLLBACK');
  db.close();
}
