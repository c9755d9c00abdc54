/**
 * Forgets a lane: its cursor goes, and with it what only it pinned. Done on the file, under the
 * lock, by `tidegate buffer forget`: while an agent runs on the file this is refused
 * (bufferLocked). Whether the config still names the lane is the caller's question; a lane in the
 * config would come back at the end of the log with the next start.
 */
import { existsSync } from 'node:fs';
import { checkpointPages } from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import { canonicalPath, openWriter } from './database.ts';
import { takeLock } from './lock.ts';
import { loadState } from './log-state.ts';
import type { LaneName } from './protocol.ts';
import { Routes } from './routes.ts';
import { readRoutes } from './statements.ts';

export interface Forgotten {
  readonly lane: LaneName;
  /** What it had not passed; other lanes may still need these segments. */
  readonly backlogFrames: number;
  readonly backlogBytes: number;
}

/** @throws TidegateError laneUnknown | bufferLocked | bufferCannotOpen | bufferNewer */
export function forgetLane(path: string, lane: LaneName): Forgotten {
  const file = canonicalPath(path);
  if (!existsSync(file)) throw new TidegateError('bufferCannotOpen', `there is no file ${file}`);
  const lock = takeLock(file);
  try {
    const db = openWriter(file, { checkpointPages });
    try {
      const known = loadState(db, new Routes(readRoutes(db)), null).lanes.get(lane);
      if (!known) throw new TidegateError('laneUnknown', `${file} has no lane ${lane}`);
      db.prepare('DELETE FROM cursor WHERE lane = ?').run(lane);
      const { backlogFrames, backlogBytes } = known;
      return { lane, backlogFrames, backlogBytes };
    } finally {
      db.close();
    }
  } finally {
    lock.release();
  }
}
