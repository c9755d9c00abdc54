/**
 * The config: all or nothing, and every problem named with its line, key and remedy. The table below
 * has one bad config per kind of problem; `»` marks the line that must be named.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { GIB, KIB, MIB, maxPacketSizeCeilingBytes } from '../agent/bounds.ts';
import { checkText } from '../agent/config/check.ts';
import { bufferOptionsOf, lanesOf, routeDefinitionsOf } from '../agent/config/derive.ts';
import { gatewayDefault } from '../agent/config/gateway.ts';
import { jsonSchemaText } from '../agent/config/json-schema.ts';
import { ConfigRefused, chooseConfig, defaultText, loadConfig } from '../agent/config/load.ts';
import { nearest } from '../agent/config/nearest.ts';
import { covers, filterFault } from '../agent/config/topic-filter.ts';
import type { Config, Problem } from '../agent/config/types.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1e9);
console.log(`config.test seed ${seed}`);
fc.configureGlobal({ seed });

const directory = mkdtempSync(join(tmpdir(), 'tidegate-config-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const file = 'routes: []\nupstreams: {}\n';
const good = `
routes:
  - { name: all, from: '#', to: { upstream: out } }
upstreams:
  out: { file: { directory: ./out } }
`;
const withRoute = (route: string): string => `upstreams: { out: { kafka: { brokers: [a:1] } } }
routes:
${route.replace(/^/gm, '  ')}
`;

function problemsOf(text: string, env: Record<string, string> = {}): readonly Problem[] {
  return checkText(text, 'test.yaml', env).problems;
}

function valid(text: string, env: Record<string, string> = {}): Config {
  const { config, problems } = checkText(text, 'test.yaml', env);
  assert.ok(config, JSON.stringify(problems, null, 1));
  return config;
}

type Bad = readonly [
  what: string,
  marked: string,
  key: string,
  message: RegExp,
  remedy: RegExp,
  severity?: 'warning',
];

const bad: readonly Bad[] = [
  ['broken YAML', 'a: 1\n» b: [', '', /./, /Mend the YAML/],
  ['a key written twice', `${file}log: { level: info }\n» log: {}`, '', /twice/, /Keep one/],
  ['a missing key', '» upstreams: {}', 'routes', /routes is missing/, /Add the key routes/],
  ['an unknown key', `${file}» gatway: x`, 'gatway', /unknown key gatway/, /mean gateway\?/],
  [
    'a slip deep inside',
    `${file}buffer:\n  path: x\n»   comitEvery: 0ms`,
    'buffer.comitEvery',
    /unknown key/,
    /mean commitEvery\?/,
  ],
  [
    'a key of a later version',
    `${file}» nats: {}`,
    'nats',
    /does not exist yet/,
    /Take the key out/,
  ],
  [
    'sources of a later version',
    `${file}mqtt:\n»   sources: []`,
    'mqtt.sources',
    /does not exist yet/,
    /out/,
  ],
  [
    'tls of a later version',
    `${file}mqtt:\n  listeners:\n    - bind: 127.0.0.1:1\n»       tls: {}`,
    'mqtt.listeners[0].tls',
    /does not exist yet/,
    /out/,
  ],
  [
    'a broker of a later version',
    `${file}mqtt:\n  listeners:\n    - bind: 127.0.0.1:1\n»       broker: mqtt://127.0.0.1:1884`,
    'mqtt.listeners[0].broker',
    /mqtt:\/\/127.0.0.1:1884 does not exist yet/,
    /embedded/,
  ],
  [
    'exactly-once',
    withRoute("- name: a\n  from: '#'\n  to:\n    upstream: out\n»     delivery: exactly-once"),
    'routes[0].to.delivery',
    /exactly-once does not exist yet/,
    /at-least-once/,
  ],
  ['a map for a list', 'upstreams: {}\n» routes: {}', 'routes', /a map is not a list/, /list/],
  [
    'a list for a map',
    `${file}» buffer: []`,
    'buffer',
    /is a list where a map/,
    /keys with values/,
  ],
  ['an empty key', `${file}» buffer:`, 'buffer', /is empty where a map/, /keys with values/],
  ['a number for a text', `${file}» gateway: 7`, 'gateway', /7 is not a text/, /quote/],
  [
    'a name that is none',
    `${file}» gateway: Plant_7`,
    'gateway',
    /Plant_7 is not a name/,
    /plant7/,
  ],
  ['a bare duration', `${file}» stopWithin: 5`, 'stopWithin', /5 has no unit/, /200ms, 5s/],
  ['a unit that is none', `${file}» stopWithin: 5sec`, 'stopWithin', /unknown unit sec/, /5s/],
  ['a bare size', `${file}» buffer: { bytes: 100 }`, 'buffer.bytes', /has no unit/, /1GiB/],
  ['a size of the wrong kind', `${file}» buffer: { bytes: 1GB }`, 'buffer.bytes', /unit GB/, /GiB/],
  ['a small buffer', `${file}» buffer: { bytes: 1MiB }`, 'buffer.bytes', /less than 16MiB/, /from/],
  [
    'a slow commit',
    `${file}» buffer: { commitEvery: 51ms }`,
    'buffer.commitEvery',
    /more than 50ms/,
    /from 0ms to 50ms/,
  ],
  [
    'a packet beyond the ceiling',
    `${file}mqtt:\n  listeners:\n    - bind: 127.0.0.1:1\n»       maxPacketSize: ${maxPacketSizeCeilingBytes + 1}B`,
    'mqtt.listeners[0].maxPacketSize',
    /more than 448KiB/,
    /to 448KiB/,
  ],
  [
    'a port alone',
    `${file}mqtt:\n  listeners:\n»     - bind: 1883`,
    'mqtt.listeners[0].bind',
    /a port without a host/,
    /127\.0\.0\.1:1883/,
  ],
  [
    'an impossible port',
    `${file}» http: { bind: 127.0.0.1:70000 }`,
    'http.bind',
    /65535/,
    /host:port/,
  ],
  [
    'an impossible address',
    `${file}» http: { bind: 1.2.3:1 }`,
    'http.bind',
    /not an address/,
    /host:port/,
  ],
  [
    'plain text towards the network',
    `${file}mqtt:\n  listeners:\n»     - bind: 0.0.0.0:1883`,
    'mqtt.listeners[0].bind',
    /plain text, without authentication/,
    /insecure: true/,
  ],
  [
    'HTTP towards the network',
    `${file}» http: { bind: '[::]:80' }`,
    'http.bind',
    /plain/,
    /insecure/,
  ],
  [
    'two listeners on one address',
    `${file}mqtt:\n  listeners:\n    - bind: 127.0.0.1:1\n»     - bind: 127.0.0.1:1`,
    'mqtt.listeners[1].bind',
    /is taken by 127.0.0.1:1/,
    /own port/,
  ],
  [
    'a listener on the HTTP port',
    `${file}mqtt:\n  listeners:\n    - { bind: 0.0.0.0:8, insecure: true }\n» http: { bind: 127.0.0.1:8 }`,
    'http.bind',
    /is taken by 0.0.0.0:8/,
    /own port/,
  ],
  [
    'a wildcard inside a level',
    withRoute('- name: a\n»   from: a/b+/c\n  to: { upstream: out }'),
    'routes[0].from',
    /a\/b\+\/c has \+ inside/,
    /alone between slashes/,
  ],
  [
    '# before the end',
    withRoute('- name: a\n»   from: a/#/c\n  to: { upstream: out }'),
    'routes[0].from',
    /# before its last level/,
    /last level/,
  ],
  [
    'a shared subscription',
    withRoute('- name: a\n»   from: $share/g/a\n  to: { upstream: out }'),
    'routes[0].from',
    /shared subscription/,
    /without \$share/,
  ],
  [
    'an upstream that is not there',
    withRoute('- name: a\n  from: a\n»   to: { upstream: oot }'),
    'routes[0].to.upstream',
    /no upstream oot/,
    /mean out\?/,
  ],
  [
    'the second target of a list',
    withRoute('- name: a\n  from: a\n  to:\n    - { upstream: out }\n»     - { upstream: oot }'),
    'routes[0].to[1].upstream',
    /no upstream oot/,
    /mean out\?/,
  ],
  [
    'two targets in one lane',
    withRoute(
      '- name: a\n  from: a\n  to:\n    - { upstream: out }\n»     - { upstream: out, topic: b }',
    ),
    'routes[0].to[1]',
    /second target .* lane out\/at-least-once/,
    /Keep one/,
  ],
  [
    'no target',
    withRoute('- name: a\n  from: a\n»   to: []'),
    'routes[0].to',
    /empty list/,
    /at least one/,
  ],
  [
    'two routes of one name',
    withRoute(
      '- { name: a, from: a, to: { upstream: out } }\n» - { name: a, from: b, to: { upstream: out } }',
    ),
    'routes[1].name',
    /name of routes\[0\] already/,
    /own name/,
  ],
  [
    'a route that an earlier one covers',
    withRoute(
      '- { name: a, from: a/#, to: { upstream: out } }\n» - { name: b, from: a/+/c, to: { upstream: out } }',
    ),
    'routes[1].from',
    /never matches: routes\[0\] \(a\/#\)/,
    /Move this route up/,
    'warning',
  ],
  [
    'a capture beyond the wildcards',
    withRoute("- name: a\n  from: a/+/b\n»   to: { upstream: out, topic: 'x.{2}' }"),
    'routes[0].to.topic',
    /names \{2\}, but a\/\+\/b has 1 wildcard/,
    /\{1\}/,
  ],
  [
    'a placeholder that is none',
    withRoute("- name: a\n  from: a\n»   to: { upstream: out, key: '{devise}' }"),
    'routes[0].to.key',
    /unknown placeholder \{devise\}/,
    /mean \{device\}\?/,
  ],
  [
    'a brace that does not close',
    withRoute("- name: a\n  from: a\n»   to: { upstream: out, topic: 'x{device' }"),
    'routes[0].to.topic',
    /\{ that is no placeholder/,
    /\{topic\}/,
  ],
  [
    'a character Kafka does not take',
    withRoute("- name: a\n  from: a\n»   to: { upstream: out, topic: 'x/{device}' }"),
    'routes[0].to.topic',
    /"\/", which Kafka does not take/,
    /in the place of/,
  ],
  [
    'a key without the device',
    withRoute('- name: a\n  from: a\n»   to: { upstream: out, key: fixed }'),
    'routes[0].to.key',
    /no \{device\}/,
    /\{device\} into the key/,
    'warning',
  ],
  [
    'a header of the envelope',
    withRoute('- name: a\n  from: a\n»   to: { upstream: out, headers: { ce_id: x } }'),
    'routes[0].to.headers.ce_id',
    /not a free header name/,
    /another name/,
  ],
  [
    'a rate without time',
    withRoute(
      '- name: a\n  from: a\n  to: { upstream: out }\n»   limits: [{ per: device, messages: 100 }]',
    ),
    'routes[0].limits[0].messages',
    /100 has no unit of time/,
    /100\/s/,
  ],
  [
    'a rate of nothing',
    withRoute(
      '- name: a\n  from: a\n  to: { upstream: out }\n»   limits: [{ per: device, messages: 0/s }]',
    ),
    'routes[0].limits[0].messages',
    /is zero/,
    /more than 0/,
  ],
  [
    'a burst of nothing',
    withRoute(
      '- name: a\n  from: a\n  to: { upstream: out }\n»   limits: [{ per: device, messages: 1/s, burst: 0 }]',
    ),
    'routes[0].limits[0].burst',
    /0 is not a whole number from 1/,
    /whole number/,
  ],
  [
    'a limit that limits nothing',
    withRoute('- name: a\n  from: a\n  to: { upstream: out }\n»   limits: [{ per: device }]'),
    'routes[0].limits[0]',
    /limits nothing/,
    /messages: 100\/s/,
  ],
  [
    'a word that is none',
    withRoute(
      '- name: a\n  from: a\n  to: { upstream: out }\n»   limits: [{ per: device, messages: 1/s, over: holt }]',
    ),
    'routes[0].limits[0].over',
    /holt is not one of hold, drop, bury/,
    /mean hold\?/,
  ],
  [
    'an upstream of no kind',
    'routes: []\nupstreams:\n»   out: {}',
    'upstreams.out',
    /neither/,
    /kafka:/,
  ],
  [
    'an upstream of two kinds',
    'routes: []\nupstreams:\n»   out: { kafka: { brokers: [a:1] }, file: { directory: x } }',
    'upstreams.out',
    /is both kafka and file/,
    /one of/,
  ],
  [
    'a name of the language',
    'routes: []\nupstreams:\n»   constructor: {}',
    'upstreams.constructor',
    /not a name/,
    /Rename/,
  ],
  [
    'no broker',
    'routes: []\nupstreams:\n»   c: { kafka: { brokers: [] } }',
    'upstreams.c.kafka.brokers',
    /empty list/,
    /at least one/,
  ],
  [
    'an upstream nobody names',
    'routes: []\nupstreams:\n»   c: { file: { directory: x } }',
    'upstreams.c',
    /no route names/,
    /take it out/,
    'warning',
  ],
  [
    'more lag than buffer',
    'routes: []\nupstreams:\n»   c: { file: { directory: x }, lag: { bytes: 2GiB } }',
    'upstreams.c.lag.bytes',
    /more than buffer.bytes \(1GiB\)/,
    /raise/,
    'warning',
  ],
  [
    'no route',
    'upstreams: {}\n» routes: []',
    'routes',
    /no event is captured/,
    /Add one/,
    'warning',
  ],
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference of the config
  [
    'an unset variable',
    `${file}» log: { level: '${'${NOT_SET}'}' }`,
    'log.level',
    /NOT_SET is not set/,
    /Set NOT_SET/,
  ],
  [
    'a reference that is none',
    `${file}» gateway: '${'${}'}'`,
    'gateway',
    /is not a reference/,
    /NAME/,
  ],
  [
    'a file that is not there',
    `${file}» gateway: file:./none`,
    'gateway',
    /none cannot be read \(ENOENT\)/,
    /may read/,
  ],
];

for (const [what, marked, key, message, remedy, severity] of bad) {
  test(`check names ${what} with line, key, reason and remedy`, () => {
    const line = marked.split('\n').findIndex((text) => text.includes('»')) + 1;
    const text = marked.replace('» ', '');
    const problems = problemsOf(text);
    const found = problems.find((each) => each.key === key && message.test(each.message));
    assert.ok(found, JSON.stringify(problems, null, 1));
    assert.equal(found.line, line);
    assert.ok(found.column >= 1);
    assert.match(found.remedy, remedy);
    assert.equal(found.severity, severity ?? 'error');
    const errors = problems.filter((each) => each.severity === 'error');
    assert.equal(errors.length, severity ? 0 : 1, JSON.stringify(errors, null, 1));
  });
}

test('all problems are named at once, in the order of the text', () => {
  const text = `gatway: x
nats: {}
mqtt: { listeners: [{ bind: 0.0.0.0:1 }] }
routes:
  - { name: a, from: a/#/b, to: { upstream: clod } }
upstreams: { cloud: { kafka: { brokers: [b] } } }
stopWithin: 5
`;
  const found = problemsOf(text).filter((problem) => problem.severity === 'error');
  assert.deepEqual(
    found.map(({ line, key }) => [line, key]),
    [
      [1, 'gatway'],
      [2, 'nats'],
      [3, 'mqtt.listeners[0].bind'],
      [5, 'routes[0].from'],
      [5, 'routes[0].to.upstream'],
      [6, 'upstreams.cloud.kafka.brokers[0]'],
      [7, 'stopWithin'],
    ],
  );
  assert.equal(checkText(text, 'test.yaml', {}).config, null);
});

test('columns point at the value, or at the key that is wrong itself', () => {
  const [first, second] = problemsOf(`${file}log: { levl: info }\nbuffer: { bytes: 12 }\n`).filter(
    (problem) => problem.severity === 'error',
  );
  assert.deepEqual([first?.line, first?.column], [3, 8]);
  assert.deepEqual([second?.line, second?.column], [4, 18]);
});

test('a small config gets every default', () => {
  const config = valid(good);
  assert.match(config.gateway, /^[a-z0-9-]{1,63}$/);
  assert.deepEqual(config.mqtt.listeners, [
    {
      bind: { host: '127.0.0.1', port: 1883 },
      broker: 'embedded',
      maxPacketSize: 256 * KIB,
      insecure: false,
    },
  ]);
  assert.deepEqual(config.routes[0]?.to, [
    {
      upstream: 'out',
      topic: '{topic}',
      key: '{device}',
      delivery: 'at-least-once',
      envelope: 'cloudevents',
      headers: {},
      unknownTopic: 'hold',
    },
  ]);
  assert.deepEqual(config.buffer, {
    path: './tidegate.db',
    bytes: GIB,
    ageMs: 7 * 86_400_000,
    whenFull: 'hold',
    commitEveryMs: 0,
  });
  assert.deepEqual(config.http, { bind: { host: '127.0.0.1', port: 8080 } });
  assert.deepEqual([config.log.level, config.stopWithinMs], ['info', 5_000]);
});

test('units are parsed: rates per second, sizes in bytes, durations in ms', () => {
  const config = valid(`
routes:
  - name: a
    from: a/+
    to: { upstream: k, topic: 't.{1}' }
    maxBytes: 64 KiB
    limits:
      - { per: device, messages: 30/m, bytes: 1.5KiB/s, over: bury }
      - { per: route, messages: 5/h, burst: 7 }
upstreams:
  k: { kafka: { brokers: ['[::1]:9092', kafka.example:1], linger: 20ms }, drain: { bytes: 4MiB/s } }
http: off
stopWithin: 1.5s
`);
  const [first, second] = config.routes[0]?.limits ?? [];
  assert.deepEqual(first, {
    per: 'device',
    messagesPerSecond: 0.5,
    bytesPerSecond: 1536,
    burstMessages: 1,
    burstBytes: 1536,
    over: 'bury',
  });
  assert.deepEqual([second?.messagesPerSecond, second?.burstMessages], [5 / 3600, 7]);
  assert.equal(config.routes[0]?.maxBytes, 64 * KIB);
  const kafka = config.upstreams.k;
  assert.ok(kafka?.kind === 'kafka');
  assert.deepEqual(kafka.brokers[0], { host: '::1', port: 9092 });
  assert.deepEqual([kafka.lingerMs, kafka.compression, kafka.maxTopics], [20, 'zstd', 1000]);
  assert.deepEqual(kafka.drain, { messagesPerSecond: null, bytesPerSecond: 4 * MIB });
  assert.deepEqual([config.http, config.stopWithinMs], [null, 1_500]);
});

test('lag holds for Kafka and for an only upstream, and skips for the others', () => {
  assert.equal(valid(good).upstreams.out?.lag.over, 'hold');
  const config = valid(`
routes: [{ name: a, from: a, to: [{ upstream: k }, { upstream: f }] }]
upstreams: { k: { kafka: { brokers: [a:1] } }, f: { file: { directory: x } } }
`);
  assert.deepEqual(config.upstreams.k?.lag, { bytes: GIB, ageMs: Infinity, over: 'hold' });
  assert.deepEqual(config.upstreams.f?.lag, {
    bytes: GIB / 2,
    ageMs: 7 * 86_400_000,
    over: 'skip',
  });
});

test('lanes are one per upstream and delivery that a route names', () => {
  const config = valid(`
gateway: gw
routes:
  - name: a
    from: a/+
    to: [{ upstream: k, topic: 'x.{1}', headers: { h: '{1}' } }, { upstream: f, delivery: at-most-once }]
  - { name: b, from: b, to: { upstream: k } }
upstreams: { f: { file: { directory: x }, from: oldest }, k: { kafka: { brokers: [a:1] } } }
`);
  assert.deepEqual(
    lanesOf(config).map(({ lane, from, lag }) => [lane, from, lag.over]),
    [
      ['f/at-most-once', 'oldest', 'skip'],
      ['k/at-least-once', 'latest', 'hold'],
    ],
  );
  const [a, b] = routeDefinitionsOf(config);
  assert.deepEqual([a?.name, a?.from, a?.gateway], ['a', 'a/+', 'gw']);
  assert.deepEqual(a?.targets[0], {
    lane: 'k/at-least-once',
    topic: 'x.{1}',
    key: '{device}',
    envelope: 'cloudevents',
    headers: { h: '{1}' },
    unknownTopic: 'hold',
  });
  assert.equal(b?.targets.length, 1);
  const options = bufferOptionsOf(config);
  assert.deepEqual([options.bytes, options.deadLetterBytes], [GIB, GIB / 4]);
});

test('references fill in string values once, and are never quoted back', () => {
  const secret = join(directory, 'name');
  writeFileSync(secret, 'from-file\n');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference of the config
  const buffer = "buffer: { path: '/x/${NAME}/$${y}' }\n";
  const config = valid(`${good}${buffer}gateway: file:${secret}\n`, { NAME: '${NAME}' });
  assert.equal(config.buffer.path, '/x/${NAME}/${y}');
  assert.equal(config.gateway, 'from-file');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a reference of the config
  const problems = problemsOf(`${good}gateway: '${'${SECRET}'}'\n`, { SECRET: 'Hush Hush' });
  assert.equal(problems.length, 1);
  assert.doesNotMatch(JSON.stringify(problems), /Hush/);
});

test('without a file the default is MQTT on 1883, files, and a route for everything', () => {
  const { config, warnings, text } = loadConfig(null, {});
  assert.deepEqual(warnings, []);
  assert.equal(text, defaultText);
  assert.deepEqual(config.mqtt.listeners[0]?.bind, { host: '127.0.0.1', port: 1883 });
  assert.deepEqual([config.routes[0]?.name, config.routes[0]?.from], ['all', '#']);
  const [upstream] = Object.values(config.upstreams);
  assert.ok(upstream?.kind === 'file');
  assert.equal(upstream.directory, './tidegate-out');
});

test('the gateway is the host name and 8 digits of the machine id, as a DNS label', () => {
  const id = '3d1219c7aabbccddeeff001122334455';
  assert.equal(gatewayDefault('raspberrypi', id), 'raspberrypi-3d1219c7');
  assert.equal(gatewayDefault('Plant_7.example.org', id), 'plant-7-3d1219c7');
  assert.equal(gatewayDefault('ÄÖ', id), 'gateway-3d1219c7');
  assert.equal(gatewayDefault('x'.repeat(80), id).length, 63);
  assert.match(gatewayDefault('a', null), /^a-[0-9a-f]{8}$/);
});

test('a refused file leaves the last good config running, and nothing without one', async () => {
  const path = join(directory, 'refused.yaml');
  writeFileSync(path, 'buffer: { path: /x/y.db }\nrouts: []\n');
  const asked: string[] = [];
  const chosen = await chooseConfig(path, {}, async (buffer) => {
    asked.push(buffer);
    return good;
  });
  assert.deepEqual(asked, ['/x/y.db']);
  assert.equal(chosen.text, good);
  assert.equal(chosen.refused?.[0]?.key, 'routes');
  await assert.rejects(
    chooseConfig(path, {}, async () => undefined),
    ConfigRefused,
  );
  await assert.rejects(
    chooseConfig(path, {}, async () => 'routes: 7'),
    (error) => {
      assert.ok(error instanceof ConfigRefused);
      assert.equal(error.exit, 78);
      assert.ok(error.problems.some((problem) => problem.key === 'routs'));
      return true;
    },
  );
  const missing = await chooseConfig(join(directory, 'none.yaml'), {}, async () => good);
  assert.match(missing.refused?.[0]?.message ?? '', /cannot be read \(ENOENT\)/);
});

test('a nearest word is named only when it is near', () => {
  const known = ['gateway', 'routes', 'upstreams', 'http'];
  assert.equal(nearest('gatway', known), 'gateway');
  assert.equal(nearest('ROUTES', known), 'routes');
  assert.equal(nearest('upstraems', known), 'upstreams');
  assert.equal(nearest('subscriptions', known), null);
  assert.equal(nearest('x', known), null);
});

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
      { maxDepth: 6 },
      fc.dictionary(word, tie('tree')),
      fc.array(tie('tree'), { maxLength: 3 }),
      word,
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

const deploy = (name: string) => fileURLToPath(new URL(`../deploy/${name}`, import.meta.url));

test('the example config is valid without a warning', () => {
  const text = readFileSync(deploy('tidegate.example.yaml'), 'utf8');
  assert.deepEqual(problemsOf(text), []);
});

test('deploy/tidegate.schema.json is what the schema says (npm run schema writes it)', () => {
  assert.equal(readFileSync(deploy('tidegate.schema.json'), 'utf8'), jsonSchemaText());
});

interface Node {
  description?: string;
  properties?: Record<string, Node>;
  items?: Node;
  anyOf?: Node[];
  additionalProperties?: Node | boolean;
  'x-change'?: string;
}

test('every key has prose, and every leaf says whether a change is hot or cold', () => {
  const bare: string[] = [];
  const visit = (node: Node, path: string): void => {
    const inner = [...(node.anyOf ?? [])];
    if (node.items) inner.push(node.items);
    if (typeof node.additionalProperties === 'object') inner.push(node.additionalProperties);
    for (const each of inner) if (each.properties) visit(each, path);
    for (const [key, property] of Object.entries(node.properties ?? {})) {
      const here = `${path}.${key}`;
      if (!property.description) bare.push(`${here}: no prose`);
      const isLeaf = !/"(properties|items|anyOf|\$ref)"/.test(JSON.stringify(property));
      if (isLeaf && !/hot|cold/.test(property['x-change'] ?? ''))
        bare.push(`${here}: hot or cold?`);
      visit(property, here);
    }
  };
  visit(JSON.parse(jsonSchemaText()) as Node, '');
  assert.deepEqual(bare, []);
});
