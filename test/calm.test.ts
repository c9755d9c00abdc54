/**
 * When memory is given back: after the start and after a burst, once, and not while anything moves.
 * The clock is node:test's own.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { calmLookEveryMs } from '../agent/bounds.ts';
import { Calm } from '../agent/calm.ts';

test('memory goes back after the start and each burst, once, and never while it lasts', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const burst = 5;
  let moved = 0;
  let given = 0;
  const calm = new Calm(
    () => moved,
    () => {
      given += 1;
    },
    burst,
  );
  const look = (): void => t.mock.timers.tick(calmLookEveryMs);
  look();
  assert.equal(given, 1, 'the start is over');
  given = 0;
  for (let i = 0; i < 3; i++) {
    moved += burst;
    look();
    assert.equal(given, 0, 'the burst lasts');
  }
  look();
  assert.equal(given, 1, 'it is over');
  look();
  look();
  assert.equal(given, 1, 'and told once');
  moved += burst - 1;
  look();
  look();
  assert.equal(given, 1, 'a trickle is no burst');
  moved += 1;
  look();
  look();
  assert.equal(given, 2, 'the next one counts anew');
  calm.close();
  moved += burst;
  look();
  look();
  assert.equal(given, 2, 'closed is closed');
});
