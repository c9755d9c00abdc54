/**
 * Which version of one key is to run here, and what is said of the newest one. Pure.
 *
 *   newest entry   bad ─▶ refused      older than one seen, or a revision with two texts ─▶ refused
 *                  remembered as bad ─▶ refused | reverted      for others (canary) ─▶ spared
 *                  else it is wanted
 *   wanted         the newest that is for us; when that one is remembered as bad: the last good one
 *
 * A revision only grows: below the last good one, and one that is on trial, nothing is wanted,
 * whatever the bucket says, and when the bucket has lost what was seen, what runs goes on.
 */
import type { Entry, Version } from './history.ts';
import type { LayerState } from './report.ts';
import { isInRollout } from './signed.ts';

export interface Seen {
  readonly revision: number;
  /** null: not known any more. */
  readonly hash: string | null;
}

/** Why a text never runs here again. */
export interface Blame {
  readonly state: 'refused' | 'reverted';
  readonly reason: string;
}

export interface ChoiceInput {
  readonly gateway: string;
  readonly entries: readonly Entry[];
  /** The last good one. */
  readonly good: Version | null;
  /** On trial, or the last good one. */
  readonly running: Version | null;
  /** The highest revision of this key that was ever seen here. */
  readonly seen: Seen | null;
  readonly blame: (hash: string) => Blame | null;
}

/** What is said of the newest entry; without a state it is wanted. */
export interface Verdict {
  readonly revision: number;
  readonly hash: string;
  readonly state: Extract<LayerState, 'refused' | 'reverted' | 'spared'> | null;
  readonly reason: string | null;
}

export interface Choice {
  readonly wanted: Version | null;
  /** null: this key was never written. */
  readonly newest: Verdict | null;
  readonly seen: Seen | null;
}

type Written = Exclude<Entry, { kind: 'deleted' }>;

export function choose(input: ChoiceInput): Choice {
  const { entries, good } = input;
  const written = entries.filter((entry): entry is Written => entry.kind !== 'deleted');
  const { versions, doubled } = standing(written, input.seen);
  const top = versions.reduce<Version | null>(
    (most, version) => (most === null || version.revision > most.revision ? version : most),
    null,
  );
  const seen = top !== null && top.revision > (input.seen?.revision ?? 0) ? top : input.seen;
  const newest = written.at(-1);
  return {
    wanted: top !== null && top.revision === seen?.revision ? walk(versions, input) : floor(input),
    newest: newest === undefined ? kept(good) : judge(newest, seen, doubled, input),
    seen: seen === null ? null : { revision: seen.revision, hash: seen.hash },
  };
}

/** Of two texts under one revision the first that was seen stands. */
function standing(
  written: readonly Written[],
  seen: Seen | null,
): { versions: Version[]; doubled: ReadonlySet<Entry> } {
  const hashes = new Map<number, string>();
  if (seen !== null && seen.hash !== null) hashes.set(seen.revision, seen.hash);
  const versions: Version[] = [];
  const doubled = new Set<Entry>();
  for (const entry of written) {
    if (entry.kind !== 'signed') continue;
    const { revision, hash } = entry.version;
    if ((hashes.get(revision) ?? hash) !== hash) doubled.add(entry);
    else versions.push(entry.version);
    hashes.set(revision, hashes.get(revision) ?? hash);
  }
  return { versions, doubled };
}

function judge(
  newest: Written,
  seen: Seen | null,
  doubled: ReadonlySet<Entry>,
  { gateway, blame }: ChoiceInput,
): Verdict {
  if (newest.kind === 'bad') {
    const { hash, reason } = newest;
    return { revision: seen?.revision ?? 0, hash, state: 'refused', reason };
  }
  const { revision, hash, rollout } = newest.version;
  const refused = (reason: string): Verdict => ({ revision, hash, state: 'refused', reason });
  if (seen !== null && revision < seen.revision) {
    return refused(`replayed: revision ${revision} after ${seen.revision}`);
  }
  if (doubled.has(newest)) return refused(`revision ${revision} was seen with another text`);
  const remembered = blame(hash);
  if (remembered !== null) return { revision, hash, ...remembered };
  const spared = !isInRollout(gateway, rollout);
  return { revision, hash, state: spared ? 'spared' : null, reason: null };
}

/** What runs, unless it did harm. */
function floor({ good, running, blame }: ChoiceInput): Version | null {
  if (running === null || blame(running.hash) !== null) return good;
  return running.revision > (good?.revision ?? 0) ? running : good;
}

/** From the newest down. */
function walk(versions: readonly Version[], input: ChoiceInput): Version | null {
  const { gateway, good, blame } = input;
  const lowest = floor(input);
  for (const version of versions.toSorted((a, b) => b.revision - a.revision)) {
    if (lowest !== null && version.revision <= lowest.revision) return lowest;
    if (blame(version.hash) !== null) {
      if (good !== null) return good;
    } else if (isInRollout(gateway, version.rollout)) return version;
  }
  return lowest;
}

/** The bucket has lost it; it runs all the same. */
function kept(good: Version | null): Verdict | null {
  if (good === null) return null;
  return { revision: good.revision, hash: good.hash, state: null, reason: null };
}
