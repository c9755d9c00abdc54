/**
 * A database that SQLite cannot read is moved aside, never deleted, and what it still holds becomes
 * a new one with a new epoch.
 *
 *   1 read     through SQLite from both ends of each table as far as it goes; where it stops, from
 *              the leaf pages themselves (raw-pages.ts)
 *   2 mend     cursors that are lost begin at the oldest segment (at-most-once: at the end); frames
 *              that are gone are counted `damaged`, so that the sums of every lane hold again
 *   3 write    `<path>.salvaging`, synced, then renamed `<path>.salvaged-<time>`: complete
 *   4 swap     `<path>` → `<path>.damaged-<time>` with its WAL, the new file → `<path>`
 *
 * A crash before 3 is done starts over, after it 4 is finished at the next start. A body is taken
 * as it is; its CRC is checked when it is read, as always. While running, damage leaves the mark
 * `<path>.salvage`, because the next start may not happen to touch the page.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { checkpointPages } from '../bounds.ts';
import type { Report } from '../events.ts';
import { openWriter } from './database.ts';
import { readOut } from './salvage-read.ts';
import { writeSalvaged } from './salvage-write.ts';

/** Remembers damage met while running. The disk may refuse; then the next start finds it itself. */
export function markDamaged(path: string): void {
  try {
    closeSync(openSync(`${path}.salvage`, 'w', 0o600));
  } catch {
    // Nothing more can be done on a disk that takes no file.
  }
}

export function isMarkedDamaged(path: string): boolean {
  return existsSync(`${path}.salvage`);
}

/** Finishes a swap that a crash cut short. @returns whether there was one */
export function finishSwap(path: string): boolean {
  const prefix = `${basename(path)}.salvaged-`;
  const folder = dirname(path);
  if (!existsSync(folder)) return false;
  const name = readdirSync(folder).find((entry) => entry.startsWith(prefix));
  if (!name) return false;
  swap(path, join(folder, name), name.slice(prefix.length));
  return true;
}

/** The caller holds the lock and has no connection open. */
export function salvage(path: string, report: Report, wallMs: number): void {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[-:]/g, '').replaceAll('.', '');
  const found = readOut(path);
  const fresh = `${path}.salvaging`;
  for (const end of ['', '-wal', '-shm']) rmSync(fresh + end, { force: true });
  const db = openWriter(fresh, { checkpointPages });
  const written = writeSalvaged(db, found);
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
  syncPath(fresh);
  const complete = `${path}.salvaged-${stamp}`;
  renameSync(fresh, complete);
  swap(path, complete, stamp);
  report('bufferSalvaged', { ...written, aside: `${path}.damaged-${stamp}` });
}

function swap(path: string, complete: string, stamp: string): void {
  const aside = `${path}.damaged-${stamp}`;
  if (existsSync(`${path}-wal`)) renameSync(`${path}-wal`, `${aside}-wal`);
  if (existsSync(path)) renameSync(path, aside);
  rmSync(`${path}-shm`, { force: true });
  renameSync(complete, path);
  rmSync(`${path}.salvage`, { force: true });
  syncPath(dirname(path));
}

function syncPath(path: string): void {
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
