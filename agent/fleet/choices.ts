/**
 * All keys of this gateway: what the bucket holds of them, what is therefore wanted, and what is
 * said of each newest entry. What is refused or spared is told once.
 */
import type { Report } from '../events.ts';
import type { Nkey } from '../nats-client.ts';
import { choose, type Verdict } from './choose.ts';
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
  readonly #verdicts = new Map<string, Verdict>();
  readonly #told = new Map<string, string>();

  constructor(parts: ChoicesParts) {
    this.#parts = parts;
  }

  heard(key: string, found: readonly BucketEntry[]): void {
    const { trusted, report } = this.#parts;
    const entries = found.map((entry) => openEntry(entry, key, trusted));
    this.#entries.set(key, entries);
    const last = entries.at(-1);
    if (last?.kind === 'deleted' && this.#isNews(`${key} deleted`, `${last.sequence}`)) {
      report('fleetDeleted', { key });
    }
  }

  wanted(): Layers {
    const { gateway, keys, memory, report } = this.#parts;
    const wanted = new Map<string, Version>();
    for (const key of keys) {
      const choice = choose({
        gateway,
        entries: this.#entries.get(key) ?? [],
        good: memory.good.get(key) ?? null,
        seen: memory.seen(key),
        blame: (hash) => memory.blame(hash),
      });
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
