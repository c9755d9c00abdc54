/**
 * What a gateway remembers of its fleet, bounded, over restarts; and which of several changed
 * layers is at fault when the whole does not fit.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fleetHashesRemembered } from '../agent/bounds.ts';
import type { CheckedLayers } from '../agent/config/check.ts';
import type { Layer } from '../agent/config/layers.ts';
import { isPublicNkey } from '../agent/config/public-nkey.ts';
import type { Version } from '../agent/fleet/history.ts';
import { readKept } from '../agent/fleet/kept-layers.ts';
import { changedKeys, fit, isSame, type Layers, reasonOf } from '../agent/fleet/layers.ts';
import { keptLayersFor, Memory } from '../agent/fleet/memory.ts';
import { createNkey, nkeyFromPublic } from '../agent/nats-client.ts';

const keys = ['fleet.default', 'group.a', 'gateway.gw'];

function version(key: string, revision: number, config = `${key} ${revision}`): Version {
  const written = { key, revision, hash: config, config, rollout: null };
  return { ...written, text: JSON.stringify(written) };
}

const layersOf = (...versions: readonly Version[]): Layers =>
  new Map(versions.map((one) => [one.key, one]));

function remembering(text?: string): { memory: Memory; kept: () => string } {
  let last = text ?? '';
  const memory = new Memory(readKept(text), keys, (written) => {
    last = written;
  });
  return { memory, kept: () => last };
}

test('all of it outlives the process', () => {
  const { memory, kept } = remembering();
  memory.see('group.a', { revision: 7, hash: 'h7' });
  memory.confirm(layersOf(version('fleet.default', 1), version('group.a', 7)));
  memory.remember(['bad', 'whole'], { state: 'reverted', reason: 'cloud is halted' });
  assert.equal(memory.begin('next'), 1);
  const again = remembering(kept()).memory;
  assert.deepEqual([...again.good.keys()], ['fleet.default', 'group.a']);
  assert.ok(isSame(again.good, memory.good));
  assert.deepEqual(again.seen('group.a'), { revision: 7, hash: 'h7' });
  assert.equal(again.seen('fleet.default'), null);
  assert.deepEqual(again.blame('bad'), { state: 'reverted', reason: 'cloud is halted' });
  assert.equal(again.blame('other'), null);
  assert.equal(again.begin('next'), 2, 'begun twice without an end');
  assert.equal(again.begin('another'), 1);
  again.restore(null);
  assert.equal(again.begin('another'), 1);
});

test('what was refused is remembered for so many, the oldest is forgotten', () => {
  const { memory, kept } = remembering();
  for (let i = 0; i <= fleetHashesRemembered; i++) {
    memory.remember([`h${i}`, `h${i}`], { state: 'refused', reason: `${i}` });
  }
  assert.equal(memory.blame('h0'), null);
  assert.equal(memory.blame('h1')?.reason, '1');
  assert.equal(readKept(kept()).refused.length, fleetHashesRemembered);
});

test('layers of groups that a gateway has left are not its own any more', () => {
  const { memory, kept } = remembering();
  memory.confirm(layersOf(version('fleet.default', 1), version('group.a', 7)));
  const left = new Memory(readKept(kept()), ['fleet.default'], () => {});
  assert.deepEqual([...left.good.keys()], ['fleet.default']);
  // A file that is not valid by itself cannot say its groups: as they were kept.
  const all = keptLayersFor(kept(), null).map(({ source }) => source);
  assert.deepEqual(all, ['fleet.default@1', 'group.a@7']);
});

/** Refuses what says `bad`, and two that say `clash` together. */
function check(layers: readonly Layer[]): CheckedLayers {
  const wrong = layers.filter(({ text }) => text.includes('bad'));
  const clashes = layers.filter(({ text }) => text.includes('clash'));
  const faults = [...wrong, ...(clashes.length > 1 ? clashes.slice(1) : [])];
  const problems = faults.map(({ source, text }) => ({
    ...{ source, line: 3, column: 1, key: 'routes', message: text, remedy: '' },
    severity: 'error' as const,
  }));
  const config = faults.length > 0 ? null : ({} as CheckedLayers['config']);
  return { config, problems, bufferPath: '', text: '', origins: () => [] };
}

test('of several layers that changed, those at fault are named, each with its reason', () => {
  const running = layersOf(version('fleet.default', 1));
  const wanted = layersOf(
    version('fleet.default', 2, 'bad'),
    version('group.a', 1),
    version('gateway.gw', 1, 'also bad'),
  );
  assert.deepEqual(changedKeys(running, wanted), keys);
  const { checked, faults } = fit(running, wanted, check);
  assert.equal(checked.config, null);
  assert.deepEqual(faults, [
    { key: 'fleet.default', reason: 'fleet.default@2:3: routes: bad' },
    { key: 'gateway.gw', reason: 'gateway.gw@1:3: routes: also bad' },
  ]);
});

test('layers that are good by themselves and not together: the narrower one is at fault', () => {
  const wanted = layersOf(version('fleet.default', 1, 'clash'), version('group.a', 1, 'clash'));
  assert.deepEqual(
    fit(layersOf(), wanted, check).faults.map(({ key }) => key),
    ['group.a'],
  );
});

test('layers that are good only together are taken together', () => {
  const needs = (layers: readonly Layer[]): CheckedLayers => {
    const both = layers.length === 0 || layers.length === 2;
    return check(both ? [] : [{ source: 'x', text: 'bad' }]);
  };
  const wanted = layersOf(version('fleet.default', 1), version('group.a', 1));
  assert.deepEqual(fit(layersOf(), wanted, needs).faults, []);
});

test('a reason names the first error and how many there are', () => {
  const layers = ['a bad', 'b bad', 'c bad'].map((text) => ({ source: text, text }));
  assert.equal(reasonOf(check(layers)), 'a bad:3: routes: a bad (and 2 more)');
});

test('a public nkey is told from what is mistyped, as the library does', () => {
  const isTaken = (text: string): boolean => {
    try {
      return nkeyFromPublic(text).verify(new Uint8Array(1), new Uint8Array(64)) === false;
    } catch {
      return false;
    }
  };
  const { publicKey } = createNkey();
  assert.equal(isPublicNkey(publicKey), true);
  for (const wrong of ['', publicKey.toLowerCase(), `${publicKey}A`, createNkey().seed ?? '']) {
    assert.equal(isPublicNkey(wrong), false, wrong);
  }
  const letter = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567');
  fc.assert(
    fc.property(fc.nat(55), letter, (at, put) => {
      const changed = publicKey.slice(0, at) + put + publicKey.slice(at + 1);
      assert.equal(isPublicNkey(changed), isTaken(changed));
    }),
  );
});
