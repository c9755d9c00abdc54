/**
 * Entry of an egress thread: what egress-run.ts does, in a thread of its own, so that what it waits
 * for or counts stops nobody else.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { type EgressStart, serve } from './egress-run.ts';
import { TidegateError } from './errors.ts';

if (parentPort === null)
  throw new TidegateError('internal', 'egress-thread.ts is a thread’s entry');
await serve(workerData as EgressStart, parentPort);
