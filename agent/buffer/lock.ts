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
 * A file that this user may only read would be locked for reading, which keeps nobody out, and
 * SQLite says nothing of it: so a write is begun in that transaction, which is never committed. It
 * may be there because root worked on the buffer with a command: root gives it to whom the buffer
 * belongs.
 *
 * A file system without working POSIX locks (some network mounts) is not found out here; it fails
 * in WAL mode, which `assertDurable` sees.
 */
import { chownSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { TidegateError } from '../errors.ts';
import { openPlain, type Sqlite, sqliteCode } from './database.ts';

export interface BufferLock {
  release(): void;
}

const root = 0;

/**
 * @throws TidegateError bufferLocked when another process (or thread) holds the buffer;
 *   bufferCannotOpen when the lock cannot be had at all
 */
export function takeLock(path: string): BufferLock {
  const file = `${path}.lock`;
  const db = openPlain(file, { readonly: false });
  try {
    db.pragma('journal_mode = MEMORY'); // the lock needs no room on the disk
    db.exec('BEGIN EXCLUSIVE');
    db.exec('CREATE TABLE held (by TEXT)');
    if (process.geteuid?.() === root) giveToOwner(file, path);
  } catch (error) {
    db.close();
    const code = sqliteCode(error);
    if (code.startsWith('SQLITE_READONLY')) {
      throw new TidegateError('bufferCannotOpen', `${file} may not be written by this user`);
    }
    if (!code.startsWith('SQLITE_BUSY')) throw error;
    throw new TidegateError('bufferLocked', `${path} is held by another process`);
  }
  return { release: () => release(db) };
}

/** Best effort: some file systems have no owners. */
function giveToOwner(file: string, path: string): void {
  const { uid, gid } = statSync(path, { throwIfNoEntry: false }) ?? statSync(dirname(path));
  try {
    if (statSync(file).uid !== uid) chownSync(file, uid, gid);
  } catch {
    // Who may not write it is refused, and told so.
  }
}

function release(db: Sqlite): void {
  if (!db.open) return;
  if (db.inTransaction) db.exec('ROLLBACK');
  db.close();
}
