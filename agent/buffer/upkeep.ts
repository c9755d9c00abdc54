/**
 * What the buffer does because time passes: keep the lived time on disk, empty a WAL that grew,
 * give pages back to the file system in bounded steps, warn of old events, and try to have the
 * reserve again, forget sessions that nobody came back to. Everything here is short; it runs on the
 * thread that commits.
 */
import { sessionAgeMs } from '../bounds.ts';
import type { Report } from '../events.ts';
import type { Capacity } from './capacity.ts';
import type { LogState } from './log-state.ts';
import type { BufferOptions } from './protocol.ts';
import type { Reserve } from './reserve.ts';
import type { Statements } from './statements.ts';

/** After a crash, at most this much lived time is lost. */
const livedEveryMs = 5_000;
const agedEveryMs = 60_000;
/** Looking for old sessions walks their table. */
const sessionsEveryMs = 60_000;
/** Pages moved by one step of incremental vacuum. */
const vacuumPagesPerTick = 1_024;
/** The same on a full disk, where its WAL must fit into what the reserve was. */
const vacuumPagesWhenFull = 128;
/** Free pages are kept for the next backlog unless they are many, and most of the file. */
const vacuumAtFreePages = 4_096;
/** Room that must be left beside a new reserve, for the WAL. */
const besideReserveBytes = 1024 * 1024;
/** Ticks between attempts at a reserve that did not come about; doubled up to the cap. */
const reserveRetryTicks = 2;
const reserveRetryCapTicks = 64;

export interface Moment {
  readonly sql: Statements;
  readonly state: Readonly<LogState>;
  readonly livedMs: number;
  /** The disk is full: whatever gives room back is done at once. */
  readonly full: boolean;
}

export class Upkeep {
  #options: BufferOptions;
  readonly #capacity: Capacity;
  readonly #report: Report;
  #livedWrittenMs = 0;
  #agedReportedMs = Number.NEGATIVE_INFINITY;
  #sessionsAtMs: number | null = null;
  #retryTicks = reserveRetryTicks;
  #waitTicks = 0;

  constructor(options: BufferOptions, capacity: Capacity, report: Report) {
    this.#options = options;
    this.#capacity = capacity;
    this.#report = report;
  }

  configure(options: BufferOptions): void {
    this.#options = options;
  }

  tick(moment: Moment): void {
    this.#warnOfAge(moment);
    this.#expireSessions(moment);
    if (moment.full) moment.sql.checkpoint();
    this.#vacuum(moment);
    if (moment.full || this.#capacity.walIsBig()) moment.sql.checkpoint();
    // Without a backlog nothing ages, and the flash is left in peace.
    const due = moment.livedMs - this.#livedWrittenMs >= livedEveryMs;
    const ageing = [...moment.state.lanes.values()].some((lane) => lane.backlogFrames > 0);
    if (!due || !ageing) return;
    this.#livedWrittenMs = moment.livedMs;
    moment.sql.putMeta('livedMs', String(Math.round(moment.livedMs)));
  }

  /** @returns whether the reserve is there again, so that appends may go on */
  remakeReserve(reserve: Reserve): boolean {
    this.#waitTicks -= 1;
    if (this.#waitTicks > 0 || !reserve.fits(besideReserveBytes)) return false;
    if (reserve.make()) {
      this.#retryTicks = reserveRetryTicks;
      return true;
    }
    // A quota, say: statfs promises what write does not get.
    this.#waitTicks = this.#retryTicks;
    this.#retryTicks = Math.min(this.#retryTicks * 2, reserveRetryCapTicks);
    return false;
  }

  #vacuum({ sql, full }: Moment): void {
    const { count, free } = sql.pages();
    const many = free > vacuumAtFreePages && free > count / 2;
    if (full && free > 0) sql.giveBackPages(vacuumPagesWhenFull);
    else if (many) sql.giveBackPages(vacuumPagesPerTick);
  }

  /** Open has just looked. */
  #expireSessions({ sql, livedMs }: Moment): void {
    this.#sessionsAtMs ??= livedMs;
    if (livedMs - this.#sessionsAtMs < sessionsEveryMs) return;
    this.#sessionsAtMs = livedMs;
    const sessions = sql.sessions.deleteOlder(livedMs - sessionAgeMs);
    if (sessions > 0) this.#report('sessionsExpired', { sessions });
  }

  /** Under `hold`, age only warns. */
  #warnOfAge({ sql, state, livedMs }: Moment): void {
    if (this.#options.whenFull !== 'hold' || livedMs - this.#agedReportedMs < agedEveryMs) return;
    const behind = [...state.lanes.values()].filter((lane) => lane.backlogFrames > 0);
    const lowest = Math.min(...behind.map((lane) => lane.position.segment));
    if (!Number.isFinite(lowest)) return;
    const [oldest] = sql.heads(lowest, state.nextSequence - 1, 1);
    if (!oldest || livedMs - oldest.livedMs <= this.#options.ageMs) return;
    this.#agedReportedMs = livedMs;
    this.#report('bufferAged', { ageMs: Math.round(livedMs - oldest.livedMs) });
  }
}

/** Something may have grown too old without an append to notice it. */
export function mayAge(options: BufferOptions, state: Readonly<LogState>): boolean {
  if (options.whenFull === 'dropOldest' && state.segments > 1) return true;
  const lanes = [...state.lanes.values()];
  return lanes.some((lane) => lane.lag?.over === 'skip' && lane.backlogFrames > 0);
}
