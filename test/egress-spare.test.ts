/**
 * Spare buffers: what a batch leaves behind serves the next one, within a bound.
 * That nothing of an old batch shows in a new one is egress-kafka.test.ts's to see.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SpareBuffers } from '../agent/egress/spare-buffers.ts';

test('a buffer that was given back is taken again, by whoever needs that size', () => {
  const spare = new SpareBuffers(1 << 20);
  const first = spare.take(100_000);
  assert.equal(first.length, 131_072);
  spare.give(first);
  assert.equal(spare.keptBytes, 131_072);
  assert.equal(spare.take(70_000), first);
  assert.notEqual(spare.take(70_000), first);
  assert.equal(spare.keptBytes, 0);
});

test('what is kept is bounded in bytes', () => {
  const spare = new SpareBuffers(300_000);
  for (const buffer of [1, 2, 3, 4].map(() => spare.take(131_072))) spare.give(buffer);
  assert.equal(spare.keptBytes, 262_144);
});
