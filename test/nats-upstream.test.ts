/**
 * NATS upstreams against a real nats-server: what a stream has in the end, once each and in which
 * order, through cut wires, a server that is killed, and streams that come late or refuse.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Frame } from '../agent/egress/record.ts';
import { LivedTime } from '../agent/egress/segment-source.ts';
import { frameOf, type LaneRig, waitFor } from './support/egress-rig.ts';
import { numbered, texts } from './support/mqtt-upstream-rig.ts';
import {
  closeAll,
  NatsWire,
  natsConfig,
  natsLane,
  Streams,
  serverOf,
} from './support/nats-upstream-rig.ts';

afterEach(closeAll);

const toldOf = (rig: LaneRig, code: string) =>
  rig.events.filter(({ fields }) => fields.code === code);

test('a PubAck confirms; a record has its subject, value and headers in the stream', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['site.>']);
  const rig = natsLane({
    config: natsConfig(server.port),
    target: { topic: 'site.{gateway}.{1}', headers: { line: '{1}-a' } },
  });
  rig.log.properties = () => ({
    userProperties: [
      ['unit', '°C'],
      ['Nats-Msg-Id', 'forged'],
      ['two\nlines', 'a\r\nNats-Rollup: all'],
      ['tidegate-via', 'gw0'],
    ],
    contentType: 'text/plain; charset=utf-8',
    correlationData: Buffer.from([0, 0xff]),
  });
  rig.append([frameOf({ value: '{"a":1}', properties: new Uint8Array(1) })]);
  rig.start();
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 1);
  const [first] = await streams.stored();
  assert.equal(first?.subject, 'site.gw1.d1');
  assert.equal(first?.value, '{"a":1}');
  const id = first?.headers.get('Nats-Msg-Id') ?? '';
  assert.match(id, /^gw1\/[0-9a-f]{16}\/0$/);
  assert.deepEqual(Object.fromEntries(first?.headers ?? []), {
    'Nats-Msg-Id': id,
    'ce-id': id,
    'ce-time': '2026-01-02T03:04:05.678Z',
    'ce-datacontenttype': 'text/plain;%20charset=utf-8',
    'ce-specversion': '1.0',
    'ce-type': 'telemetry',
    'ce-source': '//gw1/mqtt/d1',
    'ce-subject': 'plant/d1/telemetry',
    'mqtt-correlation-data': 'AP8=',
    'mqtt-Nats-Msg-Id': 'forged',
    'two%0Alines': 'a%0D%0ANats-Rollup: all',
    unit: '°C',
    line: 'd1-a',
    'tidegate-via': 'gw0,gw1',
  });
});

test('a link that is cut between publish and PubAck leaves one of each in the stream', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['plant.>']);
  const wire = await NatsWire.to(server);
  const rig = natsLane({ config: natsConfig(wire.port) });
  rig.start();
  rig.append(numbered(20));
  await rig.settledAll();
  wire.deafen();
  rig.append(numbered(30, 20));
  await waitFor(() => rig.settled === 20);
  while ((await streams.count()) === 20) await sleep(5);
  wire.cut();
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 50);
  assert.equal(wire.connections, 2);
  assert.deepEqual(await streams.values(), texts(50));
});

const devices = ['d1', 'd2', 'd3'];
const steps = 40;
const perStep = 30;
/** Values `<device> <n>`, n from 0 for each device. */
function interleaved(from: number): Frame[] {
  return Array.from({ length: perStep }, (_, i) => {
    const device = devices[i % devices.length] as string;
    return frameOf({ device, value: `${device} ${from + Math.floor(i / devices.length)}` });
  });
}

async function stream(rig: LaneRig, eachStep: (step: number) => Promise<void> | void) {
  for (let step = 0; step < steps; step++) {
    rig.append(interleaved((step * perStep) / devices.length));
    await sleep(5);
    await eachStep(step);
  }
  await rig.settledAll();
}

function assertWhole(values: readonly string[]): void {
  assert.equal(values.length, steps * perStep, 'once each');
  for (const device of devices) {
    const own = values.filter((value) => value.startsWith(`${device} `));
    const expected = texts((steps * perStep) / devices.length).map((n) => `${device} ${n}`);
    assert.deepEqual(own, expected, `${device} whole and in order`);
  }
}

test('a server killed and started again in mid-stream misses nothing, in order', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['plant.>']);
  const rig = natsLane({ config: natsConfig(server.port, { inFlight: 16 }) });
  rig.start();
  await stream(rig, async (step) => {
    if (step !== steps / 2) return;
    await waitFor(() => rig.settled > 0);
    await server.kill();
    await sleep(50);
    await server.start();
  });
  assert.equal(rig.outcomes.confirmed, steps * perStep);
  assert.ok(rig.states.includes('backing-off'));
  const again = await Streams.of(server);
  assertWhole(await again.values());
});

test('through cut wires each record is in the stream once and in order', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['plant.>']);
  const wire = await NatsWire.to(server);
  const rig = natsLane({ config: natsConfig(wire.port) });
  rig.start();
  await stream(rig, (step) => {
    if (step % 5 === 4) wire.cut();
  });
  assertWhole(await streams.values());
  assert.ok(wire.connections > 3, `${wire.connections} connections`);
});

test('a silent server is given up after a PING, and the next connection goes on', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['plant.>']);
  const wire = await NatsWire.to(server);
  const rig = natsLane({ config: natsConfig(wire.port), tuning: { pubAckWithinMs: 100 } });
  rig.start();
  rig.append(numbered(2));
  await rig.settledAll();
  wire.deafen();
  rig.append(numbered(8, 2));
  await waitFor(() => toldOf(rig, 'natsTimeout').length > 0);
  await rig.settledAll(10, 10_000);
  assert.equal(wire.connections, 2);
  assert.deepEqual(await streams.values(), texts(10));
});

test('a subject that no stream has is held with a remedy; all arrive in order later', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  const rig = natsLane({ config: natsConfig(server.port) });
  rig.append(numbered(200));
  rig.start();
  await waitFor(() => toldOf(rig, 'natsNoStream').length > 0);
  rig.append(numbered(100, 200));
  await sleep(50);
  assert.match(String(toldOf(rig, 'natsNoStream')[0]?.fields.remedy), /stream/);
  assert.equal(rig.states.at(-1), 'backing-off');
  await streams.make(['plant.>']);
  await rig.settledAll();
  assert.deepEqual(await streams.values(), texts(300));
});

test('unknownTopic: bury sets aside what no stream takes, and those behind go on', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['known.>']);
  const rig = natsLane({
    config: natsConfig(server.port),
    target: { topic: '{device}.x', unknownTopic: 'bury' },
    tuning: { missingAfterMs: 100 },
  });
  const other = texts(30).map((n) => frameOf({ device: `none${n}`, value: n }));
  rig.append([...numbered(5, 0, { device: 'known' }), ...other]);
  rig.append(numbered(5, 5, { device: 'known' }));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(await streams.values(), texts(10));
  assert.equal(rig.outcomes.buried, 30);
  assert.deepEqual([...new Set(rig.buried.map(({ reason }) => reason))], ['topicUnknown']);
});

test('what is too large for the server, or for the stream, is buried alone', async () => {
  const server = await serverOf({ lines: ['max_payload: 4096'] });
  const streams = await Streams.of(server);
  await streams.make(['plant.>'], { max_msg_size: 2_000 });
  const rig = natsLane({ config: natsConfig(server.port) });
  rig.append([
    ...numbered(3),
    frameOf({ value: 'x'.repeat(4_000) }),
    frameOf({ value: 'x'.repeat(3_000) }),
    ...numbered(3, 3),
  ]);
  rig.start();
  await rig.settledAll();
  assert.deepEqual(await streams.values(), texts(6));
  assert.deepEqual(
    rig.buried.map(({ reason }) => reason),
    ['recordTooLarge', 'recordTooLarge'],
  );
  assert.match(rig.buried.map(({ detail }) => detail).join(), /the server takes 4096.*10054/);
});

test('a full stream is waited for, and what it refused goes first when it has room', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['plant.>'], { max_msgs: 10, discard: 'new' as never });
  const rig = natsLane({ config: natsConfig(server.port) });
  rig.append(numbered(40));
  rig.start();
  await waitFor(() => toldOf(rig, 'upstreamRejected').length > 0);
  await waitFor(() => rig.outcomes.confirmed === 10);
  assert.match(String(toldOf(rig, 'upstreamRejected')[0]?.fields.error), /maximum messages/);
  await streams.jsm.streams.update('S', { max_msgs: -1 });
  await rig.settledAll();
  assert.deepEqual(await streams.values(), texts(40));
});

test('a reply that is no PubAck confirms nothing', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  streams.connection.subscribe('plant.>', {
    callback: (_, message) => message.respond(Buffer.from('{"ok":true}')),
  });
  const rig = natsLane({ config: natsConfig(server.port), tuning: { pubAckWithinMs: 80 } });
  rig.append(numbered(3));
  rig.start();
  await waitFor(() => toldOf(rig, 'natsTimeout').length > 0);
  assert.equal(rig.settled, 0);
  await streams.make(['plant.>']);
  await rig.settledAll();
  assert.deepEqual(await streams.values(), texts(3));
});

test('what expires while it waits is told so, and what is left is stored', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  const lived = new LivedTime(0);
  const rig = natsLane({ config: natsConfig(server.port), lived });
  rig.append([frameOf({ value: 'old', expirySeconds: 1 }), frameOf({ value: 'new' })]);
  rig.start();
  await waitFor(() => toldOf(rig, 'natsNoStream').length > 0);
  lived.saw(2_000);
  await waitFor(() => rig.outcomes.expired === 1);
  await streams.make(['plant.>']);
  await rig.settledAll();
  assert.deepEqual(await streams.values(), ['new']);
});

for (const jetstream of [true, false]) {
  const over = jetstream ? 'JetStream' : 'core NATS';
  test(`at-most-once over ${over}: sent once, or lost and told`, async () => {
    const server = await serverOf();
    const streams = await Streams.of(server);
    const heard: string[] = [];
    if (jetstream) await streams.make(['plant.>']);
    else {
      streams.connection.subscribe('plant.>', { callback: (_, got) => heard.push(got.string()) });
      await streams.connection.flush();
    }
    const wire = await NatsWire.to(server);
    const rig = natsLane({ config: natsConfig(wire.port, { jetstream }), once: true });
    rig.append(numbered(100));
    rig.start();
    await waitFor(() => rig.outcomes.sentOnce === 100);
    const values = async () => (jetstream ? await streams.values() : heard);
    while ((await values()).length < 100) await sleep(5);
    wire.deafen();
    rig.append(numbered(10, 100));
    while ((await values()).length < 110) await sleep(5);
    wire.cut();
    await waitFor(() => rig.events.some(({ fields }) => fields.lostRecords === 10));
    rig.append(numbered(10, 110));
    while ((await values()).length < 120) await sleep(5);
    assert.deepEqual(await values(), texts(120));
    assert.equal(rig.outcomes.sentOnce, 120);
  });
}

test('at-most-once: what no stream takes is lost, and told with its number', async () => {
  const server = await serverOf();
  const rig = natsLane({ config: natsConfig(server.port), once: true });
  rig.append(numbered(5));
  rig.start();
  const told = () => rig.events.filter(({ fields }) => fields.lostRecords !== undefined);
  const lost = () => told().reduce((sum, { fields }) => sum + Number(fields.lostRecords), 0);
  await waitFor(() => lost() === 5);
  assert.equal(told()[0]?.fields.code, 'natsNoStream');
  assert.equal(rig.outcomes.sentOnce, 5);
});

test('two targets of one upstream are two messages of a stream, whatever its window', async () => {
  const server = await serverOf();
  const streams = await Streams.of(server);
  await streams.make(['a.>', 'b.>']);
  const rig = natsLane({ config: natsConfig(server.port), target: { topic: 'a.x' } });
  const route = rig.log.routes.get(1);
  assert.ok(route);
  const [target] = route.targets;
  assert.ok(target);
  rig.log.routes.set(1, { ...route, targets: [target, { ...target, topic: 'b.x' }] });
  rig.append(numbered(3));
  rig.start();
  await rig.settledAll();
  const stored = await streams.stored();
  assert.deepEqual(stored.map(({ subject }) => subject).toSorted(), [
    ...texts(3).map(() => 'a.x'),
    ...texts(3).map(() => 'b.x'),
  ]);
});
