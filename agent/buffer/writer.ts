/**
 * The one writer of the log. Owns: the queue of appends, the advances that wait for a commit, the
 * state after the last COMMIT, and what to do when a commit fails.
 *
 *   running    appends commit as they come; what they find waiting rides along
 *   holding    an append waits for room (full, or a lane beyond its lag); cursors still commit
 *   diskFull   the reserve is given up; cursors, trim and checkpoint run in its room, appends wait
 *   failed     a sync that did not recover: nothing more is written or acknowledged
 *   stopped
 *
 * `committed` is called after COMMIT returned under synchronous=FULL and at no other place: promise
 * 1 stands on that line. All times and all speech to the outside go through `Effects`, so that a
 * test drives this class without threads.
 */
import { checkpointPages } from '../bounds.ts';
import { type ErrorCode, messageOf, TidegateError } from '../errors.ts';
import type { EventName, Fields, Report } from '../events.ts';
import { Asks, type Configure, type DiscardDead } from './asks.ts';
import { Capacity } from './capacity.ts';
import { canonicalPath, isDamage, isDiskFull, isInputOutput, sqliteCode } from './database.ts';
import { selectedIds, takeLetters } from './dead-letters.ts';
import type { Effects } from './effects.ts';
import { factsOf, gaugesOf, statOf } from './gauges.ts';
import { cloneState, type LogState } from './log-state.ts';
import { type OpenLog, openLog } from './open-log.ts';
import type { Work } from './passing.ts';
import type {
  BufferGauges,
  BufferStart,
  BufferStat,
  EgressToBuffer,
  LaneName,
  ReplayRequest,
  SessionRow,
  TakenLetters,
} from './protocol.ts';
import { markDamaged } from './salvage.ts';
import { readSessions } from './sessions.ts';
import { reopenAfterSync, wasApplied } from './sync-recovery.ts';
import { type Append, type Done, type Task, transact } from './transaction.ts';
import { trimmable } from './trim.ts';
import { mayAge, Upkeep } from './upkeep.ts';

const diskFullReason = 'disk full';

export type Mode = 'running' | 'holding' | 'diskFull' | 'failed' | 'stopped';

/** `held`: the append (if any) waits; `again`: the same is to be tried at once. */
type CommitResult = 'committed' | 'held' | 'again';

/** Sync failures in a row before we halt; each was a whole close, reopen and checkpoint. */
const syncAttempts = 5;
const msPerSecond = 1_000;

export class Writer {
  #start: BufferStart;
  readonly #effects: Effects;
  readonly #capacity: Capacity;
  readonly #upkeep: Upkeep;
  readonly #openedAtMs: number;
  readonly #livedBeforeMs: number;
  readonly #waiting: Append[] = [];
  readonly #asks = new Asks();
  #log: OpenLog;
  #state: LogState;
  #pending: EgressToBuffer[] = [];
  #mode: Mode = 'running';
  /** Why appends or burials wait, as the gauges say it. */
  #holdReason: string | null = null;
  #burialWaits = false;
  #syncFailures = 0;
  /** Grows with every commit: whoever shows the gauges sees that something changed. */
  commits = 0;

  constructor(start: BufferStart, effects: Effects) {
    this.#effects = effects;
    this.#openedAtMs = effects.monotonicMs();
    this.#log = openLog(start, effects.report, effects.wallMs());
    const { sql, path, pageBytes, reserve } = this.#log;
    this.#start = { ...start, options: { ...start.options, path } };
    this.#state = this.#log.state;
    this.#livedBeforeMs = this.#state.livedMs;
    this.#capacity = new Capacity(sql, this.#start.options, pageBytes, this.#log.checkpointPages);
    this.#upkeep = new Upkeep(this.#start.options, this.#capacity, effects.report);
    if (!reserve.make()) this.#enterDiskFull('the reserve could not be made');
  }

  get mode(): Mode {
    return this.#mode;
  }

  get epoch(): string {
    return this.#log.epoch;
  }

  get state(): Readonly<LogState> {
    return this.#state;
  }

  /** Sum of monotonic time over all runs on this file. */
  livedMs(): number {
    return this.#livedBeforeMs + this.#effects.monotonicMs() - this.#openedAtMs;
  }

  /** All that is stored of sessions. */
  sessions(): SessionRow[] {
    return readSessions(this.#log.db);
  }

  /** Stored ids, in the order of the definitions. */
  routeIds(routes = this.#start.routes): number[] {
    return routes.map((definition) => this.#log.routes.reserve(definition));
  }

  append(append: Append): void {
    this.#waiting.push(append);
    this.run();
  }

  /**
   * New lanes, routes and bounds, while running. Only the path cannot change, and the reserve,
   * which is on the disk as it is.
   */
  configure(configure: Configure): void {
    const { path, reserveBytes } = this.#start.options;
    if (canonicalPath(configure.options.path) !== path) {
      throw new TidegateError('internal', `configure with another path than ${path}`);
    }
    const options = { ...configure.options, path, reserveBytes };
    this.#start = { options, lanes: configure.lanes, routes: configure.routes };
    this.#upkeep.configure(options);
    this.#tune();
    this.#asks.configure(configure);
    this.#commitAlone();
    this.run();
  }

  /** Dead letters to be replayed. They stay until the segment that replays them is committed. */
  takeDead(request: ReplayRequest): TakenLetters {
    const { db, routes } = this.#log;
    const { routes: definitions } = this.#start;
    const hasLane = (lane: LaneName) => this.#state.lanes.has(lane);
    return takeLetters({ db, routes, definitions, hasLane }, request);
  }

  /** A burial that waits may find the room that this makes, in the same commit. */
  discardDead({ id, selection }: DiscardDead): void {
    this.#asks.discard(id, selectedIds(this.#log.db, selection));
    this.#commitAlone();
  }

  /**
   * Egress connects anew for a lane: what was said before is committed as far as it can be, and
   * nothing that was said before is applied after.
   */
  reconnect(name: LaneName): void {
    this.flush();
    this.#pending = this.#pending.filter((advance) => advance.lane !== name);
    const lane = this.#state.lanes.get(name);
    if (lane) lane.generation += 1;
  }

  /** @returns whether it still waits for a commit */
  advance(advance: EgressToBuffer): boolean {
    this.#pending.push(advance);
    // A waiting append may find the room that this one frees, in the same commit.
    if (this.#waiting.length > 0) this.run();
    if (advance.now) this.flush();
    return this.#pending.length > 0;
  }

  /** Commits waiting appends as far as there is room. */
  run(): void {
    while (this.#mode === 'running' || this.#mode === 'holding') {
      const [append] = this.#waiting;
      const result = append ? this.#commit(append) : 'held';
      if (result === 'held') return;
      if (result === 'committed') this.#waiting.shift();
    }
  }

  /** Commits what waits without an append. */
  flush(): void {
    if (this.#waitsForCommit) this.#commitAlone();
  }

  putMeta(key: string, value: string): void {
    const had = this.#holdReason;
    if (this.#alive) this.#guard(() => this.#log.sql.putMeta(key, value));
    // The disk was found full by it: the reserve, given up meanwhile, is room for it.
    const isFull = this.#holdReason === diskFullReason && had !== diskFullReason;
    if (isFull) this.#guard(() => this.#log.sql.putMeta(key, value));
  }

  /** Time passes: age, lag by age, lived time, holds, pages to give back. */
  tick(): void {
    if (!this.#alive) return;
    const { sql } = this.#log;
    const view = { sql, state: this.#state, livedMs: this.livedMs() };
    this.#guard(() => this.#upkeep.tick({ ...view, full: this.#mode === 'diskFull' }));
    if (this.#mode === 'diskFull' && this.#upkeep.remakeReserve(this.#log.reserve)) this.#release();
    if (this.#waiting.length > 0 && this.#mode !== 'diskFull') this.run();
    else if (this.#waitsForCommit || mayAge(this.#start.options, this.#state)) this.#commitAlone();
    if (this.#waiting.length === 0 && this.#alive) this.#settle(null);
  }

  /** Segments that every lane has passed. */
  get trimmable(): number {
    return this.#alive ? trimmable(this.#state) : 0;
  }

  /** One bounded step of trimming while nothing else is to do. @returns whether more is left */
  tidy(): boolean {
    if (this.trimmable > 0) this.#commitAlone();
    return this.trimmable > 0;
  }

  gauges(): BufferGauges {
    const { sql } = this.#log;
    const view = { state: this.#state, sql, livedMs: this.livedMs(), fill: this.#capacity.fill() };
    return gaugesOf(view, this.#start.options.bytes, this.#holdReason);
  }

  stat(): BufferStat {
    return statOf(this.gauges(), this.#state, factsOf(this.#log.db));
  }

  stop(): void {
    if (this.#mode === 'stopped') return;
    this.run();
    this.flush();
    this.putMeta('livedMs', String(Math.round(this.livedMs())));
    if (this.#alive) this.#guard(() => this.#log.sql.checkpoint());
    this.#mode = 'stopped';
    this.#log.db.close();
    this.#log.lock.release();
  }

  get #waitsForCommit(): boolean {
    return this.#pending.length > 0 || this.#asks.waiting;
  }

  get #alive(): boolean {
    return this.#mode !== 'failed' && this.#mode !== 'stopped';
  }

  #commitAlone(): void {
    let again = this.#alive;
    while (again) again = this.#commit(null) === 'again';
  }

  #commit(append: Append | null): CommitResult {
    const { sql, routes } = this.#log;
    const notes: [EventName, Fields | undefined][] = [];
    const report: Report = (name, fields) => notes.push([name, fields]);
    const work: Work = { sql, routes, state: cloneState(this.#state), report };
    const startedMs = this.#effects.monotonicMs();
    const task = this.#task(append);
    let done: Done | null = null;
    try {
      sql.begin();
      done = transact(work, task);
      sql.commit();
    } catch (error) {
      const result = this.#survive(error, append, done);
      if (result !== 'committed') return result;
    }
    if (!done) return 'again';
    const seconds = (this.#effects.monotonicMs() - startedMs) / msPerSecond;
    for (const [name, fields] of notes) this.#effects.report(name, fields);
    this.#install(work, task, done, seconds);
    return done.hold === null ? 'committed' : 'held';
  }

  /** COMMIT returned: now the copy is the state, and everyone may hear of it. */
  #install(work: Work, task: Task, done: Done, seconds: number): void {
    const before = this.#state.lanes;
    this.#state = work.state;
    this.#pending = [...done.blocked];
    this.#burialWaits = done.blocked.length > 0;
    this.#syncFailures = 0;
    this.commits += 1;
    this.#log.routes.markStored(done.routes);
    for (const advance of done.answered) this.#effects.advanced(advance.lane, advance.id);
    this.#asks.answer(this.#effects, (routes) => this.routeIds(routes));
    for (const lane of work.state.lanes.values()) {
      const known = before.get(lane.lane);
      if (!known || known.generation === lane.generation) continue;
      this.#effects.jumped(lane.lane, lane.generation, lane.position);
    }
    if (task.append && !done.hold) this.#effects.committed(task.append, seconds);
    if (task.append) this.#settle(done.hold);
  }

  /** After an error in a transaction: is it on disk (`committed`), to be repeated, or to wait? */
  #survive(error: unknown, append: Append | null, done: Done | null): CommitResult {
    this.#log.sql.rollback();
    if (isInputOutput(error)) return this.#recoverSync(error, append, done);
    if (isDiskFull(error)) {
      this.#enterDiskFull(messageOf(error));
    } else if (sqliteCode(error).startsWith('SQLITE_BUSY')) {
      this.#settle('busy');
    } else if (isDamage(error)) {
      markDamaged(this.#log.path);
      this.#fail('bufferFailed', 'the file is damaged; the next start salvages it', error);
    } else {
      this.#fail('bufferFailed', messageOf(error), error);
    }
    return 'held';
  }

  /** Promise 1: nothing is acknowledged until reopening and a whole checkpoint succeeded. */
  #recoverSync(error: unknown, append: Append | null, done: Done | null): CommitResult {
    this.#syncFailures += 1;
    this.#effects.report('bufferSyncFailed', { error: sqliteCode(error) });
    try {
      if (this.#syncFailures > syncAttempts) throw error;
      const { db, sql } = reopenAfterSync(this.#log);
      this.#log = { ...this.#log, db, sql };
      this.#capacity.rebind(sql);
      this.#effects.report('bufferSyncRecovered', {});
      return done && wasApplied(db, done.changed, append, this.#asks.discarded)
        ? 'committed'
        : 'again';
    } catch (cause) {
      this.#fail('bufferSyncFailed', messageOf(cause), cause);
      return 'held';
    }
  }

  /** After the bounds changed; a connection that is opened anew is told by `checkpointPages`. */
  #tune(): void {
    const { sql, pageBytes } = this.#log;
    const pages = this.#capacity.configure(this.#start.options, checkpointPages);
    this.#log = { ...this.#log, checkpointPages: pages };
    this.#guard(() => sql.tuneCheckpoints(pages, pages * pageBytes));
  }

  #enterDiskFull(error: string): void {
    if (this.#mode === 'diskFull') return;
    this.#mode = 'diskFull';
    this.#holdReason = diskFullReason;
    this.#log.reserve.giveUp();
    this.#effects.report('bufferDiskFull', { error });
    // First, because it needs the most room and gives the most back.
    this.#guard(() => this.#log.sql.checkpoint());
    this.#commitAlone();
  }

  /** Something beside a transaction. Its failures have the same consequences. */
  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#survive(error, null, null);
    }
  }

  #fail(code: ErrorCode, detail: string, cause: unknown): void {
    this.#mode = 'failed';
    this.#effects.failed(new TidegateError(code, `${this.#log.path}: ${detail}`, { cause }));
  }

  /** Says once that something waits, and once that it no longer does. */
  #settle(appendHold: string | null): void {
    if (this.#mode !== 'running' && this.#mode !== 'holding') return;
    const reason = appendHold ?? (this.#burialWaits ? 'dead letters full' : null);
    if (reason !== null) {
      if (this.#mode === 'running') this.#effects.report('bufferHolding', { reason });
      this.#mode = 'holding';
      this.#holdReason = reason;
    } else if (
      this.#mode === 'holding' &&
      (this.#holdReason !== 'full' || this.#capacity.roomy())
    ) {
      this.#release();
    }
  }

  #release(): void {
    this.#effects.report('bufferReleased', { reason: this.#holdReason });
    this.#mode = 'running';
    this.#holdReason = null;
  }

  #task(append: Append | null): Task {
    return {
      lanes: this.#asks.reconfigures ? this.#start.lanes : null,
      discarded: this.#asks.discarded,
      append,
      advances: this.#pending,
      options: this.#start.options,
      capacity: this.#capacity,
      before: this.#state.lanes,
      wallMs: this.#effects.wallMs(),
      livedMs: this.livedMs(),
    };
  }
}
