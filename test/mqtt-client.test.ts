/**
 * Connections that we open to MQTT servers, against a real Mosquitto: over TCP, TLS and WebSocket,
 * accepted, refused, ended, and what stands between the socket and MQTT.js.
 */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Duplex, PassThrough } from 'node:stream';
import { after, test } from 'node:test';
import type { MqttClientConfig, MqttUrl } from '../agent/config/types.ts';
import { connectMqtt, type MqttConnectOptions } from '../agent/mqtt-client.ts';
import { accepts, eventually } from './support/agent.ts';
import { Authority } from './support/certificates.ts';
import { waitFor } from './support/egress-rig.ts';
import { type Mosquitto, type MosquittoOptions, startMosquitto } from './support/mosquitto.ts';
import { freePorts } from './support/ports.ts';

const servers: Mosquitto[] = [];

after(async () => {
  for (const server of servers) await server.stop();
});

async function server(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const started = await startMosquitto({ persistence: false, ...options });
  servers.push(started);
  return started;
}

const noTls = { ca: null, certificate: null, key: null, serverName: null };

function clientOf(port: number, rest: Partial<MqttClientConfig> = {}, url: Partial<MqttUrl> = {}) {
  return {
    url: { host: '127.0.0.1', port, tls: false, websocket: false, path: '/mqtt', ...url },
    version: 5 as const,
    clientId: 'gw1',
    username: null,
    password: null,
    tls: noTls,
    keepAliveMs: 30_000,
    ...rest,
  };
}

function optionsOf(client: MqttClientConfig, rest: Partial<MqttConnectOptions> = {}) {
  const ended: string[] = [];
  const options: MqttConnectOptions = {
    client,
    cleanStart: true,
    sessionExpiryMs: 0,
    ended: (error, reasonCode) => ended.push(`${error.code} ${reasonCode}`),
    ...rest,
  };
  return { options, ended };
}

test('a connection tells what the server announced, of both versions', async () => {
  const broker = await server({ lines: ['max_packet_size 5000', 'max_qos 1'] });
  const of5 = await connectMqtt(optionsOf(clientOf(broker.port)).options);
  assert.equal(of5.server.maximumPacketBytes, 5_000);
  assert.equal(of5.server.maximumQos, 1);
  assert.equal(of5.server.sessionPresent, false);
  await of5.close();
  const of4 = await connectMqtt(optionsOf(clientOf(broker.port, { version: 4 })).options);
  assert.equal(of4.server.receiveMaximum, 65_535);
  await of4.close();
});

test('a session is kept where it was asked for, and ended by a close that says so', async () => {
  const broker = await server();
  const kept = { cleanStart: false, sessionExpiryMs: 60_000 };
  const connect = () => connectMqtt(optionsOf(clientOf(broker.port), kept).options);
  const first = await connect();
  assert.equal(first.server.sessionPresent, false);
  assert.deepEqual(await first.subscribe(['a/#', 'b'], { qos: 1 }), [1, 1]);
  await first.close();
  const second = await connect();
  assert.equal(second.server.sessionPresent, true);
  await second.close(0);
  const third = await connect();
  assert.equal(third.server.sessionPresent, false);
  await third.close();
});

test('a connection goes over a WebSocket', async () => {
  const [port = 0] = await freePorts(1);
  await server({ lines: [`listener ${port} 127.0.0.1`, 'protocol websockets'] });
  await eventually('the second listener listens', 5_000, () => accepts(port));
  const client = clientOf(port, {}, { websocket: true });
  const connection = await connectMqtt(optionsOf(client).options);
  assert.deepEqual(await connection.subscribe(['a'], { qos: 2 }), [2]);
  await connection.close();
});

test('TLS is checked, and a renewed certificate is taken at the next connect', async () => {
  const [port = 0] = await freePorts(1);
  const broker = await server();
  const { directory } = broker;
  const trusted = new Authority(directory, 'trusted');
  const other = new Authority(directory, 'other');
  const files = trusted.sign('server', { altNames: 'IP:127.0.0.1,DNS:broker.example' });
  for (const file of Object.values(files)) chmodSync(file, 0o644);
  await broker.kill();
  await broker.start([
    `listener ${port} 127.0.0.1`,
    `certfile ${files.certificate}`,
    `keyfile ${files.key}`,
  ]);
  await eventually('the second listener listens', 5_000, () => accepts(port));
  const ca = join(directory, 'authority.pem');
  const connect = (more: object = {}) => {
    const tls = { ...noTls, ca, ...more };
    return connectMqtt(optionsOf(clientOf(port, { tls }, { tls: true })).options);
  };
  copyFileSync(other.certificate, ca);
  await assert.rejects(connect(), { code: 'tlsUnknownCa', message: /certificate/ });
  copyFileSync(trusted.certificate, ca);
  await (await connect()).close();
  await (await connect({ serverName: 'broker.example' })).close();
  const wrongName = { code: 'tlsWrongName', message: /other.example/ };
  await assert.rejects(connect({ serverName: 'other.example' }), wrongName);
  await assert.rejects(connect({ ca: join(directory, 'gone.pem') }), { message: /gone\.pem/ });
});

test('a refused connection is classed: bad credentials halt, in both versions', async () => {
  const broker = await server({ anonymous: false });
  for (const version of [4, 5] as const) {
    const client = clientOf(broker.port, { version, username: 'u', password: 'wrong' });
    await assert.rejects(connectMqtt(optionsOf(client).options), {
      code: 'upstreamUnauthorized',
      message: /not authorized/i,
    });
  }
});

test('a refused connection is classed: what the server names decides', async () => {
  const answers: [number, string][] = [
    [0x84, 'upstreamUnsuited'],
    [0x85, 'upstreamUnsuited'],
    [0x88, 'upstreamUnreachable'],
    [0x89, 'upstreamRejected'],
    [0x8a, 'upstreamUnauthorized'],
    [0x9f, 'upstreamRejected'],
  ];
  for (const [reason, code] of answers) {
    const far = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', () => socket.end(Buffer.from([0x20, 3, 0, reason, 0])));
    });
    const [port = 0] = await freePorts(1);
    await new Promise<void>((listening) => far.listen(port, '127.0.0.1', listening));
    await assert.rejects(connectMqtt(optionsOf(clientOf(port)).options), { code });
    await new Promise((closed) => far.close(closed));
  }
});

test('a server that says nothing is given up in time, one that is not there at once', async () => {
  const far = createServer((socket) => socket.on('error', () => undefined));
  const [port = 0, nobody = 0] = await freePorts(2);
  await new Promise<void>((listening) => far.listen(port, '127.0.0.1', listening));
  const patient = optionsOf(clientOf(port), { withinMs: 200 });
  await assert.rejects(connectMqtt(patient.options), { code: 'upstreamUnreachable' });
  await assert.rejects(connectMqtt(optionsOf(clientOf(nobody)).options), {
    code: 'upstreamUnreachable',
    message: /ECONNREFUSED/,
  });
  far.close();
});

test('an end that nobody asked for is told once, and one that was asked for never', async () => {
  const broker = await server();
  const taken = optionsOf(clientOf(broker.port));
  await connectMqtt(taken.options);
  const taker = optionsOf(clientOf(broker.port));
  const second = await connectMqtt(taker.options);
  await waitFor(() => taken.ended.length > 0);
  assert.deepEqual(taken.ended, ['upstreamUnreachable null']);
  await second.close();
  const third = await connectMqtt(taker.options);
  third.destroy();
  const killed = optionsOf(clientOf(broker.port, { clientId: 'gw2' }));
  await connectMqtt(killed.options);
  await broker.kill();
  await waitFor(() => killed.ended.length > 0);
  assert.deepEqual(killed.ended, ['upstreamUnreachable null']);
  assert.deepEqual([taken.ended.length, taker.ended.length], [1, 0]);
});

test('a server that disconnects us says why, and only what hands can mend halts', async () => {
  const endings: [number, string][] = [
    [0x8b, 'upstreamUnreachable'],
    [0x8e, 'upstreamUnreachable'],
    [0x87, 'upstreamUnauthorized'],
  ];
  for (const [reason, code] of endings) {
    const far = createServer((socket) => {
      socket.on('error', () => undefined);
      const goAway = Buffer.from([0xe0, 2, reason, 0]);
      socket.once('data', () => socket.write(Buffer.from([0x20, 3, 0, 0, 0])));
      setTimeout(() => socket.end(goAway), 50);
    });
    const [port = 0] = await freePorts(1);
    await new Promise<void>((listening) => far.listen(port, '127.0.0.1', listening));
    const { options, ended } = optionsOf(clientOf(port));
    await connectMqtt(options);
    await waitFor(() => ended.length > 0);
    assert.deepEqual(ended, [`${code} ${reason}`]);
    await new Promise((closed) => far.close(closed));
  }
});

test('every byte of both directions passes the stream hook', async () => {
  const broker = await server();
  const seen: Buffer[] = [];
  const { options } = optionsOf(clientOf(broker.port), {
    stream: (socket) => {
      const [writable, readable] = [new PassThrough(), new PassThrough()];
      writable.on('data', (bytes: Buffer) => seen.push(bytes));
      readable.on('data', (bytes: Buffer) => seen.push(bytes));
      writable.pipe(socket).pipe(readable);
      return Duplex.from({ writable, readable });
    },
  });
  const connection = await connectMqtt(options);
  await connection.close();
  const first = seen.map((bytes) => bytes[0]);
  assert.deepEqual([first.includes(0x10), first.includes(0x20)], [true, true]);
});
