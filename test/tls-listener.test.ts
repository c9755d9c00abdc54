/**
 * TLS over the real agent: devices on a listener by TCP and WebSocket, with and without client
 * certificates; certificates that change under it; and TLS from the agent to a broker behind, to a
 * source's broker and to an MQTT upstream.
 */
import assert from 'node:assert/strict';
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import mqtt from 'mqtt';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Authority, type CertificateFiles } from './support/certificates.ts';
import { Device, type DeviceOptions } from './support/device.ts';
import { type Line, readLines } from './support/files.ts';
import { total } from './support/metrics.ts';
import { startMosquitto } from './support/mosquitto.ts';
import { freePorts } from './support/ports.ts';

const withinMs = 15_000;
const folder = mkdtempSync(join(tmpdir(), 'tidegate-tls-listener-'));
const ca = new Authority(folder);
const stranger = new Authority(folder, 'stranger');
const here = 'DNS:localhost,IP:127.0.0.1';
const server = ca.sign('server', { commonName: 'gateway', altNames: here });
const caBytes = { ca: [ca.certificate].map((file) => readPem(file)) };
const setup = {
  routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out', headers: { by: '{client}' } } }],
  upstreams: { out: { file: { directory: './out' } } },
};

function readPem(file: string): string {
  return readFileSync(file, 'utf8');
}

function own({ certificate, key }: CertificateFiles): DeviceOptions {
  return { tls: { ...caBytes, cert: readPem(certificate), key: readPem(key) } };
}

function replace(files: CertificateFiles, by: CertificateFiles): void {
  for (const key of ['certificate', 'key'] as const) {
    copyFileSync(by[key], `${files[key]}.new`);
    renameSync(`${files[key]}.new`, files[key]);
  }
}

const serial = (device: Device) => (device.socket as TLSSocket).getPeerCertificate().serialNumber;
const plainTls: DeviceOptions = { tls: caBytes };

after(() => rmSync(folder, { recursive: true, force: true }));

let agent: AgentUnderTest;
let asking = 0;
let websocket = 0;
before(async () => {
  const [a = 0, b = 0] = await freePorts(2);
  [asking, websocket] = [a, b];
  const files = ca.sign('live', { altNames: here });
  const strict = { clientCa: ca.certificate, requireClient: true };
  agent = await AgentUnderTest.prepare({ ...setup, listener: { tls: files } });
  agent.edit((config) => {
    config.mqtt.listeners.push(
      { bind: `127.0.0.1:${asking}`, tls: { ...server, ...strict }, identity: 'certificate' },
      { bind: `127.0.0.1:${websocket}`, websocket: true, tls: server },
    );
  });
  await agent.start();
});
after(() => agent[Symbol.asyncDispose]());

const lines = (of: AgentUnderTest = agent): Line[] => readLines(join(of.directory, 'out'));
const keyOf = async (value: string): Promise<string | null | undefined> => {
  let line: Line | undefined;
  await eventually(value, withinMs, () => {
    line = lines().find((each) => `${each.value}` === value);
    return line !== undefined;
  });
  return line?.key;
};
const refusals = () => agent.events('connectionRefused').map(({ reason }) => String(reason));

test('a device publishes over TLS, by TCP and by WebSocket', async () => {
  const device = await Device.connect(agent.mqttPort, 'by-tcp', plainTls);
  assert.equal(await device.publishAndWait('plant/a', 'over tls'), 0);
  assert.equal(await keyOf('over tls'), 'by-tcp');
  const web = await mqtt.connectAsync(`wss://127.0.0.1:${websocket}/mqtt`, {
    ...{ clientId: 'by-wss', ca: caBytes.ca, reconnectPeriod: 0, protocolVersion: 4 },
  });
  await web.publishAsync('plant/a', 'over wss', { qos: 1 });
  assert.equal(await keyOf('over wss'), 'by-wss');
  await web.endAsync();
  device.close();
});

test('a certificate names the device: its CN, else its SAN', async () => {
  const named = own(ca.sign('pump', { commonName: 'pump-7', altNames: 'DNS:pump.example' }));
  const device = await Device.connect(asking, 'anything', named);
  assert.equal(await device.publishAndWait('plant/a', 'by CN'), 0);
  assert.equal(await keyOf('by CN'), 'pump-7');
  const line = lines().find(({ value }) => `${value}` === 'by CN');
  assert.equal(line?.headers.by, 'anything');
  const nameless = own(ca.sign('san', { altNames: 'URI:urn:dev:9,DNS:nine.example' }));
  const other = await Device.connect(asking, 'else', nameless);
  assert.equal(await other.publishAndWait('plant/a', 'by SAN'), 0);
  assert.equal(await keyOf('by SAN'), 'urn:dev:9');
  const nobody = own(ca.sign('nobody', {}));
  assert.equal((await Device.ask(asking, 'x', nobody)).code, 5);
  assert.equal((await Device.ask(asking, 'x', { ...nobody, protocolVersion: 5 })).code, 0x87);
  for (const each of [device, other]) each.close();
});

test('a client without a certificate, or with a foreign one, is refused and reported', async () => {
  const ask = (options: DeviceOptions) => Device.ask(asking, 'x', options).catch(() => null);
  assert.notEqual((await ask(plainTls))?.code, 0);
  assert.notEqual((await ask(own(stranger.sign('thief', { commonName: 'pump-7' }))))?.code, 0);
  await eventually('both reported', withinMs, () => {
    const told = refusals().join();
    return /tls ERR_SSL_PEER_DID_NOT_RETURN/.test(told) && /tls .*VERIFY/.test(told);
  });
});

test('plain text on the TLS port, and a half-open handshake, cost only themselves', async () => {
  const polite = await Device.connect(agent.mqttPort, 'polite', plainTls);
  const silent = connectTcp({ host: '127.0.0.1', port: agent.mqttPort });
  silent.on('error', () => {});
  for (const port of [agent.mqttPort, asking, websocket]) {
    const { device, code } = await Device.ask(port, 'plain');
    assert.equal(code, null);
    await device.closed();
  }
  assert.ok(
    refusals().some((reason) => /^tls ERR_SSL_/.test(reason)),
    `${refusals()}`,
  );
  assert.equal(await polite.publishAndWait('plant/a', 'polite'), 0);
  silent.destroy();
  polite.close();
});

test('a replaced certificate serves new connections, the old ones live on', async () => {
  const files = { certificate: join(folder, 'live.pem'), key: join(folder, 'live.key') };
  const old = await Device.connect(agent.mqttPort, 'old', plainTls);
  replace(files, ca.sign('next', { altNames: here }));
  await eventually('taken', withinMs, () => agent.events('tlsReloaded').length === 1);
  const fresh = await Device.connect(agent.mqttPort, 'fresh', plainTls);
  assert.notEqual(serial(fresh), serial(old));
  copyFileSync(server.key, files.key);
  await eventually('refused', withinMs, () => agent.events('tlsRefused').length === 1);
  const [told] = agent.events('tlsRefused');
  assert.match(String(told?.reason), /tls\.key: .*live\.key is not the key of .*live\.pem/);
  assert.match(String(told?.remedy), /PEM/);
  const later = await Device.connect(agent.mqttPort, 'later', plainTls);
  assert.equal(serial(later), serial(fresh), 'a broken pair leaves the one before');
  for (const device of [old, fresh, later]) {
    assert.equal(await device.publishAndWait('plant/a', 'on'), 0);
    device.close();
  }
});

test('a broker behind is spoken to by TLS; one that cannot be trusted is away', async () => {
  const [secure = 0] = await freePorts(1);
  const broker = await startMosquitto({
    lines: [
      ...[`listener ${secure} 127.0.0.1`, `certfile ${server.certificate}`],
      `keyfile ${server.key}`,
    ],
  });
  const trusted = join(folder, 'trusted.pem');
  copyFileSync(stranger.certificate, trusted);
  const listener = { broker: `mqtts://127.0.0.1:${secure}`, brokerTls: { ca: trusted } };
  const fronting = await AgentUnderTest.start({
    ...setup,
    listener: { ...listener, publishAcl: 'none' },
  });
  try {
    assert.equal((await Device.ask(fronting.mqttPort, 'x')).code, 3);
    assert.equal((await Device.ask(fronting.mqttPort, 'x', { protocolVersion: 5 })).code, 0x88);
    const told = () => fronting.events('brokerFailed').at(-1);
    assert.match(String(told()?.reason), /^127\.0\.0\.1:\d+: .*\(UNABLE_TO_|\(SELF_SIGNED|\(DEPTH/);
    assert.match(String(told()?.remedy), /Name the CA/);
    writeFileSync(trusted, 'no certificate at all');
    assert.equal((await Device.ask(fronting.mqttPort, 'x')).code, 3, 'and the agent lives on');
    await eventually('the file is named', withinMs, () => /trusted\.pem/.test(`${told()?.reason}`));
    copyFileSync(ca.certificate, trusted);
    const device = await Device.connect(fronting.mqttPort, 'x');
    device.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: 'home/#', qos: 1 }] });
    await device.until('suback');
    assert.equal(await device.publishAndWait('home/a', 'through'), 0);
    await device.until('publish');
    assert.equal(await device.publishAndWait('plant/a', 'captured'), 0);
    await eventually('captured', withinMs, () => lines(fronting).length === 1);
    device.close();
  } finally {
    await fronting[Symbol.asyncDispose]();
    await broker.stop();
  }
});

test('a source and an MQTT upstream speak TLS, with a certificate of their own', async () => {
  const [secure = 0] = await freePorts(1);
  const broker = await startMosquitto({
    lines: [
      ...[`listener ${secure} 127.0.0.1`, `certfile ${server.certificate}`],
      ...[`keyfile ${server.key}`, `cafile ${ca.certificate}`, 'require_certificate true'],
    ],
  });
  const url = `mqtts://127.0.0.1:${secure}`;
  const tls = { ca: ca.certificate, ...ca.sign('agent', { commonName: 'agent' }) };
  const wrong = { ca: stranger.certificate };
  const both = await AgentUnderTest.start({
    routes: [
      { name: 'in', from: 'in/#', to: { upstream: 'far', topic: 'out/{1}' } },
      { name: 'other', from: 'other', to: { upstream: 'lost' } },
    ],
    upstreams: { far: { mqtt: { url, tls } }, lost: { mqtt: { url, tls: wrong } } },
    sources: [
      { url, subscribe: ['in/#'], tls },
      { url: `mqtts://localhost:${secure}`, subscribe: ['x'], tls: wrong },
    ],
  });
  try {
    const subscribed = async () => total(await both.metrics(), 'tidegate_source_subscribed');
    await eventually('one source', withinMs, async () => (await subscribed()) === 1);
    const far = await Device.connect(broker.port, 'far');
    far.send({ cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: 'out/#', qos: 1 }] });
    await far.until('suback');
    await far.publishAndWait('in/a', 'round trip');
    await far.until('publish');
    await eventually('the causes are named', withinMs, () => {
      return both.events('sourceRetrying').length > 0 && both.events('laneRetrying').length > 0;
    });
    for (const told of both.events('sourceRetrying', 'laneRetrying')) {
      assert.match(JSON.stringify(told), /certificate/, 'the reason');
      assert.match(JSON.stringify(told), /Name the CA/, 'the remedy');
    }
    far.close();
  } finally {
    await both[Symbol.asyncDispose]();
    await broker.stop();
  }
});
