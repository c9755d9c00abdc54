/**
 * When memory goes back to the system: a while after the start and whenever a burst is over, and
 * never while something is done, since collecting a heap whole stops its thread for some ten
 * milliseconds. It owns when, not what: who makes it says that.
 *
 *   busy ──nothing moved from one look to the next──▶ calm (told once) ──something moved──▶ busy
 */
import { calmLookEveryMs } from './bounds.ts';

export class Calm {
  readonly #timer: NodeJS.Timeout;
  #mode: 'busy' | 'calm' = 'busy';
  #seen: number;

  /**
   * @param moved grows with all that is done
   * @param came is called at each beginning of calm
   */
  constructor(moved: () => number, came: () => void) {
    this.#seen = moved();
    this.#timer = setInterval(() => {
      const now = moved();
      if (now !== this.#seen) this.#mode = 'busy';
      else if (this.#mode === 'busy') {
        this.#mode = 'calm';
        came();
      }
      this.#seen = now;
    }, calmLookEveryMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
