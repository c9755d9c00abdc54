/**
 * Devices that a limit holds wait here.
 *
 * A bucket of one device is nobody else's business: its source is woken when the core said that the
 * tokens will be there. A shared bucket (per route, topicName, gateway) has a queue and serves it
 * in turn, one frame a source and turn, so that no waiting connection starves behind a greedy one
 * (promise 6).
 */
import type { Source } from './source.ts';

/** A wait ends no earlier than this, so that a bucket nearly refilled is not polled. */
const shortestWaitMs = 1;
/** A wait is looked at again after this at the latest: limits may have changed. */
const longestWaitMs = 10_000;

const unbounded = 0x7fffffff;
const oneFrame = 1;

export class HoldQueue {
  readonly #alone = new Map<Source, NodeJS.Timeout>();
  readonly #shared = new Map<number, Source[]>();
  readonly #timers = new Map<number, NodeJS.Timeout>();

  /** Sources that wait now. */
  get size(): number {
    let waiting = this.#alone.size;
    for (const queue of this.#shared.values()) waiting += queue.length;
    return waiting;
  }

  hold(source: Source, limit: number, shared: boolean, waitMs: number): void {
    const wait = Math.min(Math.max(Math.ceil(waitMs), shortestWaitMs), longestWaitMs);
    if (!shared) {
      const timer = setTimeout(() => {
        this.#alone.delete(source);
        source.wake(unbounded);
      }, wait);
      clearTimeout(this.#alone.get(source));
      this.#alone.set(source, timer);
      return;
    }
    const queue = this.#shared.get(limit) ?? [];
    if (!queue.includes(source)) queue.push(source);
    this.#shared.set(limit, queue);
    this.#serveAfter(limit, wait);
  }

  leave(source: Source): void {
    clearTimeout(this.#alone.get(source));
    this.#alone.delete(source);
    for (const [limit, queue] of this.#shared) {
      const at = queue.indexOf(source);
      if (at >= 0) queue.splice(at, 1);
      if (queue.length === 0) this.#shared.delete(limit);
    }
  }

  /** Limits have changed: whoever still has to wait comes back, in the order of now. */
  wakeAll(): void {
    for (const timer of this.#alone.values()) clearTimeout(timer);
    for (const timer of this.#timers.values()) clearTimeout(timer);
    const waiting = [...this.#alone.keys(), ...[...this.#shared.values()].flat()];
    this.#alone.clear();
    this.#shared.clear();
    this.#timers.clear();
    for (const source of waiting) source.wake(unbounded);
  }

  #serveAfter(limit: number, waitMs: number): void {
    if (this.#timers.has(limit)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(limit);
      this.#serve(limit);
    }, waitMs);
    this.#timers.set(limit, timer);
  }

  #serve(limit: number): void {
    for (let left = this.#shared.get(limit)?.length ?? 0; left > 0; left--) {
      const source = this.#shared.get(limit)?.shift();
      if (source === undefined) break;
      const served = source.wake(oneFrame);
      const queue = this.#shared.get(limit) ?? [];
      const at = queue.indexOf(source);
      if (at >= 0) {
        // `hold` put it at the end, and set the time; it keeps its turn.
        queue.splice(at, 1);
        queue.unshift(source);
        return;
      }
      // Held by something else, it waits there.
      if (served === 'more') this.#shared.set(limit, [...queue, source]);
    }
    if ((this.#shared.get(limit)?.length ?? 0) === 0) this.#shared.delete(limit);
    else this.#serveAfter(limit, shortestWaitMs);
  }
}
