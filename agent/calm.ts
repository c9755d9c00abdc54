/**
 * When memory goes back to the system: a while after the start and whenever a burst is over, and
 * never while something is done, since collecting a heap whole stops its thread for some ten
 * milliseconds. A trickle is no burst: what a few events leave behind is not worth that.
 *
 * It owns when, not what: who makes it says that.
 */
import { burstFrames, calmLookEveryMs } from './bounds.ts';

export class Calm {
  readonly #timer: NodeJS.Timeout;
  #seen: number;
  /** What had moved when it was told last: the start counts as a burst. */
  #toldAt = Number.NEGATIVE_INFINITY;

  /**
   * @param moved grows with all that is done
   * @param came is called when nothing moved from one look to the next, after a burst
   */
  constructor(moved: () => number, came: () => void, burst = burstFrames) {
    this.#seen = moved();
    this.#timer = setInterval(() => {
      const now = moved();
      if (now === this.#seen && now - this.#toldAt >= burst) {
        this.#toldAt = now;
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
