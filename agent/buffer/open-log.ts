/**
 * From a path to an open log: lock, database (salvaged where SQLite cannot read it), stored routes,
 * the state of every lane, the reserve. The order matters: nothing is touched before the lock is
 * ours, and the reserve is made last, given up first.
 */
import { checkpointPages, sessionAgeMs } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import { checkpointPagesFor } from './capacity.ts';
import {
  canonicalPath,
  isDamage,
  isDiskFull,
  openWriter,
  pragmaNumber,
  type Sqlite,
} from './database.ts';
import { type BufferLock, takeLock } from './lock.ts';
import { type LogState, loadState, toRow } from './log-state.ts';
import type { BufferStart } from './protocol.ts';
import { Reserve } from './reserve.ts';
import { Routes } from './routes.ts';
import { finishSwap, isMarkedDamaged, salvage } from './salvage.ts';
import { readMeta, readRoutes, Statements } from './statements.ts';
import { checkpointWhole } from './sync-recovery.ts';

/** What auto_vacuum databases of this library are made with; the file's own value rules later. */
const assumedPageBytes = 4_096;

export interface OpenLog {
  readonly path: string;
  readonly lock: BufferLock;
  readonly db: Sqlite;
  readonly sql: Statements;
  readonly routes: Routes;
  readonly state: LogState;
  readonly reserve: Reserve;
  readonly epoch: string;
  readonly pageBytes: number;
  readonly checkpointPages: number;
}

/** @throws TidegateError bufferLocked | bufferCannotOpen | bufferNewer | diskFull | … */
export function openLog(start: BufferStart, report: Report, wallMs: number): OpenLog {
  const { options } = start;
  const path = canonicalPath(options.path);
  const lock = takeLock(path);
  try {
    if (!finishSwap(path) && isMarkedDamaged(path)) salvage(path, report, wallMs);
    return openLocked(start, path, lock, report, wallMs);
  } catch (error) {
    lock.release();
    if (!isDiskFull(error)) throw error;
    throw new TidegateError('diskFull', `${path}: ${messageOf(error)}`, { cause: error });
  }
}

function openLocked(
  start: BufferStart,
  path: string,
  lock: BufferLock,
  report: Report,
  wallMs: number,
): OpenLog {
  const { options } = start;
  const reserve = new Reserve(path, options.reserveBytes);
  const pages = checkpointPagesFor(options, assumedPageBytes, checkpointPages);
  const read = (): OpenLog => {
    const db = openWriter(path, { checkpointPages: pages });
    try {
      const opened = { path, lock, db, reserve, checkpointPages: pages };
      return { ...opened, ...readLog(db, start, report) };
    } catch (error) {
      db.close();
      throw error;
    }
  };
  try {
    return read();
  } catch (error) {
    if (isDiskFull(error)) reserve.giveUp();
    else if (isDamage(error)) salvage(path, report, wallMs);
    else throw error;
    return read();
  }
}

function readLog(
  db: Sqlite,
  start: BufferStart,
  report: Report,
): Pick<OpenLog, 'sql' | 'routes' | 'state' | 'epoch' | 'pageBytes'> {
  const sql = new Statements(db);
  const routes = new Routes(readRoutes(db));
  const state = loadState(db, routes, start.lanes);
  sql.begin();
  for (const lane of state.lanes.values()) if (lane.lag) sql.putCursor(toRow(lane));
  sql.putMeta('limitBytes', String(start.options.bytes));
  sql.putMeta('livedMs', String(Math.round(state.livedMs))); // what readers begin from
  const expired = sql.sessions.deleteOlder(state.livedMs - sessionAgeMs);
  sql.commit();
  if (expired > 0) report('sessionsExpired', { sessions: expired });
  checkpointWhole(sql);
  const epoch = readMeta(db, 'epoch') ?? '';
  return { sql, routes, state, epoch, pageBytes: pragmaNumber(db, 'page_size') };
}
