/**
 * The window: a cursor is contiguous, every frame has one outcome, and room comes back only from
 * the disk. Random orders of outcomes and takes must add up to the same sums.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Window, type WindowSegment } from '../agent/egress/window.ts';
import { type Outcome, outcomes } from '../agent/events.ts';

const buriedOf = (segment: WindowSegment, frame: number) => ({
  segment: segment.sequence,
  frame,
  routeId: 1,
  reason: 'limit',
  detail: '',
  body: new Uint8Array([frame]),
});

test('a window never moves the cursor past a frame without an outcome', () => {
  const window = new Window();
  const segment = window.add(5, 3, 100, 0);
  window.settle(segment, 1, 'confirmed');
  window.settle(segment, 2, 'confirmed');
  assert.equal(window.take(), null);
  window.settle(segment, 0, 'expired');
  const progress = window.take();
  assert.deepEqual(progress?.to, { segment: 6, frame: 0 });
  assert.deepEqual(progress?.outcomes, { expired: 1, confirmed: 2 });
  assert.equal(window.take(), null);
});

test('a window counts each frame once, whatever the order of outcomes and takes', () => {
  const kinds = outcomes.filter((name) => name !== 'buried' && name !== 'damaged');
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
      fc.infiniteStream(fc.nat()),
      (sizes, draws) => {
        const draw = (below: number) => (draws.next().value as number) % below;
        const window = new Window();
        const open: [WindowSegment, number][] = [];
        for (const [i, frames] of sizes.entries()) {
          const segment = window.add(i + 1, frames, 10, 0);
          for (let frame = 0; frame < frames; frame++) open.push([segment, frame]);
        }
        const told = new Map<string, number>();
        const expected = new Map<string, number>();
        while (open.length > 0) {
          const [[segment, frame]] = open.splice(draw(open.length), 1) as [[WindowSegment, number]];
          const outcome = [...kinds, 'passed'][draw(kinds.length + 1)] as Outcome | 'passed';
          if (outcome === 'passed') window.pass(segment, frame);
          else {
            window.settle(segment, frame, outcome);
            expected.set(outcome, (expected.get(outcome) ?? 0) + 1);
          }
          if (draw(3) !== 0) continue;
          const first = open.toSorted((a, b) => a[0].sequence - b[0].sequence || a[1] - b[1])[0];
          const progress = window.take();
          for (const [name, n] of Object.entries(progress?.outcomes ?? {})) {
            told.set(name, (told.get(name) ?? 0) + n);
          }
          if (progress === null || first === undefined) continue;
          const [pending, at] = first;
          const to = at === 0 ? { segment: pending.sequence, frame: 0 } : progress.to;
          assert.deepEqual(progress.to, to);
          if (at > 0) assert.deepEqual(progress.to, { segment: pending.sequence, frame: at });
        }
        for (const [name, n] of Object.entries(window.take()?.outcomes ?? {})) {
          told.set(name, (told.get(name) ?? 0) + n);
        }
        assert.deepEqual(new Map([...told].sort()), new Map([...expected].sort()));
      },
    ),
  );
});

test('a window gives room back only when the cursor is on disk', () => {
  const window = new Window({ frames: 10, bytes: 1_000 });
  const segment = window.add(1, 10, 100, 0);
  assert.equal(window.fits(1, 1), false);
  for (let i = 0; i < 10; i++) window.settle(segment, i, 'confirmed');
  const progress = window.take();
  assert.equal(window.fits(1, 1), false, 'a kill now would send all ten again');
  window.released(progress?.mark ?? 0);
  assert.equal(window.fits(10, 1_000), true);
  assert.equal(window.bytes, 0);
});

test('a window takes any segment when it is empty, and keeps its bounds otherwise', () => {
  const window = new Window({ frames: 10, bytes: 1_000 });
  assert.equal(window.fits(50, 5_000), true);
  window.add(1, 5, 100, 0);
  assert.equal(window.fits(5, 900), true);
  assert.equal(window.fits(6, 1), false);
  assert.equal(window.fits(1, 901), false);
});

test('a window hands out a buried frame with the cursor that passes it', () => {
  const window = new Window();
  const segment = window.add(1, 2, 10, 0);
  window.bury(segment, buriedOf(segment, 1));
  assert.equal(window.take(), null);
  window.settle(segment, 0, 'confirmed');
  const progress = window.take();
  assert.deepEqual(progress?.outcomes, { confirmed: 1, buried: 1 });
  assert.deepEqual(
    progress?.buried.map(({ frame }) => frame),
    [1],
  );
});

test('a frame with several targets waits for all of them; a buried one decides', () => {
  const window = new Window();
  const segment = window.add(1, 1, 10, 0);
  segment.expect(0, 3);
  window.settle(segment, 0, 'confirmed');
  window.bury(segment, buriedOf(segment, 0));
  assert.equal(window.take(), null);
  window.settle(segment, 0, 'confirmed');
  const progress = window.take();
  assert.deepEqual(progress?.outcomes, { buried: 1 });
  assert.equal(progress?.buried.length, 1);
});

test('a window counts a damaged segment once and names it', () => {
  const window = new Window();
  window.damage(window.add(4, 7, 10, 2), 3);
  const progress = window.take();
  assert.deepEqual(progress?.outcomes, { damaged: 3 });
  assert.deepEqual(progress?.damaged, [4]);
  assert.deepEqual(progress?.to, { segment: 5, frame: 0 });
});

test('a window ignores outcomes from before a jump', () => {
  const window = new Window();
  const old = window.add(1, 2, 10, 0);
  window.clear();
  window.settle(old, 0, 'confirmed');
  window.bury(old, buriedOf(old, 1));
  assert.equal(window.take(), null);
  assert.equal(window.frames, 0);
});

test('a window refuses a second outcome for a frame', () => {
  const window = new Window();
  const segment = window.add(1, 2, 10, 0);
  window.settle(segment, 0, 'confirmed');
  assert.throws(() => window.settle(segment, 0, 'confirmed'), /second outcome/);
});
