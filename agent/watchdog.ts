/**
 * Progress, as the service manager's watchdog is fed by it: the main loop turns (a tick comes), and
 * every thread came to its messages. Each round asks all threads once; the next begins when all
 * have answered, so that a thread that is behind is not asked more and more.
 *
 *   answered ──tick──▶ asked ──all answered──▶ answered
 *                        ├── within patience ─▶ fed: a disk may take its time
 *                        └── beyond ─▶ starved: not fed again, the manager ends us
 *
 * Threads wait for the disk in the middle of a call and cannot say so. A disk that the kernel
 * resets (30 s, up to five times) answers late, and killing would gain nothing: nobody is killed in
 * the middle of a system call. So a thread is given `watchdogPatience` of the manager's bound; the
 * main thread, which never waits for the disk that commits, has the bound itself.
 */

/** A thread was asked; whoever is gone, or fails, has answered. */
export interface Turn {
  readonly thread: string;
  readonly answered: Promise<unknown>;
}

export type Fed =
  | { readonly state: 'fed' }
  /** The round is older than the manager's bound; these did not answer. */
  | {
      readonly state: 'slow' | 'starved';
      readonly threads: readonly string[];
      readonly ms: number;
    };

export interface WatchdogParts {
  /** The manager's bound for the process. */
  readonly withinMs: number;
  readonly patienceMs: number;
  readonly ask: () => readonly Turn[];
  readonly nowMs: () => number;
}

export class Watchdog {
  readonly #parts: WatchdogParts;
  #askedAtMs = 0;
  readonly #behind = new Set<string>();
  #starved = false;

  constructor(parts: WatchdogParts) {
    this.#parts = parts;
  }

  /** Once starved, always starved: what hung once is not trusted again. */
  tick(): Fed {
    const { nowMs, withinMs, patienceMs } = this.#parts;
    if (this.#behind.size === 0 && !this.#starved) {
      this.#ask();
      return { state: 'fed' };
    }
    const ms = nowMs() - this.#askedAtMs;
    const threads = [...this.#behind];
    if (this.#starved || ms > patienceMs) {
      this.#starved = true;
      return { state: 'starved', threads, ms };
    }
    return ms > withinMs ? { state: 'slow', threads, ms } : { state: 'fed' };
  }

  #ask(): void {
    this.#askedAtMs = this.#parts.nowMs();
    for (const { thread, answered } of this.#parts.ask()) {
      this.#behind.add(thread);
      const answer = (): boolean => this.#behind.delete(thread);
      answered.then(answer, answer);
    }
  }
}
