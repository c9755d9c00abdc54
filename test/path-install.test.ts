/**
 * New routes in the middle of a stream: every frame is stored under the routes it was taken by, and
 * its segment counts it so, also where devices wait for room because the disk is behind.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { KIB } from '../agent/bounds.ts';
import { loadCore } from '../agent/frames/core.ts';
import { SegmentReader } from '../agent/frames/segment-reader.ts';
import { eventually, fullRoute, Rig } from './support/rig.ts';

const frames = 40;
const payload = 'x'.repeat(100 * KIB);
const route = (name: string, at: number) => fullRoute({ name, from: 'plant/#', local: false }, at);

/** Per segment: what its frames say of their route, and what it counts. */
function routesOf(rig: Rig): { stored: number[]; counted: number[] }[] {
  const reader = new SegmentReader(loadCore());
  return rig.disk.segments.map(({ body, routes }) => {
    const open = reader.open(new Uint8Array(body));
    if (!('frame' in open)) throw new Error('a damaged segment');
    const stored = Array.from({ length: open.frames }, (_, i) => open.frame(i).routeId);
    return { stored, counted: routes.flatMap(([id, count]) => Array(count).fill(id)) };
  });
}

test('who waits for room goes on under the new routes, in a segment of its own', async () => {
  await using rig = await Rig.start({ routes: [route('old', 0)], held: true });
  const devices = await Promise.all(['a', 'b', 'c'].map((name) => rig.device(name)));
  for (let id = 1; id <= frames; id++) {
    for (const device of devices) device.publish('plant/a', payload, id);
  }
  // Two commits on their way, a third is full: now all of them wait.
  await eventually('the disk is behind', () => rig.disk.segments.length === 2);
  await sleep(200);
  const path = rig.path;
  assert.ok(path);
  path.install([route('first', 0), route('new', 1)], [7, 8]);
  rig.disk.held = false;
  rig.disk.release();
  for (const device of devices) {
    await device.until('puback', frames);
    assert.deepEqual(
      device.acknowledged(),
      Array.from({ length: frames }, (_, i) => i + 1),
    );
  }
  const segments = routesOf(rig);
  for (const { stored, counted } of segments) assert.deepEqual(counted, stored);
  const all = segments.flatMap(({ stored }) => stored);
  assert.equal(all.length, frames * devices.length);
  const first = all.indexOf(7);
  assert.ok(first > 0, 'some before, some after');
  assert.ok(all.slice(0, first).every((id) => id === 1));
  assert.ok(all.slice(first).every((id) => id === 7));
});
