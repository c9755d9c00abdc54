/**
 * What the service manager is told (sd_notify(3)), and when:
 *
 *   starting ─▶ EXTEND_TIMEOUT_USEC by the buffer's size: a start is not killed in mid-recovery
 *   READY=1     buffer open, listeners bound; also after every reload, refused or not
 *   RELOADING=1 a config is being changed, from the file or by the fleet
 *   STOPPING=1  with the time that stopping may take; a halt says why, with its ERRNO
 *   STATUS      one sentence, looked at every `serviceTickMs`, sent when it is another
 *   WATCHDOG=1  while there is progress (watchdog.ts); =trigger when a thread hangs
 *
 * Without NOTIFY_SOCKET all of it is nothing, and nothing is loaded. Never throws: a manager that
 * cannot be told is reported once, and the agent goes on.
 */
import { statSync } from 'node:fs';
import { constants } from 'node:os';
import {
  openAtLeastMs,
  openBytesPerSecond,
  serviceTickMs,
  stopLogMs,
  watchdogPatience,
} from '../bounds.ts';
import type { Environment } from '../config/types.ts';
import { type ErrorCode, messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import type { NotifySocket } from '../notify-socket.ts';
import { type Fed, type Turn, Watchdog } from '../watchdog.ts';
import { roughSize } from './figures.ts';
import { oneLine, type StatusSource, statusOf } from './service-status.ts';

const microsPerMs = 1_000;
/** The watchdog is fed this often within the manager's bound. */
const feedsPerBound = 4;

/** Where sysexits say less than errno does. */
const errnoOf: Partial<Record<ErrorCode, keyof typeof constants.errno>> = {
  configInvalid: 'EINVAL',
  configMissing: 'ENOENT',
  bindFailed: 'EADDRINUSE',
  bufferLocked: 'EBUSY',
  bufferNewer: 'EPROTO',
  bufferSyncFailed: 'EIO',
  bufferFailed: 'EIO',
  diskFull: 'ENOSPC',
};

/** What runs, once it does. */
export interface Served {
  readonly telemetry: StatusSource;
  readonly listeners: () => number;
  readonly turns: () => readonly Turn[];
}

interface Bound {
  readonly withinMs: number;
  readonly feedMs: number;
}

export class ServiceNotify {
  readonly #socket: NotifySocket | null;
  readonly #bound: Bound | null;
  #served: Served | null = null;
  #watchdog: Watchdog | null = null;
  #ticking: NodeJS.Timeout | null = null;
  #fedAtMs = Number.NEGATIVE_INFINITY;
  #fed: Fed = { state: 'fed' };
  #status = '';
  /** What is said of an end is not spoken over by its steps. */
  #ending: 'no' | 'stopping' | 'halted' = 'no';
  /** What the manager had no room for: states, in order. */
  #unsent: string[] = [];
  #failure: string | null;
  #report: Report | null = null;

  constructor(socket: NotifySocket | null, bound: Bound | null, failure: string | null) {
    this.#socket = socket;
    this.#bound = bound;
    this.#failure = failure;
  }

  /** From now on there is a log. */
  reportTo(report: Report): void {
    this.#report = report;
    if (this.#failure !== null) report('serviceUntold', { error: this.#failure });
  }

  /** The buffer at this path is about to be opened, which may mean to salvage it. */
  opening(path: string): void {
    const bytes = sizeOf(path) + sizeOf(`${path}-wal`);
    const ms = openAtLeastMs + (bytes / openBytesPerSecond) * 1_000;
    const what = bytes === 0 ? 'making the buffer' : `opening the buffer (${roughSize(bytes)})`;
    this.#tell(`starting: ${what}`, `EXTEND_TIMEOUT_USEC=${micros(ms)}`);
  }

  /** @param served what runs from now on */
  ready(served: Served): void {
    this.#served = served;
    const bound = this.#bound;
    if (bound !== null) {
      const { withinMs } = bound;
      const ask = () => this.#served?.turns() ?? [];
      const patienceMs = withinMs * watchdogPatience;
      this.#watchdog = new Watchdog({ withinMs, patienceMs, ask, nowMs: () => performance.now() });
    }
    this.#tellReady();
    if (this.#socket === null) return;
    this.#tick();
    const everyMs = Math.min(serviceTickMs, bound?.feedMs ?? serviceTickMs);
    this.#ticking = setInterval(() => this.#tick(), everyMs).unref();
  }

  /** RELOADING, the work, and READY, whatever came of it. */
  async reloading(work: () => Promise<void>): Promise<void> {
    const monotonic = process.hrtime.bigint() / BigInt(microsPerMs);
    this.#tell('changing the config', 'RELOADING=1', `MONOTONIC_USEC=${monotonic}`);
    try {
      await work();
    } finally {
      this.#tellReady();
    }
  }

  /** @param withinMs what stopping may take */
  stopping(withinMs: number): void {
    this.#endTicks();
    const extend = `EXTEND_TIMEOUT_USEC=${micros(withinMs + stopLogMs)}`;
    this.#tell('stopping: commit, acknowledge, close', 'STOPPING=1', extend);
    if (this.#ending === 'no') this.#ending = 'stopping';
  }

  /** It ends, or does not come to start, for this reason. */
  halted(error: unknown): void {
    if (this.#ending === 'halted') return;
    const code = error instanceof TidegateError ? error.code : 'internal';
    const remedy = error instanceof TidegateError ? `; ${error.remedy}` : '';
    const name = errnoOf[code];
    const errno = name === undefined ? [] : [`ERRNO=${constants.errno[name]}`];
    this.#tell(`halted: ${code}: ${messageOf(error)}${remedy}`, ...errno);
    this.#ending = 'halted';
  }

  close(): void {
    this.#endTicks();
    this.#socket?.close();
  }

  #endTicks(): void {
    if (this.#ticking) clearInterval(this.#ticking);
    this.#ticking = null;
  }

  #tellReady(): void {
    if (this.#served === null || this.#ending !== 'no') return;
    this.#tell(this.#sentence(this.#served), 'READY=1');
  }

  #tick(): void {
    const served = this.#served;
    if (served === null) return;
    this.#flush();
    this.#feed();
    const status = this.#sentence(served);
    if (status !== this.#status && this.#send(`STATUS=${status}`)) this.#status = status;
  }

  #sentence({ telemetry, listeners }: Served): string {
    const sentence = statusOf(telemetry, listeners());
    if (this.#fed.state === 'fed') return sentence;
    const { threads, ms } = this.#fed;
    return `${sentence}; no answer for ${Math.round(ms / 1_000)} s: ${threads.join(', ')} thread`;
  }

  #feed(): void {
    const bound = this.#bound;
    const now = performance.now();
    if (bound === null || this.#watchdog === null || now - this.#fedAtMs < bound.feedMs) return;
    const before = this.#fed.state;
    this.#fed = this.#watchdog.tick();
    const { state } = this.#fed;
    if (state !== before) this.#tellSlow(this.#fed);
    if (state === 'starved' && before !== 'starved') this.#send('WATCHDOG=trigger');
    else if (state !== 'starved' && this.#send('WATCHDOG=1')) this.#fedAtMs = now;
  }

  #tellSlow(fed: Fed): void {
    if (fed.state === 'fed') return;
    const fields = { threads: fed.threads.join(', '), ms: Math.round(fed.ms) };
    this.#report?.(fed.state === 'slow' ? 'threadSlow' : 'threadStuck', fields);
  }

  /** A state, with the sentence that goes with it; not lost where there is no room for it now. */
  #tell(status: string, ...lines: readonly string[]): void {
    if (this.#ending !== 'halted') this.#status = oneLine(status);
    this.#unsent.push([...lines, `STATUS=${this.#status}`].join('\n'));
    this.#flush();
  }

  #flush(): void {
    for (;;) {
      const [next] = this.#unsent;
      if (next === undefined || !this.#send(next)) return;
      this.#unsent.shift();
    }
  }

  /** @returns whether it is on its way; what cannot be sent at all is told once */
  #send(message: string): boolean {
    if (this.#socket === null) return true;
    try {
      return this.#socket.send(message);
    } catch (error) {
      if (this.#failure === null) {
        this.#failure = messageOf(error);
        this.#report?.('serviceUntold', { error: this.#failure });
      }
      return true;
    }
  }
}

export async function openService(env: Environment): Promise<ServiceNotify> {
  const name = env.NOTIFY_SOCKET ?? '';
  if (name === '') return new ServiceNotify(null, null, null);
  try {
    const { NotifySocket } = await import('../notify-socket.ts');
    return new ServiceNotify(new NotifySocket(name), boundOf(env), null);
  } catch (error) {
    return new ServiceNotify(null, null, messageOf(error));
  }
}

/** sd_watchdog_enabled(3): null when there is none, or it is another process's. */
function boundOf(env: Environment): Bound | null {
  const withinMs = Number(env.WATCHDOG_USEC ?? 0) / microsPerMs;
  const ours = env.WATCHDOG_PID === undefined || Number(env.WATCHDOG_PID) === process.pid;
  if (!ours || !Number.isFinite(withinMs) || withinMs <= 0) return null;
  return { withinMs, feedMs: withinMs / feedsPerBound };
}

function micros(ms: number): number {
  return Math.ceil(ms) * microsPerMs;
}

/** 0: there is none yet. */
function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
