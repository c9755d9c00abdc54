/**
 * A guest's life as tests: it is lived once, before the first of them, and each promise of these
 * parts (guest/promises.ts) is a test of its own, which looks for it in what the guest told.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { type Part, promises } from '../guest/promises.ts';
import { type Life, type LifeSetup, live } from './guest-life.ts';
import { seedOfRun } from './random.ts';

const livesWithinMs = 2_400_000;

/** Declares the tests. @returns what gives the life, once they run */
export function tellPromises(
  setup: Pick<LifeSetup, 'suite' | 'kind' | 'cut'>,
  parts: readonly Part[],
): () => Life {
  let told: Life | undefined;
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  before(
    async () => {
      told = await live({ ...setup, seed: seedOfRun(), deb: null, say });
    },
    { timeout: livesWithinMs },
  );
  const life = (): Life => {
    assert.ok(told, 'the guest did not live');
    return told;
  };
  for (const [name, sentence] of parts.flatMap((part) => Object.entries<string>(promises[part]))) {
    test(sentence, (t) => {
      const check = life().checks.get(name);
      assert.ok(check, 'the guest did not come to it');
      t.diagnostic(JSON.stringify(check.detail));
      assert.ok(check.seen, check.because);
    });
  }
  return life;
}
