/**
 * Route matching and the local filters, against a matcher that walks the grammar of [MQTT-4.7]
 * level by level; and what happens when a trie is full or as deep as it can be.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Core, loadCore, row, rowBits, stops } from '../agent/frames/core.ts';
import { faults } from '../agent/frames/faults.ts';
import { seedOfRun } from './support/random.ts';
import { matches } from './support/topics.ts';
import { call } from './vectors/call.ts';

const seed = seedOfRun();
const runs = 3_000;

function wellFormed(filter: string): boolean {
  const levels = filter.split('/');
  return (
    filter !== '' &&
    levels.every(
      (level, index) =>
        level === '+' || (level === '#' && index === levels.length - 1) || !/[+#]/.test(level),
    )
  );
}

function scratch(core: Core, text: string): number {
  return core.bytes.write(text, core.SCRATCH_OFFSET);
}

function routed(
  core: Core,
  topicName: string,
  firstByte = 0x30,
): { route: number; local: boolean } {
  const name = Buffer.from(topicName);
  const length = name.length + 2;
  const remaining = length < 128 ? [length] : [(length & 127) | 128, length >> 7];
  const packet = Buffer.concat([
    Buffer.from([firstByte, ...remaining, name.length >> 8, name.length & 255]),
    name,
  ]);
  assert.equal(call(core, packet), 1, topicName);
  core.segmentReset();
  const bits = core.rows[row.bits] ?? 0;
  return { route: core.rows[row.route] ?? -2, local: (bits & rowBits.local) !== 0 };
}

const literal = fc.constantFrom(
  'a',
  'b',
  'ab',
  '',
  '$S',
  'ü',
  'a-long-level-of-more-than-eight-bytes',
);
const topicNames = fc
  .array(literal, { minLength: 1, maxLength: 5 })
  .map((levels) => levels.join('/'))
  .filter((name) => name !== '');
const filters = fc
  .tuple(
    fc.array(fc.oneof(literal, fc.constant('+')), { minLength: 0, maxLength: 5 }),
    fc.boolean(),
  )
  .map(([levels, all]) => (all ? [...levels, '#'] : levels).join('/'))
  .filter((filter) => filter !== '');

test('the first route that matches wins, as a naive matcher sees it', (t) => {
  t.diagnostic(`seed ${seed}`);
  const core = loadCore();
  fc.assert(
    fc.property(
      fc.array(filters, { maxLength: 12 }),
      fc.array(topicNames, { maxLength: 8 }),
      (routes, names) => {
        core.routesClear();
        for (const [index, filter] of routes.entries()) {
          assert.equal(core.routeAdd(scratch(core, filter), index, 0, 0), index);
        }
        for (const name of names) {
          const expected = routes.findIndex((filter) => matches(filter, name));
          assert.equal(routed(core, name).route, expected, `${name} in ${routes.join(' ')}`);
        }
      },
    ),
    { seed, numRuns: runs },
  );
});

test('LOCAL is set when the route is local and a filter may match, or RETAIN is 1', (t) => {
  t.diagnostic(`seed ${seed}`);
  const core = loadCore();
  core.routeAdd(scratch(core, 'a/#'), 1, 0, 0);
  core.routeAdd(scratch(core, '#'), 2, 0, 1);
  core.routeAdd(scratch(core, '$S/#'), 3, 0, 1);
  fc.assert(
    fc.property(
      fc.array(filters, { maxLength: 8 }),
      topicNames,
      fc.boolean(),
      (held, name, retain) => {
        core.localClear();
        for (const filter of held) assert.equal(core.localAdd(scratch(core, filter)), 0);
        const found = routed(core, name, retain ? 0x31 : 0x30);
        const wanted = found.route >= 1 && held.some((filter) => matches(filter, name));
        assert.equal(found.local, retain || wanted, `${name} for ${held.join(' ')}`);
      },
    ),
    { seed, numRuns: runs },
  );
});

test('a malformed Topic Filter is refused, a well-formed one is not', (t) => {
  t.diagnostic(`seed ${seed}`);
  const core = loadCore();
  const piece = fc.constantFrom('a', '+', '#', '/', 'ü');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 7 }), (pieces) => {
      const filter = pieces.join('');
      core.routesClear();
      const made = core.routeAdd(scratch(core, filter), 1, 0, 0);
      const refused = filter === '' ? -faults.topicFilterEmpty : -faults.topicFilterWildcard;
      assert.equal(made, wellFormed(filter) ? 0 : refused, filter);
    }),
    { seed, numRuns: runs },
  );
  core.memory.set([0x61, 0], core.SCRATCH_OFFSET);
  assert.equal(core.routeAdd(2, 1, 0, 0), -faults.utf8, 'NUL');
  core.memory.set([0xed, 0xa0, 0x80], core.SCRATCH_OFFSET);
  assert.equal(core.routeAdd(3, 1, 0, 0), -faults.utf8, 'surrogate');
});

test('the examples of the standard', () => {
  const cases: [filter: string, topicName: string, matches: boolean][] = [
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/x', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['ACCOUNTS', 'Accounts', false],
  ];
  for (const [filter, name, expected] of cases) {
    const core = loadCore();
    core.routeAdd(scratch(core, filter), 1, 0, 0);
    assert.equal(routed(core, name).route === 0, expected, `${filter} ${name}`);
    assert.equal(matches(filter, name), expected, `naive ${filter} ${name}`);
  }
});

test('a full local trie matches everything rather than missing a subscriber', () => {
  const core = loadCore();
  core.routeAdd(scratch(core, 'a/#'), 1, 0, 1);
  let added = 0;
  while (core.localAdd(scratch(core, `s/${added}`)) === 0) added++;
  assert.ok(added > 5_000, `${added} filters fitted`);
  assert.equal(routed(core, 'a/not/subscribed').local, true);
  core.localClear();
  assert.equal(routed(core, 'a/not/subscribed').local, false);
});

test('a route filter that does not fit is refused whole, and those before it still match', () => {
  const core = loadCore();
  assert.equal(core.routeAdd(scratch(core, 'plant/+/x'), 1, 0, 0), 0);
  const deep = 'a/'.repeat(32_000);
  assert.equal(core.routeAdd(scratch(core, deep), 2, 0, 0), -faults.trieFull);
  assert.equal(routed(core, 'plant/1/x').route, 0);
  assert.equal(routed(core, 'a/a').route, -1);
  assert.equal(routed(core, 'a/'.repeat(8_000)).route, -1, 'a name as deep as the trie');
  core.routesClear();
  const plus = '+/'.repeat(8_000).slice(0, -1);
  assert.equal(core.routeAdd(scratch(core, plus), 1, 0, 0), 0);
  assert.equal(routed(core, '/'.repeat(7_999)).route, 0, '8,000 empty levels');
  assert.equal(core.stop(), stops.end);
  const wide = '+/'.repeat(9_000).slice(0, -1);
  core.routesClear();
  assert.equal(core.routeAdd(scratch(core, wide), 1, 0, 0), -faults.trieFull);
});
