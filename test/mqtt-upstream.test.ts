/**
 * MQTT upstreams against a real Mosquitto: what arrives there, in which order, through cut wires
 * and a server that is killed and started again in mid-stream.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Frame, FrameProperties } from '../agent/egress/record.ts';
import { viaWith } from '../agent/egress/via.ts';
import { frameOf, type LaneRig, waitFor } from './support/egress-rig.ts';
import { type Mosquitto, type MosquittoOptions, startMosquitto } from './support/mosquitto.ts';
import { Wire } from './support/mqtt-far.ts';
import {
  closeAll,
  mqttLane,
  numbered,
  Subscriber,
  texts,
  upstreamConfig,
} from './support/mqtt-upstream-rig.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  await closeAll();
  for (const close of closers.splice(0)) await close();
});

async function server(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const started = await startMosquitto(options);
  closers.push(() => started.stop());
  return started;
}

async function watch(port: number, topicFilter = '#', qos: 0 | 1 | 2 = 0): Promise<Subscriber> {
  const subscriber = await Subscriber.open(port, topicFilter, qos);
  closers.push(() => subscriber.close());
  return subscriber;
}

const devices = ['d1', 'd2', 'd3'];
/** Values `<device> <n>`, n from 0 for each device. */
function interleaved(count: number, from: number): Frame[] {
  return Array.from({ length: count }, (_, i) => {
    const device = devices[i % devices.length] as string;
    return frameOf({ device, value: `${device} ${from + Math.floor(i / devices.length)}` });
  });
}

/** Among first arrivals the numbers of a device stand in order, and none is missing. */
function assertWhole(values: readonly string[], perDevice: number): void {
  for (const device of devices) {
    const own = values.filter((value) => value.startsWith(`${device} `));
    const expected = texts(perDevice).map((n) => `${device} ${n}`);
    assert.deepEqual([...new Set(own)], expected, `${device} whole and in order`);
  }
}

const steps = 40;
const perStep = 30;
const perDevice = (steps * perStep) / devices.length;

async function stream(rig: LaneRig, eachStep: (step: number) => Promise<void> | void) {
  for (let step = 0; step < steps; step++) {
    rig.append(interleaved(perStep, (step * perStep) / devices.length));
    await sleep(5);
    await eachStep(step);
  }
  await rig.settledAll();
}

for (const qos of [1, 2] as const) {
  test(`QoS ${qos}: a server killed and started again in mid-stream misses nothing`, async () => {
    const broker = await server();
    const wire = new Wire(broker.port);
    closers.push(() => wire.close());
    const first = await watch(broker.port);
    const config = upstreamConfig(await wire.listen(), { qos, inFlight: 16 });
    const rig = mqttLane({ config });
    rig.start();
    let second: Subscriber | undefined;
    await stream(rig, async (step) => {
      if (step !== steps / 2) return;
      await waitFor(() => rig.settled > 0);
      wire.isOpen = false;
      await broker.kill('SIGKILL');
      await sleep(50);
      await broker.start();
      // Nobody is subscribed to a server that lost its sessions: first this one, then the lane.
      second = await watch(broker.port);
      wire.isOpen = true;
    });
    assert.equal(rig.outcomes.confirmed, steps * perStep);
    const all = () => [...first.values, ...(second?.values ?? [])];
    await waitFor(() => new Set(all()).size === steps * perStep);
    assertWhole(all(), perDevice);
    assert.ok(rig.states.includes('backing-off'));
  });

  test(`QoS ${qos}: through cut wires nothing is missing and each device is in order`, async () => {
    const broker = await server({ persistence: false });
    const wire = new Wire(broker.port);
    closers.push(() => wire.close());
    const subscriber = await watch(broker.port, '#', qos);
    const config = upstreamConfig(await wire.listen(), { qos, inFlight: 16 });
    const rig = mqttLane({ config });
    rig.start();
    await stream(rig, (step) => {
      if (step % 5 === 4) wire.cut();
    });
    await waitFor(() => new Set(subscriber.values).size === steps * perStep);
    await sleep(50);
    assertWhole(subscriber.values, perDevice);
    assert.ok(wire.cuts > 3, `${wire.cuts} cuts`);
    // The server kept the session: exactly once.
    if (qos === 2) assert.equal(subscriber.values.length, steps * perStep);
  });
}

test('topics, properties, RETAIN and the envelope arrive, in MQTT 5', async () => {
  const broker = await server({ persistence: false });
  const subscriber = await watch(broker.port);
  const rig = mqttLane({
    config: upstreamConfig(broker.port),
    target: { topic: 'site/{gateway}/{1}', headers: { line: '{1}-a' } },
  });
  const properties: FrameProperties = {
    userProperties: [
      ['unit', 'C'],
      ['id', 'forged'],
      ['tidegate-via', 'gw0'],
    ],
    contentType: 'application/json',
    responseTopic: 'answers/d1',
    correlationData: Buffer.from([0, 0xff]),
    payloadFormat: 1,
  };
  rig.log.properties = () => properties;
  rig.append([
    frameOf({ value: '{"a":1}', retain: true, expirySeconds: 60, properties: new Uint8Array(1) }),
    frameOf({ value: 'plain' }),
  ]);
  rig.start();
  await rig.settledAll();
  await waitFor(() => subscriber.received.length === 2);
  const [first, second] = subscriber.received;
  assert.equal(first?.topic, 'site/gw1/d1');
  assert.deepEqual([first?.retain, second?.retain], [true, false]);
  const got = first?.properties ?? {};
  assert.equal(got.contentType, 'application/json');
  assert.equal(got.responseTopic, 'answers/d1');
  assert.deepEqual(got.correlationData, Buffer.from([0, 0xff]));
  assert.equal(got.payloadFormatIndicator, true);
  assert.ok([59, 60].includes(got.messageExpiryInterval ?? 0));
  const own = { ...got.userProperties } as Record<string, string>;
  assert.match(own.id ?? '', /^gw1\/[0-9a-f]{16}\/0$/);
  assert.deepEqual(
    { ...own, id: undefined },
    {
      specversion: '1.0',
      type: 'telemetry',
      source: '//gw1/mqtt/d1',
      subject: 'plant/d1/telemetry',
      time: '2026-01-02T03:04:05.678Z',
      id: undefined,
      'mqtt-id': 'forged',
      unit: 'C',
      line: 'd1-a',
      'tidegate-via': 'gw0,gw1',
    },
  );
  const late = await watch(broker.port);
  await waitFor(() => late.values.length === 1);
  assert.deepEqual(late.values, ['{"a":1}'], 'the server kept what was retained');
});

test('MQTT 3.1.1 gets the plain payload, and retain: false clears RETAIN', async () => {
  const broker = await server({ persistence: false });
  const subscriber = await watch(broker.port);
  const rig = mqttLane({ config: upstreamConfig(broker.port, { version: 4, retain: false }) });
  rig.append([frameOf({ value: 'v', retain: true })]);
  rig.start();
  await rig.settledAll();
  await waitFor(() => subscriber.received.length === 1);
  const [first] = subscriber.received;
  assert.deepEqual([String(first?.payload), first?.retain], ['v', false]);
  assert.deepEqual({ ...first?.properties }, {});
});

test('envelope: none carries on what came, and the way it took', async () => {
  const broker = await server({ persistence: false });
  const subscriber = await watch(broker.port);
  const rig = mqttLane({ config: upstreamConfig(broker.port), target: { envelope: 'none' } });
  rig.log.properties = () => ({
    userProperties: [
      ['id', 'own'],
      ['tidegate-via', 'gw0'],
    ],
  });
  rig.append([frameOf({ value: 'v', properties: new Uint8Array(1) })]);
  rig.start();
  await rig.settledAll();
  await waitFor(() => subscriber.received.length === 1);
  const own = subscriber.received[0]?.properties?.userProperties;
  assert.deepEqual({ ...own }, { id: 'own', 'tidegate-via': 'gw0,gw1' });
});

test('an event that two gateways send in a circle ends where it began', async () => {
  const broker = await server({ persistence: false });
  const subscriber = await watch(broker.port);
  const hop = async (gateway: string, seen: readonly (readonly [string, string])[]) => {
    const rig = mqttLane({ config: upstreamConfig(broker.port, { clientId: gateway }) });
    const route = rig.log.routes.get(1);
    if (route !== undefined) rig.log.routes.set(1, { ...route, gateway });
    rig.log.properties = () => ({ userProperties: seen });
    rig.append([frameOf({ value: gateway, properties: new Uint8Array(1) })]);
    rig.start();
    await rig.settledAll();
    return rig;
  };
  const arrived = async (count: number) => {
    await waitFor(() => subscriber.received.length === count);
    const all = subscriber.received.at(-1)?.properties?.userProperties ?? {};
    return Object.entries(all).map(([name, value]) => [name, String(value)] as const);
  };
  await hop('gw1', []);
  await hop('gw2', await arrived(1));
  const circle = await hop('gw1', await arrived(2));
  assert.equal(circle.buried[0]?.reason, 'loop');
  assert.equal(circle.outcomes.buried, 1);
  assert.equal(subscriber.received.length, 2);
  assert.equal(viaWith('gw3', await arrived(2)), 'gw1,gw2,gw3');
});

test('a Topic Name that MQTT would not take is buried, and the rest goes on', async () => {
  const broker = await server({ persistence: false });
  const subscriber = await watch(broker.port, 'up/#');
  const config = upstreamConfig(broker.port);
  const rig = mqttLane({ config, target: { topic: 'up/{device}' } });
  const names = ['a+b', 'a#', 'a\0b', 'x'.repeat(65_533), 'fine'];
  rig.append(names.map((device) => frameOf({ device, value: device })));
  rig.append([frameOf({ device: 'x'.repeat(60_000), value: 'long' })]);
  rig.start();
  await rig.settledAll();
  assert.deepEqual(
    rig.buried.map(({ reason }) => reason),
    texts(4).map(() => 'topicInvalid'),
  );
  await waitFor(() => subscriber.values.length === 2);
  assert.deepEqual(subscriber.values, ['fine', 'long']);
});

test('a server that does not know us halts the lane with a remedy, until it does', async () => {
  const broker = await server({ persistence: false, anonymous: false });
  const rig = mqttLane({ config: upstreamConfig(broker.port, { username: 'u', password: 'p' }) });
  rig.append(numbered(3));
  rig.start();
  await waitFor(() => rig.states.includes('halted'));
  const event = rig.events.find(({ name }) => name === 'laneHalted');
  assert.equal(event?.fields.code, 'upstreamUnauthorized');
  assert.match(String(event?.fields.remedy), /resume/);
  await broker.kill();
  await broker.start(['allow_anonymous true']);
  rig.forwarder.resume();
  await rig.settledAll();
});

test('a missing right to one Topic Name is told by the server and halts the lane', async () => {
  const broker = await server({ persistence: false });
  const acl = `${broker.directory}/acl`;
  await import('node:fs/promises').then(({ writeFile }) => writeFile(acl, 'topic write open/#\n'));
  await broker.kill();
  await broker.start([`acl_file ${acl}`]);
  const config = upstreamConfig(broker.port);
  const rig = mqttLane({ config, target: { topic: '{device}/x' } });
  rig.append([frameOf({ device: 'open' }), frameOf({ device: 'closed' })]);
  rig.start();
  await waitFor(() => rig.states.includes('halted'));
  assert.equal(rig.events.at(-1)?.fields.code, 'upstreamUnauthorized');
  await waitFor(() => rig.outcomes.confirmed === 1);
});

test('what Mosquitto closes the connection for is encoded, or buried alone', async () => {
  const mosquitto = await server();
  const subscriber = await watch(mosquitto.port);
  const rig = mqttLane({ config: upstreamConfig(mosquitto.port) });
  rig.log.properties = () => ({ userProperties: [['a\tb', 'one\ntwo 5%']] });
  const properties = new Uint8Array(1);
  rig.append([
    frameOf({ value: '0', properties, protocol: 2, eventId: 'its\u0001id' }),
    frameOf({ value: '1', topicName: 'plant/\u0001/telemetry' }),
    frameOf({ value: '2', topicName: 'plant/\ufdd0/telemetry' }),
    frameOf({ value: '3' }),
  ]);
  rig.start();
  await rig.settledAll();
  assert.deepEqual([rig.outcomes.confirmed, rig.outcomes.buried], [2, 2]);
  assert.equal(rig.buried[0]?.reason, 'topicInvalid');
  await waitFor(() => subscriber.received.length === 2);
  const own = { ...subscriber.received[0]?.properties?.userProperties } as Record<string, string>;
  assert.equal(own['a%09b'], 'one%0Atwo 5%25');
  assert.equal(own.id, 'its%01id');
});
