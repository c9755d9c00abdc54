/**
 * What the bucket holds of one key: entries in the order they were written, each opened by itself,
 * whatever stands before it.
 *
 *   written ──openSigned──▶ signed (a version: revision, hash, text) | bad (with the reason)
 *   deleted: unsigned, so it takes nothing away; it is told and otherwise passed over
 */
import { messageOf } from '../errors.ts';
import type { Nkey } from '../nats-client.ts';
import { hashOf, openSigned, type Rollout, type SignedConfig } from './signed.ts';

/** As the bucket has it. */
export interface BucketEntry {
  /** Of the stream: grows with each entry. */
  readonly sequence: number;
  /** null: a delete or a purge. */
  readonly text: string | null;
}

/** A signed config that may run. */
export interface Version {
  readonly key: string;
  readonly revision: number;
  readonly hash: string;
  readonly config: string;
  readonly rollout: Rollout | null;
  /** As it stands in the bucket, signature and all. */
  readonly text: string;
}

export type Entry =
  | { readonly kind: 'signed'; readonly sequence: number; readonly version: Version }
  | {
      readonly kind: 'bad';
      readonly sequence: number;
      readonly hash: string;
      readonly reason: string;
    }
  | { readonly kind: 'deleted'; readonly sequence: number };

export function openEntry(
  { sequence, text }: BucketEntry,
  key: string,
  trusted: ReadonlyMap<string, Nkey>,
): Entry {
  if (text === null) return { kind: 'deleted', sequence };
  try {
    const { revision, hash, config, rollout } = openSigned(text, key, trusted);
    return { kind: 'signed', sequence, version: { key, revision, hash, config, rollout, text } };
  } catch (error) {
    return { kind: 'bad', sequence, hash: hashOf(text), reason: messageOf(error) };
  }
}

/** Of a text that was opened before it was kept. */
export function versionOf(text: string): Version {
  const { key, revision, hash, config, rollout } = JSON.parse(text) as SignedConfig;
  return { key, revision, hash, config, rollout, text };
}
