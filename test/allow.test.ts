/**
 * Allow rules against a model that reads them as the prose says: deny by default where any rule is,
 * `*` in a device's name, `{device}` as one level that is the device's own name. The model shares
 * no code with what it judges, nor with agent/config/topic-filter.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { allowPatternsMax } from '../agent/bounds.ts';
import { covers, filterFault, withoutShare } from '../agent/config/topic-filter.ts';
import type { AllowRule } from '../agent/config/types.ts';
import { AllowRules, matchesPattern, ownLevel } from '../agent/ingress/allow.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1e9);
console.log(`allow seed ${seed}`);
fc.configureGlobal({ seed });

type Listeners = readonly { readonly allow: readonly AllowRule[] }[];
const compiled = (listeners: Listeners) => new AllowRules(listeners, { covers, withoutShare });
const rule = (given: Partial<AllowRule>): AllowRule => ({
  device: '*',
  publish: [],
  subscribe: [],
  ...given,
});

/** Level by level, as the standard says, with `{device}` as the one more kind of level. */
function matches(filter: readonly string[], name: readonly string[], device: string): boolean {
  const [level, ...more] = filter;
  if (level === undefined) return name.length === 0;
  if (level === '#') return true;
  const [first, ...rest] = name;
  if (first === undefined) return false;
  const isOwn = level === '{device}' && first === device && !/^$|^\$|[/+#]/.test(device);
  if (level !== '+' && level !== first && !isOwn) return false;
  if (level === '{device}' && !isOwn) return false;
  return matches(more, rest, device);
}

function allowed(filter: string, name: string, device: string): boolean {
  if (name.startsWith('$') && /^[+#]/.test(filter)) return false;
  const levels = filter.split('/');
  if (levels.at(-1) === '#' && matches(levels.slice(0, -1), name.split('/'), device)) return true;
  return matches(levels, name.split('/'), device);
}

function isFor(pattern: string, device: string): boolean {
  const escaped = pattern.split('*').map((part) => part.replace(/[$+^.|?(){}[\]\\]/g, '\\$&'));
  return new RegExp(`^${escaped.join('.*')}$`, 's').test(device);
}

const devices = fc.constantFrom('a', 'b', 'ab', 'a/b', '', '+', '#', '$x', 'a+', '{device}');
const patterns = fc.constantFrom('*', 'a', 'a*', '*b', 'a*b', '**', '$*', '{device}');
const words = fc.constantFrom('a', 'b', '', '$x');
const names = fc.array(words, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const filters = fc
  .tuple(
    fc.array(fc.oneof(words, fc.constantFrom('+', '{device}', '{device}')), { maxLength: 3 }),
    fc.boolean(),
  )
  .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'))
  .filter((filter) => filterFault(filter) === null);
const lists = fc.array(filters, { maxLength: 3 });
const rules = fc.record({ device: patterns, publish: lists, subscribe: lists });
const setups = fc.array(fc.record({ allow: fc.array(rules, { maxLength: 4 }) }), {
  minLength: 1,
  maxLength: 3,
});

test('a device may publish what a rule allows it, and nothing else where any rule is', () => {
  const met = { allowed: 0, denied: 0 };
  fc.assert(
    fc.property(setups, fc.nat(2), devices, names, (listeners, at, device, name) => {
      const index = at % listeners.length;
      const { allow } = listeners[index] as Listeners[number];
      const may =
        allow.length === 0 ||
        allow.some(
          (each) =>
            isFor(each.device, device) && each.publish.some((f) => allowed(f, name, device)),
        );
      const made = compiled(listeners);
      assert.equal(made.mayPublish(index, device, name), may);
      // What the core does with the filters and the mask of a connection.
      const mask = made.groupsFor(index, device);
      const byMask = made.filters.some(
        ({ filter, groups }) => (groups & mask) !== 0 && allowed(filter, name, device),
      );
      assert.equal(made.isAsked(index), allow.length > 0);
      assert.equal(!made.isAsked(index) || byMask, may);
      met[may ? 'allowed' : 'denied'] += allow.length > 0 ? 1 : 0;
    }),
    { numRuns: 5_000 },
  );
  assert.ok(met.allowed > 100 && met.denied > 100, JSON.stringify(met));
});

test('a device may subscribe only where every Topic Name it would get is allowed to it', () => {
  const met = { allowed: 0, denied: 0 };
  const sample = fc.array(names, { maxLength: 20 });
  fc.assert(
    fc.property(
      fc.array(rules, { minLength: 1, maxLength: 3 }),
      devices,
      filters,
      sample,
      (...x) => {
        const [allow, device, asked, heard] = x;
        const made = compiled([{ allow }]);
        const may = made.maySubscribe(0, device, asked);
        assert.equal(made.maySubscribe(0, device, `$share/g/${asked}`), may);
        met[may ? 'allowed' : 'denied'] += 1;
        const mine = allow.filter((each) => isFor(each.device, device));
        if (!may) {
          // What stands in a rule as it is may be asked for.
          const exact = mine.some((each) => each.subscribe.includes(asked));
          assert.ok(!exact || asked.includes('{device}'), asked);
          return;
        }
        for (const name of heard.filter((each) => allowed(asked, each, 'no device'))) {
          const covered = mine.some((each) => each.subscribe.some((f) => allowed(f, name, device)));
          assert.ok(covered, `${device} asked for ${asked} and would hear ${name}`);
        }
      },
    ),
    { numRuns: 5_000 },
  );
  assert.ok(met.allowed > 100 && met.denied > 100, JSON.stringify(met));
});

test('a device name never becomes levels, wildcards or a topic of the broker', () => {
  const own = rule({ publish: ['{device}/#'], subscribe: ['{device}/#', 'up/{device}'] });
  const made = compiled([{ allow: [own] }]);
  assert.ok(made.mayPublish(0, 'pump', 'pump/x') && made.maySubscribe(0, 'pump', 'up/pump'));
  for (const device of ['', '+', '#', 'a/b', '$SYS', '$share', 'a\u0000']) {
    assert.equal(ownLevel(device), null, device);
    assert.equal(made.mayPublish(0, device, `${device}/x`), false, device);
    assert.equal(made.maySubscribe(0, device, `${device}/x`), false, device);
    assert.equal(made.maySubscribe(0, device, `up/${device}`), false, device);
    assert.equal(made.mayPublish(0, device, '{device}/x'), false, device);
  }
  assert.equal(made.maySubscribe(0, 'pump', '$share/g/pump/x'), true);
  assert.equal(made.maySubscribe(0, 'pump', '$share/g'), false);
  assert.equal(made.mayPublish(0, 'pump', 'pump/+'), false);
});

test('a pattern matches as * says, and a long name costs no more for it', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 8 }),
      fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 8 }),
      (pattern, device) => assert.equal(matchesPattern(pattern, device), isFor(pattern, device)),
    ),
    { numRuns: 5_000 },
  );
  assert.equal(matchesPattern(`${'*a'.repeat(500)}*c`, 'a'.repeat(60_000)), false);
});

test('listeners keep their rules apart, and the last of the bits is one like the others', () => {
  const many = Array.from({ length: allowPatternsMax - 1 }, (_, i) =>
    rule({ device: `d${i}`, publish: ['t'] }),
  );
  const made = compiled([{ allow: many }, { allow: [rule({ publish: ['t'] })] }, { allow: [] }]);
  assert.deepEqual(made.filters, [{ filter: 't', groups: 0xffff_ffff }]);
  assert.equal(made.groupsFor(1, 'd0'), 0x8000_0000);
  assert.equal(made.groupsFor(0, 'd1'), 2);
  assert.equal(made.groupsFor(2, 'd1'), 0);
  assert.ok(made.mayPublish(2, 'd1', 'anything') && !made.mayPublish(0, 'other', 't'));
  const more = [...many, rule({ device: 'x', publish: ['t'] }), rule({ publish: ['t'] })];
  assert.throws(() => compiled([{ allow: more }]), /more than 32 device patterns/);
});
