/**
 * Where egress runs: in a thread of its own, or in the buffer's as its guest. Both hear the same
 * messages, end with `stop`, and say what they have to say through `PlaceEvents`.
 *
 *   running ──stop──▶ stopping ──▶ gone        gone without `stop`: failed
 */
import { extname } from 'node:path';
import { type MessagePort, Worker } from 'node:worker_threads';
import { egressThreadOldGenerationMib, egressThreadYoungGenerationMib } from '../bounds.ts';
import { messageOf } from '../errors.ts';

/** It does not stop within this: its cursor is safe, a crash is a normal stop. */
const stopWithinMs = 2_000;
const suffix = extname(import.meta.filename);
const threadEntry = new URL(`../egress-thread${suffix}`, import.meta.url);
export const egressModule = new URL(`../egress-run${suffix}`, import.meta.url).href;

export interface PlaceEvents {
  heard(message: unknown): void;
  /** Also when it was told to stop: who told it knows. */
  failed(detail: string): void;
}

export interface Place {
  post(message: unknown): void;
  readonly gone: Promise<void>;
  /** Ends it as it is. */
  abandon(): void;
}

export function ownThread(start: unknown, transfer: MessagePort[], events: PlaceEvents): Place {
  const thread = new Worker(threadEntry, {
    workerData: start,
    name: 'egress',
    transferList: transfer,
    resourceLimits: {
      maxYoungGenerationSizeMb: egressThreadYoungGenerationMib,
      maxOldGenerationSizeMb: egressThreadOldGenerationMib,
    },
  });
  thread.on('message', (message: unknown) => events.heard(message));
  thread.on('error', (error) => events.failed(messageOf(error)));
  const gone = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
  thread.on('exit', (code) => events.failed(`the thread ended with code ${code}`));
  return {
    post: (message) => thread.postMessage(message),
    abandon: () => void thread.terminate(),
    gone,
  };
}

/** @param port to the guest */
export function withBuffer(port: MessagePort, events: PlaceEvents): Place {
  port.on('message', (message: unknown) => events.heard(message));
  const gone = new Promise<void>((resolve) => port.once('close', () => resolve()));
  port.on('close', () => events.failed('it ended in the buffer thread'));
  return { post: (message) => port.postMessage(message), abandon: () => port.close(), gone };
}

export async function stopPlace(place: Place): Promise<void> {
  place.post({ kind: 'stop' });
  const timer = setTimeout(() => place.abandon(), stopWithinMs);
  await place.gone;
  clearTimeout(timer);
}
