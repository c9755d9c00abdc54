/**
 * A config that runs and is not confirmed yet: its layers, which of them are new, and its judge.
 * What was usual before is handed on to a trial that takes its place.
 */

import type { Health, Usual } from './health.ts';
import { Judge, type Judgement, type Tolerance } from './judge.ts';
import { changedKeys, type Layers } from './layers.ts';

export interface TrialParts {
  readonly layers: Layers;
  /** What is gone back to. */
  readonly good: Layers;
  readonly usual: Usual;
  readonly start: Health;
  readonly tolerance: Tolerance;
}

export class Trial {
  layers: Layers;
  readonly usual: Usual;
  readonly #good: Layers;
  readonly #judge: Judge;

  constructor({ layers, good, usual, start, tolerance }: TrialParts) {
    this.layers = layers;
    this.usual = usual;
    this.#good = good;
    this.#judge = new Judge(usual, start, tolerance);
  }

  look(health: Health): Judgement {
    return this.#judge.look(health);
  }

  get changed(): string[] {
    return changedKeys(this.#good, this.layers);
  }

  /** Texts that go with it when it does harm. */
  get hashes(): string[] {
    return this.changed.flatMap((key) => this.layers.get(key)?.hash ?? []);
  }
}
