/**
 * Changes of what runs, one at a time: each has its turn, in the order they were asked for. SIGHUPs
 * are one of them, and one more for all that came meanwhile, since it reads the file as it is by
 * then. What comes before the agent is there waits for it.
 *
 *   starting ──serve──▶ idle ◀──▶ reloading ──▶ closed (the agent stops)
 */
import { messageOf, TidegateError } from '../errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';

export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Resolves, or fails, as `work` does, once its turn has come. */
  take(work: () => Promise<void>): Promise<void> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }
}

export class Reloads {
  #reload: (() => Promise<void>) | null = null;
  #asked = false;
  #state: 'starting' | 'idle' | 'reloading' | 'closed' = 'starting';

  ask(): void {
    this.#asked = true;
    if (this.#state === 'idle') void this.#run();
  }

  /** @param reload reports by itself what it refuses */
  serve(reload: () => Promise<void>): void {
    this.#reload = reload;
    this.#state = 'idle';
    if (this.#asked) void this.#run();
  }

  close(): void {
    this.#state = 'closed';
  }

  async #run(): Promise<void> {
    this.#state = 'reloading';
    while (this.#asked && !this.#isClosed()) {
      this.#asked = false;
      await this.#reload?.();
    }
    if (!this.#isClosed()) this.#state = 'idle';
  }

  /** Asked after an await: it may have come to that meanwhile. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }
}

/** What runs goes on, and says that it is not what the file says. */
export function reportRefused(error: unknown, telemetry: Telemetry): void {
  const ours = error instanceof TidegateError ? error : null;
  const { problems } = Object(error) as { problems?: readonly unknown[] };
  telemetry.degraded = 'config';
  telemetry.report('configRefused', {
    code: ours?.code ?? 'internal',
    problems: problems?.length,
    detail: messageOf(error),
    remedy: ours?.remedy,
  });
}
