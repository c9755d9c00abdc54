/**
 * Which version of a key runs on a gateway: the newest that is for it, never one that is older than
 * what was seen, never one that did harm.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Blame, type Choice, type ChoiceInput, choose } from '../agent/fleet/choose.ts';
import type { Entry, Version } from '../agent/fleet/history.ts';

const nobody = { share: Number.MIN_VALUE, seed: 's' };

function version(revision: number, more: Partial<Version> = {}): Version {
  const hash = more.hash ?? `h${revision}`;
  return { key: 'fleet.default', revision, hash, config: '', rollout: null, text: '', ...more };
}

let sequence = 0;
const signed = (revision: number, more: Partial<Version> = {}): Entry => {
  return { kind: 'signed', sequence: ++sequence, version: version(revision, more) };
};
const bad = (): Entry => ({ kind: 'bad', sequence: ++sequence, hash: 'x', reason: 'unsigned' });
const deleted = (): Entry => ({ kind: 'deleted', sequence: ++sequence });

function chosen(
  entries: readonly Entry[],
  more: Partial<Omit<ChoiceInput, 'blame'>> & { blamed?: Record<string, Blame> } = {},
): Choice {
  const { blamed = {}, ...input } = more;
  return choose({
    ...{ gateway: 'gw', entries, good: null, running: null, seen: null },
    blame: (hash) => blamed[hash] ?? null,
    ...input,
  });
}

function shown({ wanted, newest, seen }: Choice): unknown[] {
  return [
    wanted?.revision ?? null,
    newest?.state ?? null,
    newest?.revision ?? null,
    seen?.revision,
  ];
}

test('nothing was ever written: nothing is wanted, nothing is said', () => {
  assert.deepEqual(chosen([]), { wanted: null, newest: null, seen: null });
});

test('the newest is wanted, and seen', () => {
  assert.deepEqual(shown(chosen([signed(1), signed(2)])), [2, null, 2, 2]);
});

test('what is not signed is refused, and what was signed before it runs', () => {
  const choice = chosen([signed(1), signed(2), bad()]);
  assert.deepEqual(shown(choice), [2, 'refused', 2, 2]);
  assert.equal(choice.newest?.reason, 'unsigned');
  assert.deepEqual(shown(chosen([bad()])), [null, 'refused', 0, undefined]);
});

test('an old revision written again is refused as replayed', () => {
  const choice = chosen([signed(1), signed(2), signed(1)]);
  assert.deepEqual(shown(choice), [2, 'refused', 1, 2]);
  assert.match(choice.newest?.reason ?? '', /^replayed: revision 1 after 2/);
});

test('also when the bucket has forgotten the newer one', () => {
  const good = version(5);
  const choice = chosen([signed(3)], { good, seen: { revision: 5, hash: 'h5' } });
  assert.deepEqual(shown(choice), [5, 'refused', 3, 5]);
  const never = chosen([signed(3)], { seen: { revision: 5, hash: 'h5' } });
  assert.deepEqual(shown(never), [null, 'refused', 3, 5], 'it was seen, and never ran');
});

test('a revision has one text: another under the same number is refused', () => {
  const twice = chosen([signed(1), signed(2), signed(2, { hash: 'other' })]);
  assert.deepEqual(shown(twice), [2, 'refused', 2, 2]);
  assert.equal(twice.wanted?.hash, 'h2');
  const later = chosen([signed(2, { hash: 'other' })], {
    good: version(2),
    seen: { revision: 2, hash: 'h2' },
  });
  assert.deepEqual(shown(later), [2, 'refused', 2, 2]);
  assert.equal(later.wanted?.hash, 'h2');
  const again = chosen([signed(2), signed(2)]);
  assert.deepEqual(shown(again), [2, null, 2, 2], 'the same entry twice is the same');
});

test('a canary for others is spared: the newest older one that is for us runs', () => {
  const choice = chosen([signed(1), signed(2), signed(3, { rollout: nobody })]);
  assert.deepEqual(shown(choice), [2, 'spared', 3, 3]);
  const canaries = [signed(1), signed(2, { rollout: nobody }), signed(3, { rollout: nobody })];
  assert.deepEqual(shown(chosen(canaries)), [1, 'spared', 3, 3]);
  assert.deepEqual(shown(chosen(canaries.slice(1))), [null, 'spared', 3, 3]);
  assert.deepEqual(shown(chosen(canaries.slice(1), { good: version(1) })), [1, 'spared', 3, 3]);
});

test('what is remembered as bad is not tried again: the last good one runs', () => {
  const blame: Blame = { state: 'reverted', reason: 'cloud is halted' };
  const entries = [signed(1), signed(2), signed(3)];
  const choice = chosen(entries, { good: version(1), blamed: { h3: blame } });
  assert.deepEqual(shown(choice), [1, 'reverted', 3, 3]);
  assert.equal(choice.newest?.reason, 'cloud is halted');
  assert.deepEqual(
    shown(chosen(entries, { blamed: { h3: blame } })),
    [2, 'reverted', 3, 3],
    'a gateway without a good one takes the next older',
  );
});

test('a rollback is an old text under a new revision', () => {
  const blamed: Record<string, Blame> = { h2: { state: 'reverted', reason: '' } };
  const choice = chosen([signed(1), signed(2), signed(3, { hash: 'h1' })], {
    good: version(1),
    blamed,
  });
  assert.deepEqual(shown(choice), [3, null, 3, 3]);
});

test('a delete is unsigned and takes nothing away', () => {
  assert.deepEqual(shown(chosen([signed(1), deleted()])), [1, null, 1, 1]);
  const purged = chosen([deleted()], { good: version(4), seen: { revision: 4, hash: 'h4' } });
  assert.deepEqual(shown(purged), [4, null, 4, 4]);
  const lost = chosen([], { good: version(4), seen: { revision: 4, hash: 'h4' } });
  assert.deepEqual(shown(lost), [4, null, 4, 4]);
});

test('what is on trial stays there, whatever the bucket has lost; harm takes it back', () => {
  const [good, running] = [version(4), version(8)];
  const on = { good, running, seen: { revision: 9, hash: 'h9' } };
  const canary = signed(9, { rollout: nobody });
  for (const entries of [[], [deleted()], [signed(5)], [signed(5), canary], [bad()]]) {
    assert.equal(chosen(entries, on).wanted, running);
  }
  const blamed: Record<string, Blame> = { h8: { state: 'reverted', reason: '' } };
  assert.equal(chosen([deleted()], { ...on, blamed }).wanted, good);
  assert.equal(chosen([], { ...on, good: null }).wanted, running);
  assert.equal(chosen([signed(8), signed(10)], on).wanted?.revision, 10);
});

test('whatever stands in the bucket: never below the good one, never a blamed one', () => {
  const entry = fc.oneof(
    fc.record({ revision: fc.integer({ min: 1, max: 6 }), canary: fc.boolean() }),
    fc.constantFrom('bad' as const, 'deleted' as const),
  );
  const blamedHashes = fc.uniqueArray(fc.integer({ min: 1, max: 6 }));
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 10 }), fc.nat(4), blamedHashes, (list, at, blames) => {
      const entries = list.map((one) => {
        if (one === 'bad') return bad();
        if (one === 'deleted') return deleted();
        return signed(one.revision, { rollout: one.canary ? nobody : null });
      });
      const good = at === 0 ? null : version(at);
      const seen = good === null ? null : { revision: at, hash: good.hash };
      const blame: Blame = { state: 'refused', reason: '' };
      const blamed = Object.fromEntries(blames.map((one) => [`h${one}`, blame]));
      const { wanted, seen: after } = chosen(entries, { good, seen, blamed });
      assert.ok((wanted?.revision ?? 0) >= at);
      assert.ok((after?.revision ?? 0) >= at);
      if (wanted === null || wanted === good) return;
      assert.equal(blamed[wanted.hash], undefined);
      assert.equal(wanted.rollout, null);
    }),
  );
});
