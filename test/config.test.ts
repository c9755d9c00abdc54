/**
 * The config: all or nothing, and every problem named with its line, key and remedy
 * (vectors/bad-configs.txt has one bad config per kind of problem).
 */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { GIB, KIB, MIB } from '../agent/bounds.ts';
import { checkText } from '../agent/config/check.ts';
import { bufferOptionsOf, lanesOf, routeDefinitionsOf } from '../agent/config/derive.ts';
import { gatewayDefault } from '../agent/config/gateway.ts';
import { ConfigRefused, chooseConfig, defaultText, loadConfig } from '../agent/config/load.ts';
import { nearest } from '../agent/config/nearest.ts';
import type { Config, Problem } from '../agent/config/types.ts';

const directory = mkdtempSync(join(tmpdir(), 'tidegate-config-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const file = 'routes: []\nupstreams: {}\n';
const good = `
routes:
  - { name: all, from: '#', to: { upstream: out } }
upstreams:
  out: { file: { directory: ./out } }
`;
const reference = (name: string): string => `\${${name}}`;

function problemsOf(text: string, env: Record<string, string> = {}): readonly Problem[] {
  return checkText(text, 'test.yaml', env).problems;
}

function valid(text: string, env: Record<string, string> = {}): Config {
  const { config, problems } = checkText(text, 'test.yaml', env);
  assert.ok(config, JSON.stringify(problems, null, 1));
  return config;
}

interface Bad {
  readonly what: string;
  readonly text: string;
  readonly line: number;
  readonly key: string;
  readonly message: RegExp;
  readonly remedy: RegExp;
  readonly severity: string;
}

function readBad(block: string): Bad {
  const [what = '', ...rest] = block.split('\n');
  const lines = rest.filter((line) => !line.startsWith('='));
  const [key = '', message = '', remedy = '', severity = 'error'] = rest
    .filter((line) => line.startsWith('='))
    .map((line) => line.slice(2));
  return {
    what,
    text: `${lines
      .map((line) => line.slice(2))
      .join('\n')
      .trimEnd()}\n`,
    line: lines.findIndex((line) => line.startsWith('»')) + 1,
    key,
    message: new RegExp(message),
    remedy: new RegExp(remedy),
    severity,
  };
}

const vectors = new URL('./vectors/bad-configs.txt', import.meta.url);
const bad = readFileSync(vectors, 'utf8').split('\n# ').slice(1).map(readBad);

for (const { what, text, line, key, message, remedy, severity } of bad) {
  test(`check names ${what} with line, key, reason and remedy`, () => {
    const problems = problemsOf(text);
    const found = problems.find((each) => each.key === key && message.test(each.message));
    assert.ok(found, JSON.stringify(problems, null, 1));
    assert.equal(found.line, line);
    assert.ok(found.column >= 1);
    assert.match(found.remedy, remedy);
    assert.equal(found.severity, severity);
    const errors = problems.filter((each) => each.severity === 'error');
    assert.equal(errors.length, severity === 'error' ? 1 : 0, JSON.stringify(errors, null, 1));
  });
}

test('all problems are named at once, in the order of the text', () => {
  const text = `gatway: x
subscriptions: {}
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
      [2, 'subscriptions'],
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
      websocket: false,
      broker: 'embedded',
      brokerTls: { ca: null, certificate: null, key: null, serverName: null },
      whenBrokerDown: 'refuse',
      tls: null,
      users: null,
      identity: 'clientId',
      allow: [],
      maxPacketSize: 256 * KIB,
      receiveMaximum: 1_024,
    },
  ]);
  assert.deepEqual(config.mqtt.sources, []);
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
    compression: 'none',
  });
  assert.deepEqual(config.http, { bind: { host: '127.0.0.1', port: 8080 }, bridge: null });
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
  k:
    kafka: { brokers: ['[::1]:9092', kafka.example:1], linger: 20ms, insecure: true }
    drain: { bytes: 4MiB/s }
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
upstreams: { k: { kafka: { brokers: [127.0.0.1:1] } }, f: { file: { directory: x } } }
`);
  assert.deepEqual(config.upstreams.k?.lag, { bytes: GIB, ageMs: Infinity, over: 'hold' });
  assert.deepEqual(config.upstreams.f?.lag, {
    bytes: GIB / 2,
    ageMs: 7 * 86_400_000,
    over: 'skip',
  });
});

test('clients of MQTT servers get a name, a version and what TLS needs', () => {
  const config = valid(`
gateway: gw
routes: [{ name: a, from: a, to: [{ upstream: m }, { upstream: k }] }]
upstreams:
  m: { mqtt: { url: 'wss://h/x', version: 5, username: u, tls: { serverName: n }, qos: 2 } }
  k: { kafka: { brokers: [h:1], tls: {}, sasl: { mechanism: oauthbearer, tokenFile: t } } }
mqtt:
  sources:
    - { url: mqtt://127.0.0.1, subscribe: b, version: 3.1.1 }
    - { url: mqtts://h, subscribe: [b, $share/g/c], version: '5', clientId: mine }
`);
  const { m, k } = config.upstreams;
  assert.ok(m?.kind === 'mqtt' && k?.kind === 'kafka');
  const { url, version, clientId, username, password, tls, qos, inFlight } = m;
  assert.deepEqual(url, { host: 'h', port: 443, tls: true, websocket: true, path: '/x' });
  assert.deepEqual([version, clientId, username, password], [5, 'tidegate-gw-to-m', 'u', null]);
  assert.deepEqual(tls, { ca: null, certificate: null, key: null, serverName: 'n' });
  assert.deepEqual([qos, inFlight, m.lag.over], [2, 256, 'skip']);
  assert.deepEqual(k.tls, { ca: null, certificate: null, key: null, serverName: null });
  assert.deepEqual(k.sasl, { mechanism: 'oauthbearer', token: null, tokenFile: 't' });
  assert.deepEqual(config.mqtt.listeners, []);
  assert.deepEqual(
    config.mqtt.sources.map((source) => [source.clientId, source.version, source.subscribe]),
    [
      ['tidegate-gw-source', 4, ['b']],
      ['mine', 5, ['b', '$share/g/c']],
    ],
  );
});

test('lanes are one per upstream and delivery that a route names', () => {
  const config = valid(`
gateway: gw
routes:
  - name: a
    from: a/+
    to:
      - { upstream: k, topic: 'x.{1}', headers: { h: '{1}' } }
      - { upstream: f, delivery: at-most-once }
  - { name: b, from: b, to: { upstream: k } }
upstreams: { f: { file: { directory: x }, from: oldest }, k: { kafka: { brokers: [127.0.0.1:1] } } }
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
  const name = reference('NAME');
  const buffer = `buffer: { path: '/x/${name}/$${reference('y')}' }\n`;
  const config = valid(`${good}${buffer}gateway: file:${secret}\n`, { NAME: name });
  assert.equal(config.buffer.path, `/x/${name}/${reference('y')}`);
  assert.equal(config.gateway, 'from-file');
  const text = `${good}gateway: '${reference('SECRET')}'\n`;
  const problems = problemsOf(text, { SECRET: 'Hush Hush' });
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
    return { lastGood: good };
  });
  assert.deepEqual(asked, ['/x/y.db']);
  assert.equal(chosen.text, good);
  assert.equal(chosen.refused?.[0]?.key, 'routes');
  await assert.rejects(
    chooseConfig(path, {}, async () => ({ lastGood: undefined })),
    ConfigRefused,
  );
  await assert.rejects(
    chooseConfig(path, {}, async () => ({ lastGood: 'routes: 7' })),
    (error) => {
      assert.ok(error instanceof ConfigRefused);
      assert.equal(error.exit, 78);
      assert.ok(error.problems.some((problem) => problem.key === 'routs'));
      return true;
    },
  );
  const missing = await chooseConfig(join(directory, 'none.yaml'), {}, async () => ({
    lastGood: good,
  }));
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
