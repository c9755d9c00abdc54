/**
 * Layers of a fleet's config: the merge, rule by rule, the place of every value and problem in the
 * layer that holds it, and what a layer from outside may not say.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CheckedLayers, checkLayers, checkText } from '../agent/config/check.ts';
import { mergeLayers } from '../agent/config/layers.ts';
import { parseYaml, writeYaml } from '../agent/config/parse.ts';

const trust = 'UDXRE74PRHIG7HGIZKICL4ODNKSIBSMGB6VCO6HZHXY4XKTNXA3CRKWQ';
const local = `gateway: gw1
fleet: { servers: nats://127.0.0.1, trust: ${trust} }
`;
const reference = (name: string): string => `\${${name}}`;

function merged(...texts: readonly string[]): unknown {
  return mergeLayers(texts.map((text, at) => ({ source: String(at), parsed: parseYaml(text) })))
    .tree;
}

function check(...central: readonly string[]): CheckedLayers {
  const layers = central.map((text, index) => ({ source: `layer-${index + 1}`, text }));
  return checkLayers({ source: 'local.yaml', text: local }, layers, {});
}

test('maps are merged by key, as deep as they go; other lists replace', () => {
  const wide = 'a: { b: { c: 1, d: 2 }, e: [1, 2] }\nf: 3';
  assert.deepEqual(merged(wide, 'a: { b: { d: 4 }, e: [5] }'), {
    a: { b: { c: 1, d: 4 }, e: [5] },
    f: 3,
  });
});

test('null in a narrower layer takes the key out', () => {
  assert.deepEqual(merged('upstreams: { a: 1, b: 2 }', 'upstreams: { a: ~ }'), {
    upstreams: { b: 2 },
  });
  assert.deepEqual(merged('a: 1', 'upstreams: { a: ~, b: { c: ~ } }'), {
    a: 1,
    upstreams: { b: {} },
  });
});

test('routes are merged by name, whole, and the narrower ones come first', () => {
  const wide = 'routes: [{ name: a, from: 1, local: true }, { name: b, from: 2 }]';
  const narrow = 'routes: [{ name: c, from: 3 }, { name: a, from: 4 }]';
  const narrowest = 'routes: [{ name: b, from: 5 }]';
  assert.deepEqual(merged(wide, narrow, narrowest), {
    routes: [
      { name: 'b', from: 5 },
      { name: 'c', from: 3 },
      { name: 'a', from: 4 },
    ],
  });
});

const keys = fc.constantFrom('a', 'b', 'c');
const { tree: trees } = fc.letrec((tie) => ({
  tree: fc.dictionary(keys, fc.oneof({ depthSize: 'small' }, fc.integer(), tie('tree')), {
    maxKeys: 3,
    noNullPrototype: true,
  }),
}));

test('an empty layer changes nothing, nor one over itself; the merge is associative', () => {
  fc.assert(
    fc.property(trees, trees, trees, (one, two, three) => {
      const [a, b, c] = [one, two, three].map((tree) => writeYaml(tree)) as [
        string,
        string,
        string,
      ];
      assert.deepEqual(merged(a, '{}'), one);
      assert.deepEqual(merged('{}', a), one);
      assert.deepEqual(merged(a, a), one);
      assert.deepEqual(merged(a, b, c), merged(writeYaml(merged(a, b)), c));
    }),
  );
});

test('every value knows the layer and line it came from, also under a later map', () => {
  const layers = [
    'a: 1\nb:\n  c: 2\n  d: 3\nroutes:\n  - name: x\n    from: 1\n',
    '\n\nb:\n  d: 4\nroutes:\n  - { name: y, from: 2 }\n',
  ];
  const located = mergeLayers(
    layers.map((text, index) => ({ source: `s${index}`, parsed: parseYaml(text) })),
  );
  const place = (...path: (string | number)[]) => {
    const { source, line } = located.at(path, 'value');
    return `${source}:${line}`;
  };
  assert.equal(place('a'), 's0:1');
  assert.equal(place('b', 'c'), 's0:3');
  assert.equal(place('b', 'd'), 's1:4');
  assert.equal(place('routes', 0, 'from'), 's1:6');
  assert.equal(place('routes', 1, 'from'), 's0:7');
});

const good = `routes:
  - { name: a, from: 'a/#', to: { upstream: out } }
upstreams:
  out: { file: { directory: ./out } }
`;

test('a problem names the layer that holds the key', () => {
  const { config, problems } = check(good, 'upstreams:\n  out: { lag: { over: hlod } }\n');
  assert.equal(config, null);
  const [problem, ...others] = problems;
  assert.deepEqual(others, []);
  assert.equal(problem?.source, 'layer-2');
  assert.equal(problem?.line, 2);
  assert.equal(problem?.key, 'upstreams.out.lag.over');
});

test('a syntax error in one layer refuses the whole, by its name', () => {
  const { config, problems } = check(good, 'routes: [');
  assert.equal(config, null);
  assert.ok(problems.every(({ source }) => source === 'layer-2'));
});

test('the local file alone says how this gateway is reached', () => {
  for (const [text, key] of [
    ['gateway: other', 'gateway'],
    [`fleet: { servers: nats://127.0.0.1, trust: ${trust} }`, 'fleet'],
    ['http: off', 'http'],
    ['buffer: { path: /tmp/x.db }', 'buffer.path'],
  ] as const) {
    const { config, problems } = check(good, text);
    assert.equal(config, null, key);
    const found = problems.find((problem) => problem.key === key);
    assert.equal(found?.source, 'layer-2');
    assert.match(found?.message ?? '', /only stand in the local file/);
    assert.match(found?.remedy ?? '', /Take it out/);
  }
  assert.equal(check(good, 'buffer: { bytes: 2GiB }').config?.buffer.bytes, 2 * 1024 ** 3);
});

test('a central config cannot send a secret of the gateway along with the events', () => {
  for (const value of [reference('TOKEN'), 'file:/etc/shadow', `x${reference('TOKEN')}`]) {
    const to = `to: { upstream: out, headers: { h: '${value}' } }`;
    const route = `routes:\n  - name: b\n    from: b\n    ${to}`;
    const layers = [good, route].map((text, at) => ({ source: `layer-${at + 1}`, text }));
    const env = { TOKEN: 'secret' };
    const found = checkLayers({ source: 'local.yaml', text: local }, layers, env);
    assert.equal(found.config, null, value);
    assert.match(found.problems[0]?.message ?? '', /would send a secret along/);
  }
});

test('the effective text is the same config again, with references as they were written', () => {
  const nats = `{ servers: nats://127.0.0.1, token: '${reference('T')}' }`;
  const upstream = `upstreams: { mesh: { nats: ${nats} } }`;
  const layers = [good, upstream].map((text, at) => ({ source: `layer-${at + 1}`, text }));
  const env = { T: 'secret' };
  const found = checkLayers({ source: 'local.yaml', text: local }, layers, env);
  assert.ok(found.config, JSON.stringify(found.problems));
  assert.ok(!found.text.includes('secret'));
  assert.deepEqual(checkText(found.text, 'again', env).config, found.config);
  const origins = found.origins();
  assert.ok(!JSON.stringify(origins).includes('secret'));
  const token = origins.find(({ key }) => key === 'upstreams.mesh.nats.token');
  assert.equal(token?.source, 'layer-2');
});

test('with a fleet, routes and upstreams may come later; without one they are missed', () => {
  assert.ok(check().config);
  assert.deepEqual(check().config?.routes, []);
  assert.deepEqual(check().config?.mqtt.listeners, []);
  const { problems } = checkText('gateway: gw1\n', 'x', {});
  assert.ok(problems.some(({ key }) => key === 'routes'));
});

test('a layer cannot take the buffer of a gateway away, refused or not', () => {
  const file = `${local}buffer: { path: /var/lib/gw.db }\n`;
  for (const text of ['buffer: ~', 'buffer: /evil.db', 'buffer: { path: /evil.db }', 'routes: [']) {
    const layers = [
      { source: 'a', text: good },
      { source: 'b', text },
    ];
    const { config, bufferPath } = checkLayers({ source: 'local.yaml', text: file }, layers, {});
    assert.equal(config, null, text);
    assert.equal(bufferPath, '/var/lib/gw.db', text);
  }
  const scalar = `${local}buffer: /var/lib/gw.db\n`;
  const layer = { source: 'a', text: `${good}buffer: { age: 1d }\n` };
  assert.equal(checkLayers({ source: 'local.yaml', text: scalar }, [layer], {}).config, null);
});

test('an unknown key is named by its place in the layer, also where it says null', () => {
  for (const [text, key] of [
    ['bufer: ~', 'bufer'],
    ['log: { levle: ~ }', 'log.levle'],
    ["routes: [{ name: z, form: 'a/#', from: 'z/#', to: { upstream: out } }]", 'routes[0].form'],
  ] as const) {
    const { config, problems } = check(good, text);
    assert.equal(config, null);
    assert.deepEqual(
      problems.map((problem) => [problem.source, problem.key]),
      [['layer-2', key]],
    );
  }
  const { problems } = check(good, "routes: [{ name: z, from: 'z/#', to: { upstream: nowhere } }]");
  assert.equal(problems[0]?.key, 'routes[0].to.upstream');
  assert.equal(problems[0]?.source, 'layer-2');
});

test('layers that are too long together are refused, since they could not be read again', () => {
  const large = (name: string): string => {
    const routes = Array.from({ length: 250 }, (_, index) => {
      const headers = JSON.stringify({ h: 'x'.repeat(2_200) });
      const to = `{ upstream: out, headers: ${headers} }`;
      return `  - { name: ${name}${index}, from: ${name}/${index}, to: ${to} }`;
    });
    return `routes:\n${routes.join('\n')}\n`;
  };
  const { config, problems } = check(good, large('a'), large('b'));
  assert.equal(config, null);
  assert.ok(problems.some(({ message }) => /all layers together are more than/.test(message)));
});

test('no problem quotes what a reference stands for', () => {
  const secret = 'TOPSECRETVALUE';
  const layer = (text: string) => ({ source: 'layer', text });
  for (const text of [
    `nats: { sources: [{ servers: nats://127.0.0.1, subjects: a, device: '${reference('S')}' }] }`,
    `mqtt: { sources: [{ url: mqtt://127.0.0.1, subscribe: a, device: 'x${reference('S')}' }] }`,
    `upstreams: { a: { mqtt: { url: '${reference('S')}' } } }`,
    `upstreams: { '${reference('S')}': {} }`,
    `log: { level: '${reference('S')}' }`,
    `stopWithin: '${reference('S')}'`,
  ]) {
    const file = { source: 'local.yaml', text: local };
    const { config, problems } = checkLayers(file, [layer(good), layer(text)], { S: secret });
    assert.equal(config, null, text);
    assert.ok(!JSON.stringify(problems).includes(secret), JSON.stringify(problems));
  }
});

test('a secret does not travel: a central log-in is a reference', () => {
  const upstream = (token: unknown): string =>
    JSON.stringify({ upstreams: { m: { nats: { servers: 'nats://127.0.0.1', token } } } });
  for (const token of ['hunter2', 12_345, `x${reference('T')}`]) {
    const { config, problems } = check(good, upstream(token));
    assert.equal(config, null, String(token));
    const found = problems.find(({ key }) => key === 'upstreams.m.nats.token');
    assert.match(found?.message ?? '', /a secret does not travel/);
    assert.ok(!JSON.stringify(problems).includes('hunter2'));
  }
  const layers = [good, upstream(reference('T'))].map((text, at) => ({ source: `l${at}`, text }));
  const { config } = checkLayers({ source: 'x', text: local }, layers, { T: 'secret' });
  assert.ok(config);
});
