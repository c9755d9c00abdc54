/**
 * The package on a machine of its own: a Debian 12 with its systemd boots under qemu, and the .deb
 * is installed, used, upgraded, downgraded, removed and purged in it, with a power cut between.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tellPromises } from './support/guest-told.ts';

const life = tellPromises({ suite: 'bookworm', kind: 'life', cut: 'kill' }, ['life', 'after']);

test('a power cut loses no event that the guest told to be acknowledged', (t) => {
  const { power } = life();
  assert.ok(power, 'there was no power cut');
  t.diagnostic(JSON.stringify(power));
  assert.ok(power.ledger.acknowledged > 0);
  assert.deepEqual(power.ledger.lost, []);
  assert.equal(power.ledger.outOfOrder, 0);
});
