/**
 * All keys of this gateway: what the bucket holds of them, what is therefore wanted, and what is
 * said of each newest entry. What is refused or spared is told once.
 */
import type { Report } from '../events.ts';
import type { Nkey } from '../nats-client.ts';
import { type Choice, choose, type Verdict } from './choose.ts';
import { type BucketEntry, type Entry, openEntry, type Version } from './history.ts';
import type { Layers } from './layers.ts';
import type { Memory } from './memory.ts';
import type { LayerReport, LayerState } from './report.ts';

export interface ChoicesParts {
  readonly gateway: string;
  /** From wide to narrow. */
  readonly keys: readonly string[];
  readonly trusted: ReadonlyMap<string, Nkey>;
  readonly memory: Memory;
  readonly report: Report;
}

export class Choices {
  readonly #parts: ChoicesParts;
  readonly #entries = new Map<string, readonly Entry[]>();
  readonly #newest = new Map<string, BucketEntry | undefined>();
  /** Keys whose newest entry was enough when it was heard. */
  readonly #newestOnly = new Set<string>();
  readonly #verdicts = new Map<string, Verdict>();
  readonly #told = new Map<string, string>();

  constructor(parts: ChoicesParts) {
    this.#parts = parts;
  }

  /**
   * @param found the newest entry, or with `isAll` all that there are
   * @returns whether that is enough: the newest is wanted, or there is none
   */
  heard(key: string, found: readonly BucketEntry[], isAll: boolean): boolean {
    const { trusted, report } = this.#parts;
    const isNewest = !isAll && found.length === 1;
    if (isNewest && this.#isKnown(key, found[0])) return true;
    const entries = found.map((entry) => openEntry(entry, key, trusted));
    const last = entries.at(-1);
    if (last?.kind === 'deleted' && this.#isNews(`${key} deleted`, `${last.sequence}`)) {
      report('fleetDeleted', { key });
    }
    if (isNewest && !this.#isWanted(key, entries)) return false;
    this.#newest.set(key, found.at(-1));
    if (isNewest) this.#newestOnly.add(key);
    else this.#newestOnly.delete(key);
    this.#entries.set(key, entries);
    return true;
  }

  #isKnown(key: string, newest: BucketEntry | undefined): boolean {
    const known = this.#newest.get(key);
    return known?.sequence === newest?.sequence && known?.text === newest?.text;
  }

  /** Keys whose newest entry turned out not to be for us, and nothing older is known. */
  get short(): string[] {
    return [...this.#newestOnly].filter((key) => {
      const entries = this.#entries.get(key) ?? [];
      return !this.#parts.memory.good.has(key) && !this.#isWanted(key, entries);
    });
  }

  #isWanted(key: string, entries: readonly Entry[]): boolean {
    const { newest, wanted } = this.#choose(key, entries);
    return newest !== null && newest.state === null && wanted?.revision === newest.revision;
  }

  #choose(key: string, entries: readonly Entry[], running: Version | null = null): Choice {
    const { gateway, memory } = this.#parts;
    return choose({
      ...{ gateway, entries },
      good: memory.good.get(key) ?? null,
      running,
      seen: memory.seen(key),
      blame: (hash) => memory.blame(hash),
    });
  }

  wanted(running: Layers): Layers {
    const { keys, memory, report } = this.#parts;
    const wanted = new Map<string, Version>();
    for (const key of keys) {
      const choice = this.#choose(key, this.#entries.get(key) ?? [], running.get(key) ?? null);
      if (choice.seen !== null) memory.see(key, choice.seen);
      if (choice.wanted !== null) wanted.set(key, choice.wanted);
      if (choice.newest === null) continue;
      this.#verdicts.set(key, choice.newest);
      const { revision, state, reason } = choice.newest;
      if (!this.#isNews(key, JSON.stringify(choice.newest))) continue;
      if (state === 'spared') report('fleetSpared', { key, revision });
      // What is taken back was told when it was.
      if (state === 'refused') report('fleetRefused', { key, revision, reason });
    }
    return wanted;
  }

  /** @param onTrial keys whose text is being watched */
  layers(running: Layers, onTrial: readonly string[]): Record<string, LayerReport> {
    return Object.fromEntries(
      [...this.#verdicts].map(([key, { revision, hash, state, reason }]) => {
        const runs = running.get(key)?.revision ?? null;
        const waits = onTrial.includes(key) || runs !== revision;
        const shown: LayerState = state ?? (waits ? 'pending' : 'applied');
        return [key, { revision, hash, state: shown, reason, running: runs }];
      }),
    );
  }

  #isNews(what: string, shown: string): boolean {
    const before = this.#told.get(what);
    this.#told.set(what, shown);
    return before !== shown;
  }
}
