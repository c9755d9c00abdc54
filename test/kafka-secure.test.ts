/**
 * Kafka over TLS and with every SASL mechanism, against a real Apache Kafka: what is confirmed
 * stands there; who is refused waits for hands; TLS that fails names the reason and goes on once it
 * is mended; log-ins that the broker lets end are renewed before it ends them.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientTls, KafkaSasl } from '../agent/config/types.ts';
import { KafkaClient } from '../agent/egress/kafka.ts';
import { KafkaUpstream } from '../agent/egress/kafka-upstream.ts';
import type { UpstreamSink } from '../agent/egress/upstream.ts';
import { clientTlsOptions, tlsFault } from '../agent/tls.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Authority } from './support/certificates.ts';
import { FakeLog, frameOf, LaneRig, routeOf, waitFor } from './support/egress-rig.ts';
import { type Kafka, startKafka } from './support/kafka.ts';
import { secureKafka, sessionMs, tokenFor, user } from './support/kafka-secure.ts';
import { connectPacket, publishPacket } from './support/packets.ts';

const folder = mkdtempSync(join(tmpdir(), 'tidegate-kafka-secure-'));
const ca = new Authority(folder);
const trusting: ClientTls = { ca: ca.certificate, certificate: null, key: null, serverName: null };
const rigs: LaneRig[] = [];
let kafka: Kafka;
let topics = 0;

before(async () => {
  kafka = await startKafka(secureKafka(folder, ca));
  // It hands out producer ids a while after it answers.
  const [host = '', port = ''] = kafka.bootstrap.split(':');
  const client = new KafkaClient({ brokers: [{ host, port: Number(port) }], clientId: 'warm' });
  for (let isReady = false; !isReady; await sleep(100)) {
    isReady = await client.identity().then(
      () => true,
      () => false,
    );
  }
  await client.close();
});
after(async () => {
  await kafka.stop();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(async () => {
  await Promise.all(rigs.splice(0).map((rig) => rig.forwarder.stop()));
});

interface Way {
  readonly listener: 'TLS' | 'MUTUAL' | 'LOGIN';
  readonly tls?: Partial<ClientTls> | null;
  readonly sasl?: KafkaSasl;
}

interface Lane {
  readonly rig: LaneRig;
  readonly topic: string;
  /** Sends that many more and waits until all are confirmed. */
  readonly send: (count: number) => Promise<void>;
  readonly troubles: () => string[];
}

async function laneBy({ listener, tls = {}, sasl }: Way): Promise<Lane> {
  const topic = `secure-${topics++}`;
  await kafka.createTopic(topic);
  const log = new FakeLog();
  log.routes.set(1, routeOf({ topic }));
  const own = tls === null ? null : { ...trusting, ...tls };
  const options = {
    brokers: [{ host: '127.0.0.1', port: kafka.ports[listener] as number }],
    clientId: 'secure',
    sasl: sasl ?? null,
    ...(own ? { tls: (host: string) => clientTlsOptions(own, host), tlsFault } : {}),
  };
  const settings = {
    compression: 'none',
    createTopics: false,
    maxTopics: 10,
    lingerMs: 0,
  } as const;
  const random = () => Math.random() * 0.05;
  const upstream = (sink: UpstreamSink) =>
    new KafkaUpstream(settings, { client: new KafkaClient(options), sink, random, once: false });
  const rig = new LaneRig(log, upstream, { random });
  rigs.push(rig);
  rig.start();
  let sent = 0;
  const send = async (count: number) => {
    rig.append(Array.from({ length: count }, () => frameOf({ device: 'd', value: `${sent++}` })));
    await rig.settledAll();
  };
  const troubles = () => rig.events.map(({ fields }) => `${fields.code} ${fields.reason ?? ''}`);
  return { rig, topic, send, troubles };
}

async function arrived(topic: string): Promise<string[]> {
  return (await kafka.consumeAll([topic])).map(({ value }) => value.toString());
}

const scram = (mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512', password?: string) => ({
  mechanism,
  username: user.username,
  password: password ?? user.password,
});
const bearer = (token: string): KafkaSasl => ({
  mechanism: 'oauthbearer',
  token,
  tokenFile: null,
});

const ways: Readonly<Record<string, () => Way>> = {
  'over TLS': () => ({ listener: 'TLS' }),
  'over TLS by another name': () => ({ listener: 'TLS', tls: { serverName: 'kafka.test' } }),
  'with our certificate': () => ({
    listener: 'MUTUAL',
    tls: ca.sign('gateway', { commonName: 'gateway' }),
  }),
  'by SASL PLAIN': () => ({ listener: 'LOGIN', sasl: scram('plain') }),
  'by SCRAM-SHA-256': () => ({ listener: 'LOGIN', sasl: scram('scram-sha-256') }),
  'by SCRAM-SHA-512': () => ({ listener: 'LOGIN', sasl: scram('scram-sha-512') }),
  'by OAUTHBEARER, with a token that ends in years': () => ({
    listener: 'LOGIN',
    sasl: bearer(tokenFor('gateway', 1e8)),
  }),
};
for (const [name, way] of Object.entries(ways)) {
  test(`records arrive ${name}`, async () => {
    const { topic, send, troubles } = await laneBy(way());
    await send(20);
    await sleep(100);
    await send(20);
    assert.deepEqual(
      await arrived(topic),
      Array.from({ length: 40 }, (_, i) => String(i)),
    );
    assert.deepEqual(troubles(), []);
  });
}

test('the agent logs in over TLS as its config says', async () => {
  await kafka.createTopic('from-agent');
  const secret = join(folder, 'password');
  writeFileSync(secret, `${user.password}\n`);
  const sasl = { mechanism: 'scram-sha-512', username: user.username, password: `file:${secret}` };
  const brokers = [`127.0.0.1:${kafka.ports.LOGIN}`];
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: '#', to: { upstream: 'cloud', topic: 'from-agent' } }],
    upstreams: { cloud: { kafka: { brokers, tls: { ca: ca.certificate }, sasl } } },
  });
  const device = connect({ host: '127.0.0.1', port: agent.mqttPort });
  device.write(connectPacket({ clientId: 'pump' }));
  await once(device, 'data');
  device.write(publishPacket({ topicName: 'a/b', payload: 'over TLS' }));
  await eventually('it arrived', 20_000, async () => (await arrived('from-agent')).length > 0);
  assert.deepEqual(await arrived('from-agent'), ['over TLS']);
  device.destroy();
  assert.equal(await agent.stop(), 0);
});

const strangers: Readonly<Record<string, () => KafkaSasl>> = {
  'PLAIN password': () => scram('plain', 'wrong'),
  'SCRAM-SHA-256 password': () => scram('scram-sha-256', 'wrong'),
  'SCRAM-SHA-512 password': () => scram('scram-sha-512', 'wrong'),
  'token that has ended': () => bearer(tokenFor('gateway', -100)),
};
for (const [name, sasl] of Object.entries(strangers)) {
  test(`a wrong log-in waits for hands, with the remedy: ${name}`, async () => {
    const { rig, topic } = await laneBy({ listener: 'LOGIN', sasl: sasl() });
    rig.append([frameOf({ device: 'd', value: '0' })]);
    await waitFor(() => rig.states.at(-1) === 'halted');
    const halted = rig.events.find((event) => event.name === 'laneHalted');
    assert.match(JSON.stringify(halted), /upstreamUnauthorized/);
    assert.match(JSON.stringify(halted), /tidegate upstream resume/);
    assert.deepEqual(await arrived(topic), []);
  });
}

test('a lane that halted at its log-in goes on after resume, once that is mended', async () => {
  const tokenFile = join(folder, 'mended-token');
  writeFileSync(tokenFile, tokenFor('gateway', -100));
  const sasl: KafkaSasl = { mechanism: 'oauthbearer', token: null, tokenFile };
  const { rig, topic, send } = await laneBy({ listener: 'LOGIN', sasl });
  await waitFor(() => rig.states.at(-1) === 'halted');
  writeFileSync(tokenFile, tokenFor('gateway', 60));
  rig.forwarder.resume();
  await send(2);
  assert.deepEqual(await arrived(topic), ['0', '1']);
});

const troubled: [string, () => Way, RegExp][] = [
  ['an unknown CA', () => ({ listener: 'TLS', tls: { ca: null } }), /tlsUnknownCa/],
  ['a wrong name', () => ({ listener: 'TLS', tls: { serverName: 'else.test' } }), /tlsWrongName/],
  ['a certificate that is asked for', () => ({ listener: 'MUTUAL' }), /tlsTurnedAway/],
  ['plain text to a TLS port', () => ({ listener: 'TLS', tls: null }), /tlsMissing/],
];
for (const [name, way, code] of troubled) {
  test(`TLS that fails is tried again and names the reason: ${name}`, async () => {
    const { rig } = await laneBy(way());
    await waitFor(() => rig.events.length > 0);
    const [first] = rig.events;
    assert.equal(first?.name, 'laneRetrying');
    assert.match(JSON.stringify(first), code);
    assert.match(JSON.stringify(first), /127\.0\.0\.1:\d+/);
    assert.notEqual(rig.states.at(-1), 'halted');
  });
}

test('a CA that is put right is taken at the next attempt', async () => {
  const file = join(folder, 'renewed-ca.pem');
  copyFileSync(new Authority(folder, 'old').certificate, file);
  const { rig, topic, send } = await laneBy({ listener: 'TLS', tls: { ca: file } });
  await waitFor(() => rig.events.length > 0);
  copyFileSync(ca.certificate, file);
  await send(3);
  assert.deepEqual(await arrived(topic), ['0', '1', '2']);
});

test('a log-in that the broker lets end is renewed before, and nothing is sent twice', async () => {
  const { topic, send, troubles } = await laneBy({
    listener: 'LOGIN',
    sasl: scram('scram-sha-512'),
  });
  const startMs = performance.now();
  let count = 0;
  for (; performance.now() < startMs + 3 * sessionMs; count += 5) {
    await send(5);
    await sleep(50);
  }
  assert.deepEqual(troubles(), []);
  assert.deepEqual(
    await arrived(topic),
    Array.from({ length: count }, (_, i) => String(i)),
  );
});

test('a token file is read at each log-in: a renewed token is taken by itself', async () => {
  const tokenFile = join(folder, 'token');
  writeFileSync(tokenFile, tokenFor('gateway', 3));
  const sasl: KafkaSasl = { mechanism: 'oauthbearer', token: null, tokenFile };
  const { topic, send, troubles } = await laneBy({ listener: 'LOGIN', sasl });
  await send(5);
  writeFileSync(tokenFile, `${tokenFor('gateway', 60)}\n`);
  await sleep(3_500);
  await send(5);
  assert.deepEqual(troubles(), []);
  assert.equal((await arrived(topic)).length, 10);
});
