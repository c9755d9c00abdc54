/**
 * SIGHUP and the listeners: one that is added, changed or removed is nobody else's business, and an
 * address that cannot be had refuses the whole reload, routes included, without a trace.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AgentUnderTest, accepts, eventually } from './support/agent.ts';
import { Device, isSuccess } from './support/device.ts';
import { readLines } from './support/files.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { freePorts } from './support/ports.ts';

const withinMs = 15_000;

async function occupy(port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

let agent: AgentUnderTest;
let ports: number[];
let broker: Mosquitto;
let stays: Device | undefined;

before(async () => {
  ports = await freePorts(4);
  broker = await startMosquitto();
  agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    listener: { broker: url(), allow: [{ publish: ['plant/{device}/#'] }] },
  });
  stays = await Device.connect(agent.mqttPort, 'stays', { protocolVersion: 5 });
});
after(async () => {
  stays?.close();
  await agent[Symbol.asyncDispose]();
  await broker.stop();
});

const url = () => `mqtt://127.0.0.1:${broker.port}`;
/** A listener without rules. */
const plain = (at: number, receiveMaximum = 100) => {
  return { bind: bind(at), broker: url(), publishAcl: 'none', receiveMaximum };
};

const bind = (at: number) => `127.0.0.1:${ports[at]}`;
const port = (at: number) => ports[at] ?? 0;
const values = () => readLines(join(agent.directory, 'out')).map(({ value }) => `${value}`);
/** It is connected still, and its allow rules hold as before. */
const assertStays = async (): Promise<void> => {
  assert.equal(stays?.ended, false);
  assert.ok(isSuccess(await stays?.publishAndWait('plant/stays/a', 'x')));
  assert.equal(await stays?.publishAndWait('plant/other/a', 'x'), 0x87);
};

test('a listener is added, with rules of its own: the other one’s devices stay', async () => {
  const told = await agent.reload((config) => {
    // In front of the other: the bits of its allow rules are others from now on.
    config.mqtt.listeners.unshift({
      ...{ bind: bind(0), broker: url() },
      allow: [{ device: 'new-*', publish: ['plant/shared', 'plant/{device}'] }],
    });
  });
  assert.equal(told.event, 'configReloaded');
  await assertStays();
  const fresh = await Device.connect(port(0), 'new-1', { protocolVersion: 5 });
  assert.ok(isSuccess(await fresh.publishAndWait('plant/shared', 'by new-1')));
  assert.equal(await fresh.publishAndWait('plant/stays', 'x'), 0x87);
  fresh.close();
});

test('a listener that changes closes its devices once they are acknowledged', async () => {
  const five = { protocolVersion: 5 } as const;
  const burst = 15;
  const device = await Device.connect(port(0), 'new-2', five);
  for (let id = 1; id <= burst; id++) device.publish('plant/shared', `burst-${id}`, id);
  const told = await agent.reload((config) => {
    Object.assign(config.mqtt.listeners[0] ?? {}, { receiveMaximum: 7 });
  });
  assert.equal(told.event, 'configReloaded');
  await device.closed();
  const disconnect = device.packets.find(({ cmd }) => cmd === 'disconnect');
  assert.equal((disconnect as { reasonCode?: number }).reasonCode, 0x8b, 'shutting down');
  const acknowledged = device.acknowledged();
  assert.deepEqual(
    acknowledged,
    Array.from({ length: acknowledged.length }, (_, i) => i + 1),
    'in order, none twice',
  );
  await eventually('what was acknowledged', withinMs, () => {
    const found = values();
    return acknowledged.every((id) => found.includes(`burst-${id}`));
  });
  await assertStays();
  const { device: again } = await Device.ask(port(0), 'new-2', five);
  const connack = again.packets.find(({ cmd }) => cmd === 'connack');
  const { properties } = connack as { properties?: { receiveMaximum?: number } };
  assert.equal(properties?.receiveMaximum, 7);
  again.close();
});

test('a listener moves, and two exchange their addresses', async () => {
  await agent.reload((config) => {
    config.mqtt.listeners[0] = plain(1, 11);
    config.mqtt.listeners.push(plain(2, 12));
  });
  assert.equal(await accepts(port(0)), false);
  const told = await agent.reload((config) => {
    config.mqtt.listeners[0] = plain(2, 11);
    config.mqtt.listeners[2] = plain(1, 12);
  });
  assert.equal(told.event, 'configReloaded', JSON.stringify(told));
  for (const [at, maximum] of [
    [2, 11],
    [1, 12],
  ] as const) {
    const device = await Device.connect(port(at), 'swap', { protocolVersion: 5 });
    const connack = device.packets[0] as { properties?: { receiveMaximum?: number } };
    assert.equal(connack.properties?.receiveMaximum, maximum);
    device.close();
  }
  await assertStays();
});

test('an address that is taken refuses all of it: seats, routes, upstreams, HTTP', async () => {
  await using _holder = await occupy(port(3));
  const neighbour = await Device.connect(port(1), 'neighbour');
  const [http = 0] = await freePorts(1);
  const told = await agent.reload((config) => {
    // One that would work stands before the one that does not.
    config.mqtt.listeners[2] = plain(0);
    config.mqtt.listeners.push(plain(3));
    Object.assign(config.mqtt.listeners[1] ?? {}, { receiveMaximum: 5 });
    config.routes = [{ name: 'other', from: 'other/#', to: { upstream: 'fresh' } }];
    config.upstreams = { fresh: { file: { directory: './fresh' } } };
    config.http = { bind: `127.0.0.1:${http}` };
    config.log = { level: 'debug' };
  });
  assert.equal(told.event, 'configRefused');
  assert.match(String(told.detail), new RegExp(`mqtt listener ${bind(3)}: .*EADDRINUSE`));
  assert.match(String(told.remedy), /ss -ltnp/);
  await assertStays();
  assert.ok(isSuccess(await neighbour.publishAndWait('plant/n', 'after the refusal')));
  assert.equal(await accepts(port(0)), false);
  await assert.rejects(fetch(`http://127.0.0.1:${http}/readyz`));
  const ready = (await (await fetch(`http://127.0.0.1:${agent.httpPort}/readyz`)).json()) as {
    ready: boolean;
    degraded: string;
    upstreams: object;
  };
  assert.deepEqual([ready.ready, ready.degraded], [true, 'config']);
  assert.deepEqual(Object.keys(ready.upstreams), ['out/at-least-once']);
  await eventually('by the old route', withinMs, () => values().includes('after the refusal'));
  (await Device.connect(port(1), 'later')).close();
  assert.equal(agent.events('connectionOpened').length, 0, 'the level is as before');
  neighbour.close();
});

test('an address that would change hands stays when the reload fails', async () => {
  const neighbour = await Device.connect(port(1), 'keeps');
  await using _holder = await occupy(port(3));
  const told = await agent.reload((config) => {
    // Its address is given back for the changed one before the other fails.
    config.mqtt.listeners[2] = plain(1, 3);
    config.mqtt.listeners.push(plain(3));
  });
  assert.equal(told.event, 'configRefused');
  assert.ok(isSuccess(await neighbour.publishAndWait('plant/n', 'still here')));
  const later = await Device.connect(port(1), 'later', { protocolVersion: 5 });
  const connack = later.packets[0] as { properties?: { receiveMaximum?: number } };
  assert.equal(connack.properties?.receiveMaximum, 12);
  for (const device of [neighbour, later]) device.close();
});

test('a listener with a file that is not there refuses the reload', async () => {
  const told = await agent.reload((config) => {
    config.mqtt.listeners.push({ ...plain(3), users: './none' });
    config.routes = [];
  });
  assert.equal(told.event, 'configRefused');
  assert.match(String(told.detail), /users: .*none cannot be read \(ENOENT\)/);
  assert.equal(await accepts(port(3)), false);
  await assertStays();
});

test('a listener that is removed closes its devices only', async () => {
  const goes = await Device.connect(port(1), 'goes');
  assert.equal(
    (await agent.reload((config) => config.mqtt.listeners.pop())).event,
    'configReloaded',
  );
  await goes.closed();
  assert.equal(await accepts(port(1)), false);
  await assertStays();
  const ready = await fetch(`http://127.0.0.1:${agent.httpPort}/readyz`);
  assert.equal(((await ready.json()) as { degraded: string | null }).degraded, null);
});
