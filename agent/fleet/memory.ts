/**
 * What a gateway remembers of its fleet over restarts, written to the buffer's meta table at each
 * change:
 *
 *   good     the layers that were confirmed: what runs after a crash, and what is gone back to
 *   seen     the highest revision of each key, so that no older one comes back
 *   blamed   texts that were refused or did harm: never tried again
 *   trial    the config that is being watched, and how often it was begun: one that ends the
 *            process again and again is blamed too
 */
import { fleetHashesRemembered } from '../bounds.ts';
import type { Layer } from '../config/layers.ts';
import type { Config } from '../config/types.ts';
import type { Blame, Seen } from './choose.ts';
import { versionOf } from './history.ts';
import { type KeptFleet, readKept } from './kept-layers.ts';
import { type Layers, layersOf } from './layers.ts';
import { keysOf } from './report.ts';

export class Memory {
  readonly #keep: (text: string) => void;
  #kept: KeptFleet;
  #good: Layers;

  /**
   * @param keys of this gateway by now: layers of others were kept for nothing
   * @param keep writes durably, before what is written after it
   */
  constructor(kept: KeptFleet, keys: readonly string[], keep: (text: string) => void) {
    this.#keep = keep;
    this.#kept = kept;
    this.#good = goodLayers(kept, keys);
  }

  get good(): Layers {
    return this.#good;
  }

  /** What ran before it is no trial any more. */
  confirm(layers: Layers): void {
    this.#good = layers;
    const texts = Object.fromEntries([...layers].map(([key, { text }]) => [key, text]));
    this.#save({ layers: texts, trial: null });
  }

  seen(key: string): Seen | null {
    const revision = this.#kept.seen[key];
    if (revision === undefined) return null;
    return { revision, hash: this.#kept.seenHashes?.[key] ?? null };
  }

  see(key: string, { revision, hash }: Seen): void {
    const before = this.seen(key);
    if (before?.revision === revision && before.hash === hash) return;
    const { seen, seenHashes } = this.#kept;
    const hashes = { ...seenHashes, ...(hash === null ? {} : { [key]: hash }) };
    this.#save({ seen: { ...seen, [key]: revision }, seenHashes: hashes });
  }

  blame(hash: string): Blame | null {
    const found = this.#kept.refused.find((one) => one.hash === hash);
    return found === undefined ? null : { state: found.state ?? 'refused', reason: found.reason };
  }

  remember(hashes: readonly string[], blame: Blame): void {
    const at = new Date().toISOString();
    const fresh = [...new Set(hashes)]
      .filter((hash) => this.blame(hash) === null)
      .map((hash) => ({ hash, at, ...blame }));
    const refused = [...this.#kept.refused, ...fresh].slice(-fleetHashesRemembered);
    this.#save({ refused });
  }

  get trial(): KeptFleet['trial'] {
    return this.#kept.trial ?? null;
  }

  /** @returns how often this one was begun without an end */
  begin(hash: string): number {
    const { trial } = this;
    const attempts = trial?.hash === hash ? trial.attempts + 1 : 1;
    this.#save({ trial: { hash, attempts } });
    return attempts;
  }

  /** In the place of what was begun: nothing, or what was on trial before. */
  restore(trial: KeptFleet['trial']): void {
    this.#save({ trial: trial ?? null });
  }

  #save(change: Partial<KeptFleet>): void {
    this.#kept = { ...this.#kept, ...change };
    this.#keep(JSON.stringify(this.#kept));
  }
}

export function goodLayers({ layers }: KeptFleet, keys: readonly string[]): Layers {
  const found = keys.flatMap((key) => layers[key] ?? []).map(versionOf);
  return new Map(found.map((version) => [version.key, version]));
}

/** @param alone the local file by itself; null when it is not valid so: then as they were kept */
export function keptLayersFor(text: string, alone: Config | null): Layer[] {
  const kept = readKept(text);
  const { fleet = null, gateway = '' } = alone ?? {};
  if (alone !== null && fleet === null) return [];
  const keys = fleet === null ? Object.keys(kept.layers) : keysOf(gateway, fleet.groups);
  return layersOf(goodLayers(kept, keys));
}
