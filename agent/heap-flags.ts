/**
 * How V8 is to be started for this process, and how memory goes back to the system; `package.json`,
 * `main.ts` and the systemd unit say the same flags.
 *
 * The heaps are small and the objects short-lived: V8's helper threads spend more CPU on meeting
 * than they save (11.4 µs an event to Kafka with them, 7.5 without), and its guess that objects of
 * the first seconds live long puts a message's garbage where only a full collection finds it. Flags
 * are read only when a process starts.
 *
 * A young generation of 1 MiB is collected more often and cheaply; left to itself it grows to 32
 * MiB at a few thousand messages a second, for some percent of CPU.
 *
 * V8 keeps the pages that a start or a burst needed once. On a box whose memory others want too
 * they are given back when nothing is to do (`calm.ts`), which `--expose-gc` lets us ask for.
 */
export const heapFlags = [
  '--single-threaded-gc',
  '--no-allocation-site-pretenuring',
  '--max-semi-space-size=1',
  '--expose-gc',
] as const;

/** Of the C library, for MALLOC_ARENA_MAX: one for each thread would keep what it ever held. */
export const arenasMost = 2;

/** This thread's heap, collected whole; takes some 10 to 30 ms. Nothing without the flag. */
export function giveBackMemory(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}
