/**
 * Token buckets over a change of routes: a limit that stays keeps what devices have used up, so
 * that a reload is no gift of tokens; a limit that changed, or is new, starts full. The core is
 * asked through the same `PathCore` that the agent installs routes into.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limitBuckets, limitsMax } from '../agent/bounds.ts';
import type { Limit, Route } from '../agent/config/types.ts';
import { stops } from '../agent/frames/core.ts';
import { PathCore } from '../agent/frames/path-core.ts';
import { publishPacket } from './support/packets.ts';
import { call } from './vectors/call.ts';

const limit = (given: Partial<Limit> = {}): Limit => ({
  per: 'device',
  messagesPerSecond: 1,
  bytesPerSecond: 0,
  burstMessages: 3,
  burstBytes: 0,
  over: 'hold',
  ...given,
});
const route = (name: string, limits: readonly Limit[], from = `${name}/#`): Route => ({
  ...{ name, from, limits, to: [], local: false, maxBytes: null, httpOnly: false },
});
const ids = [1, 2, 3];

/** How many of `count` frames of a device may pass now. */
function admitted(core: PathCore, topicName: string, device: string, count: number): number {
  const packet = publishPacket({ topicName, payload: 'x', qos: 0 });
  for (let passed = 0; passed < count; passed++) {
    call(core.core, packet, { device, livedMs: 0 });
    core.core.segmentReset();
    if (core.core.stop() === stops.held) return passed;
  }
  return count;
}

test('a limit that stays keeps its buckets, wherever its route stands by then', () => {
  const core = new PathCore();
  core.installRoutes([route('a', [limit()]), route('b', [limit()])], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 2), 2);
  assert.equal(admitted(core, 'b/x', 'pump', 9), 3);
  const before = [route('new', [limit()]), route('b', [limit()])];
  core.installRoutes([...before, route('a', [limit({ over: 'hold' })], 'a/+')], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 9), 1, 'what was left of three');
  assert.equal(admitted(core, 'b/x', 'pump', 9), 0);
  assert.equal(admitted(core, 'b/x', 'other', 9), 3);
  assert.equal(admitted(core, 'new/x', 'pump', 9), 3);
});

test('a limit that changed starts full, once; one that went leaves nothing', () => {
  const core = new PathCore();
  core.installRoutes([route('a', [limit()])], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 9), 3);
  core.installRoutes([route('a', [limit({ burstMessages: 5 })])], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 9), 5);
  core.installRoutes([route('a', [limit({ burstMessages: 5 })])], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 9), 0);
  core.installRoutes([], []);
  core.installRoutes([route('a', [limit({ burstMessages: 5 })])], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 9), 5);
});

test('shared buckets stay too, and two equal limits of one route stay two', () => {
  const core = new PathCore();
  const shared = limit({ per: 'route', burstMessages: 4 });
  const routes = [route('a', [shared, shared])];
  core.installRoutes(routes, ids);
  assert.equal(admitted(core, 'a/x', 'pump', 3), 3);
  core.installRoutes(routes, ids);
  assert.equal(admitted(core, 'a/x', 'other', 9), 1);
});

test('places of limits and buckets that went are used again', () => {
  const core = new PathCore();
  for (let round = 0; round < 5; round++) {
    const many = Array.from({ length: limitsMax }, (_, i) =>
      limit({ burstMessages: 1 + i + round * limitsMax }),
    );
    core.installRoutes([route('a', many)], ids);
  }
  for (let round = 1; round < 4; round++) {
    core.installRoutes([route('a', [limit({ burstMessages: round })])], ids);
    for (let i = 0; i < limitBuckets / 2; i++) {
      assert.equal(admitted(core, 'a/x', `device-${i}`, 1), 1, `${round} ${i}`);
    }
    assert.equal(core.core.overflows(), 0);
  }
});

test('a config that does not fit is refused, and the present one goes on as it was', () => {
  const core = new PathCore();
  core.installRoutes([route('a', [limit()])], ids);
  assert.equal(admitted(core, 'a/x', 'pump', 2), 2);
  const long = Array.from({ length: 512 }, (_, i) =>
    route(`r${i}`, [], Array.from({ length: 200 }, (_, level) => `${i}-${level}`).join('/')),
  );
  assert.throws(() => PathCore.assertFits(long, []), { code: 'configTooLarge' });
  assert.equal(admitted(core, 'a/x', 'pump', 9), 1);
});
