/**
 * What holds for every config and every pair of Topic Filters, on generated ones.
 * The seed of a failure is printed by fast-check and repeats it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { checkText } from '../agent/config/check.ts';
import { covers, filterFault, overlaps, withoutShare } from '../agent/config/topic-filter.ts';
import { isLoopback } from '../agent/config/units.ts';
import { readMqttUrl, showMqttUrl } from '../agent/config/url.ts';

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

const level = fc.constantFrom('a', 'b', '', '$x');
const names = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const filters = fc
  .tuple(
    fc.array(fc.constantFrom('a', 'b', '', '+', '$x'), { minLength: 0, maxLength: 3 }),
    fc.boolean(),
  )
  .map(([levels, hash]) => [...levels, ...(hash ? ['#'] : [])].join('/'))
  .filter((filter) => filterFault(filter) === null);

test('a route called unreachable has no Topic Name of its own', () => {
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

/**
 * Every Topic Name of up to `most` levels out of those the filters are made of. The empty one,
 * which is none, counts here: + and /# meet only there, and nobody writes them for that.
 */
function everyName(most: number): string[] {
  const words = ['a', 'b', '', '$x'];
  let shorter = words;
  const all = [...words];
  for (let levels = 2; levels <= most; levels++) {
    shorter = shorter.flatMap((name) => words.map((word) => `${name}/${word}`));
    all.push(...shorter);
  }
  return all;
}

test('two Topic Filters overlap exactly where some Topic Name is matched by both', () => {
  const all = everyName(4);
  let met = 0;
  fc.assert(
    fc.property(filters, filters, (one, other) => {
      const both = all.some((name) => matches(one, name) && matches(other, name));
      met += both ? 1 : 0;
      assert.equal(overlaps(one, other), both, `${one} and ${other}`);
      assert.equal(overlaps(other, one), both, `${other} and ${one}`);
    }),
    { numRuns: 2_000 },
  );
  assert.ok(met > 100, `only ${met} pairs met`);
});

test('a shared subscription is its Topic Filter, and a broken one is none', () => {
  const group = fc.string({ minLength: 1, maxLength: 5 }).filter((name) => !/[/+#\0]/.test(name));
  fc.assert(
    fc.property(group, filters, (name, filter) => {
      assert.equal(withoutShare(`$share/${name}/${filter}`), filter);
      assert.equal(withoutShare(filter), filter);
    }),
  );
  for (const broken of ['$share', '$share/g', '$share/g/', '$share//a', '$share/+/a']) {
    assert.equal(withoutShare(broken), null, broken);
  }
});

const hosts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.domain(), fc.constantFrom('localhost', 'a_b'));

test('the URL of an MQTT server is read as it is shown', () => {
  const urls = fc.record({
    host: hosts,
    port: fc.integer({ min: 1, max: 65_535 }),
    tls: fc.boolean(),
    websocket: fc.boolean(),
    path: fc.constantFrom('/mqtt', '/', '/a/b?c=d', '/a:8'),
  });
  fc.assert(
    fc.property(urls, (url) => {
      const read = readMqttUrl(showMqttUrl(url));
      assert.ok('value' in read, JSON.stringify(read));
      assert.deepEqual(read.value, { ...url, path: url.websocket ? url.path : '/mqtt' });
    }),
    { numRuns: 1_000 },
  );
  const ports = { mqtt: 1883, mqtts: 8883, ws: 80, wss: 443 };
  fc.assert(
    fc.property(hosts, fc.constantFrom(...Object.entries(ports)), (host, [scheme, port]) => {
      const shown = host.includes(':') ? `[${host}]` : host;
      const read = readMqttUrl(`${scheme}://${shown}`);
      assert.ok('value' in read, JSON.stringify(read));
      assert.deepEqual([read.value.host, read.value.port], [host, port]);
    }),
  );
});

test('any value is a URL or has a remedy, and one with a secret in it is refused', () => {
  const text = fc.oneof(fc.anything(), fc.string(), fc.webUrl());
  const made = fc
    .tuple(fc.constantFrom('mqtt', 'wss', 'tcp'), fc.string())
    .map((p) => p.join('://'));
  fc.assert(
    fc.property(fc.oneof(text, made), (value) => {
      const read = readMqttUrl(value);
      if ('wrong' in read) assert.ok(read.wrong !== '' && read.remedy !== '');
      else assert.ok(read.value.port > 0 && !read.value.host.includes('@'));
    }),
    { numRuns: 2_000 },
  );
  assert.match(JSON.stringify(readMqttUrl('mqtts://me:secret@host')), /user name or password/);
});

test('only addresses of this machine are spoken to in plain text without a word', () => {
  fc.assert(
    fc.property(hosts, (host) => {
      const local = host === 'localhost' || /^127\./.test(host) || isLoopback(host);
      const shown = host.includes(':') ? `[${host}]` : host;
      const text = (insecure: boolean) => `
mqtt: { sources: [{ url: 'mqtt://${shown}', subscribe: a, insecure: ${insecure} }] }
routes: []
upstreams: {}
`;
      const plain = (insecure: boolean) =>
        checkText(text(insecure), 'x', {}).problems.some((each) => /plain text/.test(each.message));
      assert.deepEqual([plain(false), plain(true)], [!local, false]);
    }),
    { numRuns: 300 },
  );
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
