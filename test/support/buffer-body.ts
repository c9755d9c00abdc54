/**
 * What `buffer-child.ts` appends, for the process that checks it: the body of a sequence is known
 * to both without being told.
 */
import { createHash } from 'node:crypto';
import { laneSpec } from './buffer-rig.ts';

export const childLane = laneSpec('cloud');
export const framesEach = 10;

export function bodyOf(sequence: number, bytes: number): ArrayBuffer {
  const seed = createHash('sha256').update(`body ${sequence}`).digest();
  return Uint8Array.from({ length: bytes }, (_, at) => seed[at % seed.length] ?? 0).buffer;
}
