/**
 * Whether a thread's loop turns: it is asked by a message, and answers when it comes to it. One
 * question at a time; whoever asks meanwhile waits for the same answer, and a thread that is gone
 * has answered.
 */
import type { Place } from './place.ts';

export class ThreadTurn {
  readonly #place: Place;
  /** What it is called where it is told of. */
  readonly name: string;
  #waiting: PromiseWithResolvers<void> | null = null;

  constructor(place: Place, name: string) {
    this.#place = place;
    this.name = name;
    void place.gone.then(() => this.answered());
  }

  ask(): Promise<void> {
    if (this.#waiting !== null) return this.#waiting.promise;
    this.#waiting = Promise.withResolvers<void>();
    this.#place.post({ kind: 'turn' });
    return this.#waiting.promise;
  }

  answered(): void {
    this.#waiting?.resolve();
    this.#waiting = null;
  }
}
