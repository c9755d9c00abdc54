/**
 * Time as the path takes it: an argument, from one place, so that tests can turn it.
 *
 * `now` is the wall clock in ms since 1970 and may jump (a gateway without a clock starts in 1970);
 * `lived` is the sum of the time this buffer has been open, monotonic through restarts; ages and
 * expiry run on it alone. A wall clock from before this was written cannot have been synchronised.
 */
import { performance } from 'node:perf_hooks';

const writtenMs = Date.UTC(2026, 0, 1);

export interface Clock {
  now(): number;
  lived(): number;
  readonly synchronised: boolean;
}

/** @param livedAtOpenMs lived time as the buffer knew it when it was opened */
export function systemClock(livedAtOpenMs: number): Clock {
  const openedAt = performance.now();
  return {
    now: () => Date.now(),
    lived: () => livedAtOpenMs + (performance.now() - openedAt),
    get synchronised() {
      return Date.now() >= writtenMs;
    },
  };
}
