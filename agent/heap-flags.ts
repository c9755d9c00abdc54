/**
 * How V8 is to be started for this process; `package.json` and `main.ts` say the same.
 *
 * The heaps are small and the objects short-lived: V8's helper threads spend more CPU on meeting
 * than they save (11.4 µs an event to Kafka with them, 7.5 without), and its guess that objects of
 * the first seconds live long puts a message's garbage where only a full collection finds it. Both
 * flags are read only when a process starts.
 */
export const heapFlags = ['--single-threaded-gc', '--no-allocation-site-pretenuring'] as const;
