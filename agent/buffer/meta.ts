/**
 * Reads one value of the meta table from a buffer file that no agent holds, or any agent does: at
 * start the last good config, before it is known whether there will be an agent.
 *
 * Nothing is created and nothing is thrown: a file that is missing, not ours, or damaged has no
 * such value, and what is wrong with it is said by whoever opens it for work.
 */
import { existsSync } from 'node:fs';
import { openReadOnly, type Sqlite } from './database.ts';

export function readMeta(path: string, key: string): string | undefined {
  if (!existsSync(path)) return undefined;
  let db: Sqlite | null = null;
  try {
    db = openReadOnly(path);
    const value = db.prepare('SELECT value FROM meta WHERE key = ?').pluck().get(key);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  } finally {
    db?.close();
  }
}
