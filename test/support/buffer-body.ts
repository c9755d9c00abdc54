/**
 * What `buffer-child.ts` appends, for the process that checks it: the body of a sequence is known
 * to both without being told.
 */
import { createHash } from 'node:crypto';
import type { SessionRow } from '../../agent/buffer/protocol.ts';
import { laneSpec } from './buffer-rig.ts';

export const childLane = laneSpec('cloud');
export const framesEach = 10;
/** Session rows at a time, once what was asked is committed. */
export const rowsKept = 3;

/** The row that goes with a segment. */
export function childSession(sequence: number): SessionRow {
  const body = Uint8Array.from(Buffer.from(`row ${sequence}`));
  return { scope: 'listener', client: 'child', kind: 'qos2', id: sequence, body };
}

export function bodyOf(sequence: number, bytes: number): ArrayBuffer {
  const seed = createHash('sha256').update(`body ${sequence}`).digest();
  return Uint8Array.from({ length: bytes }, (_, at) => seed[at % seed.length] ?? 0).buffer;
}
