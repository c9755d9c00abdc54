/**
 * The package on a machine of its own: a Debian 12 with its systemd boots under qemu, and the .deb
 * is installed, used, upgraded, downgraded, removed and purged in it, with a power cut between. One
 * run; each promise of `guest/promises.ts` is a test that looks for it in what the guest told.
 */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { type Part, promises } from '../guest/promises.ts';
import { type Life, live } from '../support/guest-life.ts';
import { seedOfRun } from '../support/random.ts';

const parts: readonly Part[] = ['life', 'after'];
const runWithinMs = 900_000;
let told: Life | null = null;

before(
  async () => {
    const say = (line: string): void => void process.stderr.write(`${line}\n`);
    const seed = seedOfRun();
    told = await live({ suite: 'bookworm', kind: 'life', seed, deb: null, say });
  },
  { timeout: runWithinMs },
);

for (const part of parts) {
  for (const [name, sentence] of Object.entries<string>(promises[part])) {
    test(sentence, (t) => {
      const check = told?.checks.get(name);
      assert.ok(check, 'the guest did not come to it');
      t.diagnostic(JSON.stringify(check.detail));
      assert.ok(check.seen, check.because);
    });
  }
}

test('a power cut loses no event that the guest told to be acknowledged', (t) => {
  assert.ok(told?.power, 'there was no power cut');
  t.diagnostic(JSON.stringify(told.power));
  assert.ok(told.power.ledger.acknowledged > 0);
  assert.deepEqual(told.power.ledger.lost, []);
  assert.equal(told.power.ledger.outOfOrder, 0);
});
