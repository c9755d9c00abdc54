/**
 * What holds for every config and every pair of Topic Filters, on generated ones.
 * The seed of a failure is printed by fast-check and repeats it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkText } from '../agent/config/check.ts';
import { covers, filterFault } from '../agent/config/topic-filter.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1e9);
console.log(`config-laws seed ${seed}`);
fc.configureGlobal({ seed });

/** Matches by the standard's text, one level at a time; not the code under test. */
function matches(filter: string, name: string): boolean {
  if (name.startsWith('$') && /^[+#]/.test(filter)) return false;
  const walk = (f: string[], n: string[]): boolean => {
    if (f.length === 0) return n.length === 0;
    if (f[0] === '#') return true;
    if (n.length === 0) return false;
    return (f[0] === '+' || f[0] === n[0]) && walk(f.slice(1), n.slice(1));
  };
  const levels = filter.split('/');
  if (levels.at(-1) === '#' && walk(levels.slice(0, -1), name.split('/'))) return true;
  return walk(levels, name.split('/'));
}

test('a route called unreachable has no Topic Name of its own', () => {
  const level = fc.constantFrom('a', 'b', '', '$x');
  const names = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
  const filters = fc
    .tuple(
      fc.array(fc.constantFrom('a', 'b', '', '+', '$x'), { minLength: 1, maxLength: 3 }),
      fc.boolean(),
    )
    .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'))
    .filter((filter) => filterFault(filter) === null);
  let covered = 0;
  fc.assert(
    fc.property(filters, filters, fc.array(names, { maxLength: 20 }), (outer, inner, sample) => {
      if (!covers(outer, inner)) return;
      covered += 1;
      for (const name of sample) {
        if (matches(inner, name)) assert.ok(matches(outer, name), `${outer} ${inner} ${name}`);
      }
    }),
    { numRuns: 5_000 },
  );
  assert.ok(covered > 50, `only ${covered} pairs covered`);
  assert.ok(covers('#', 'a/+/c') && covers('a/#', 'a') && covers('+/b', 'a/b'));
  assert.ok(!covers('#', '$SYS/#') && !covers('a/+', 'a/#') && !covers('a', 'a/#'));
});

test('any text is answered with problems or a config, never with an exception', () => {
  const word = fc.constantFrom(
    ...['routes', 'upstreams', 'to', 'name', 'from', 'mqtt', 'listeners', 'bind', 'http', 'lag'],
    ...['buffer', 'bytes', 'kafka', 'brokers', 'limits', '__proto__', 'a/#', '1GiB', '127.0.0.1:1'],
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 5 },
      word,
      fc.dictionary(word, tie('tree'), { maxKeys: 5 }),
      fc.array(tie('tree'), { maxLength: 3 }),
      fc.jsonValue({ maxDepth: 1 }),
    ),
  }));
  fc.assert(
    fc.property(tree, (value) => {
      const { config, problems } = checkText(JSON.stringify(value) ?? '', 'x', {});
      assert.ok(config !== null || problems.some((problem) => problem.severity === 'error'));
    }),
    { numRuns: 1_000 },
  );
  fc.assert(
    fc.property(fc.string(), (text) => void checkText(text, 'x', {})),
    { numRuns: 500 },
  );
});
