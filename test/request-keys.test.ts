/**
 * Keys of requests by themselves: what is known for how long, whose it is, how many there may be.
 * That they are durable is shown with a real agent in bridge.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestKeyAgeMs, requestKeysMax, requestKeysOfDeviceMax } from '../agent/bounds.ts';
import type { SessionChange, SessionRow } from '../agent/buffer/protocol.ts';
import { type Once, RequestKeys } from '../agent/ingress/request-keys.ts';
import type { Judged } from '../agent/ingress/request-source.ts';

const stored = (...frames: readonly number[]): Judged[] =>
  frames.map((frame) => ({ outcome: 'stored', frame }));
const once = (key: string, fingerprint = 'f'): Once => ({ key, fingerprint });

class Rig {
  lived = 1_000;
  readonly rows = new Map<number, SessionRow>();
  keys: RequestKeys;

  constructor() {
    this.keys = this.restarted();
  }

  restarted(): RequestKeys {
    this.keys = new RequestKeys(
      [...this.rows.values()],
      () => this.lived,
      (change) => this.apply(change),
    );
    return this.keys;
  }

  apply(change: SessionChange | null): void {
    if (change?.op === 'put') this.rows.set(change.id, change);
    if (change?.op === 'delete') this.rows.delete(change.id);
  }

  send(device: string, what: Once, judged: readonly Judged[]): void {
    const key = this.keys.begin(device, what);
    this.apply(key.taken(judged));
    key.committed();
  }
}

test('a key answers where its events are, for its own device and request, over a restart', () => {
  const rig = new Rig();
  const frames = stored(7, 8, 12);
  rig.send('a', once('k'), frames);
  for (const keys of [rig.keys, rig.restarted()]) {
    assert.deepEqual(keys.find('a', once('k')), frames);
    assert.equal(keys.find('a', once('k', 'g')), 'other');
    assert.equal(keys.find('b', once('k')), null);
  }
});

test('until its commit is on disk a key is on its way', () => {
  const rig = new Rig();
  const key = rig.keys.begin('a', once('k'));
  assert.equal(rig.keys.find('a', once('k')), 'onItsWay');
  rig.apply(key.taken(stored(1)));
  assert.equal(rig.keys.find('a', once('k')), 'onItsWay');
  key.committed();
  assert.deepEqual(rig.keys.find('a', once('k')), stored(1));
});

test('what was not stored whole leaves no row, and its key may come again', () => {
  const rig = new Rig();
  const key = rig.keys.begin('a', once('k'));
  const judged: Judged[] = [...stored(1), { outcome: 'limited', waitMs: 1 }];
  assert.equal(key.taken(judged), null);
  key.failed();
  assert.equal(rig.keys.find('a', once('k', 'another')), null);
  assert.equal(rig.rows.size, 0);
});

test('a key is forgotten after a day of lived time, and its row goes', () => {
  const rig = new Rig();
  rig.send('a', once('k'), stored(1));
  rig.lived += requestKeyAgeMs;
  assert.deepEqual(rig.keys.find('a', once('k')), stored(1));
  rig.lived += 1;
  assert.equal(rig.keys.find('a', once('k')), null);
  assert.equal(rig.rows.size, 0);
});

test('too many keys cost the device that has most its oldest', () => {
  const rig = new Rig();
  rig.send('quiet', once('k'), stored(1));
  for (let n = 0; n <= requestKeysOfDeviceMax; n++) rig.send('busy', once(`k${n}`), stored(n));
  assert.equal(rig.keys.find('busy', once('k0')), null);
  assert.deepEqual(rig.keys.find('busy', once('k1')), stored(1));
  const rest = requestKeysMax - requestKeysOfDeviceMax;
  for (let n = 0; n < rest; n++) rig.send(`d${n}`, once('k'), stored(n));
  assert.equal(rig.keys.find('busy', once('k1')), null);
  assert.deepEqual(rig.keys.find('quiet', once('k')), stored(1));
  assert.equal(rig.rows.size, requestKeysMax);
});

test('a key on its way is never forgotten for want of room, nor settled by another request', () => {
  const rig = new Rig();
  const first = rig.keys.begin('busy', once('first'));
  rig.apply(first.taken(stored(5)));
  for (let n = 0; n <= requestKeysOfDeviceMax; n++) rig.send('busy', once(`k${n}`), stored(n));
  assert.equal(rig.keys.find('busy', once('first')), 'onItsWay');
  first.committed();
  assert.deepEqual(rig.keys.find('busy', once('first')), stored(5));
});

test('a key that failed can begin again, whatever its first request hears later', () => {
  const rig = new Rig();
  const first = rig.keys.begin('a', once('k'));
  first.failed();
  const second = rig.keys.begin('a', once('k'));
  first.committed();
  first.failed();
  assert.equal(rig.keys.find('a', once('k')), 'onItsWay');
  rig.apply(second.taken(stored(9)));
  second.committed();
  assert.deepEqual(rig.keys.find('a', once('k')), stored(9));
  assert.deepEqual(rig.restarted().find('a', once('k')), stored(9));
});
