/**
 * A whole agent with two upstreams of one thread, an MQTT server and files: what devices were
 * acknowledged arrives at both, through a kill of the agent and one of the server. And what a
 * config does not use is not loaded.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { assertHas, Device } from './support/counting-device.ts';
import { readLines } from './support/files.ts';
import { laneBalances } from './support/metrics.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { Wire } from './support/mqtt-far.ts';
import { Subscriber } from './support/mqtt-upstream-rig.ts';
import { importsOf, readSource } from './support/source.ts';

const brokers: Mosquitto[] = [];
const seen: Subscriber[] = [];
const wires: Wire[] = [];

after(async () => {
  for (const one of [...seen, ...wires]) one.close();
  for (const broker of brokers) await broker.stop();
});

test('what was acknowledged arrives at an MQTT server and in files, through kills', async () => {
  const broker = await startMosquitto({ persistence: false });
  brokers.push(broker);
  const wire = new Wire(broker.port);
  wires.push(wire);
  seen.push(await Subscriber.open(broker.port, '#'));
  await using agent = await AgentUnderTest.start({
    routes: [
      { name: 'all', from: 'plant/+/telemetry', to: [{ upstream: 'up' }, { upstream: 'archive' }] },
    ],
    upstreams: {
      up: { mqtt: { url: `mqtt://127.0.0.1:${await wire.listen()}`, qos: 1, inFlight: 32 } },
      archive: { file: { directory: './out' } },
    },
  });
  const devices = [0, 1, 2].map((i) => new Device(`d${i}`));
  const publishAll = () =>
    Promise.all(devices.map((device) => device.publish(agent.mqttPort, 400)));
  await publishAll();
  const killed = publishAll();
  await sleep(20);
  await agent.kill();
  await killed;
  wire.isOpen = false;
  await broker.kill();
  await agent.start();
  await publishAll();
  await broker.start();
  seen.push(await Subscriber.open(broker.port, '#'));
  wire.isOpen = true;
  const values = () => seen.flatMap((one) => one.values);
  await eventually('both lanes are through', 30_000, async () =>
    laneBalances(await agent.metrics()).every(({ backlog }) => backlog === 0),
  );
  await sleep(100);
  const lines = readLines(join(agent.directory, 'out'));
  assertHas(
    lines.map(({ value }) => String(value)),
    devices,
  );
  assertHas(values(), devices);
  for (const { lane, appended, outcomes, backlog } of laneBalances(await agent.metrics())) {
    assert.equal(appended, outcomes + backlog, lane);
  }
  assert.equal(await agent.stop(), 0);
});

/** Files that are loaded with this one: imports that are neither of types nor made at run time. */
function loadedWith(path: string, found = new Set<string>()): Set<string> {
  if (found.has(path)) return found;
  found.add(path);
  const { lines } = readSource(path);
  const source = { path, lines: lines.filter((line) => !line.includes('await import(')) };
  for (const { file, typeOnly } of importsOf(source)) {
    if (file !== null && !typeOnly && file.endsWith('.ts')) loadedWith(file, found);
  }
  return found;
}

test('an egress thread loads only what its lanes use: not MQTT.js, NATS or Kafka', () => {
  const loaded = [...loadedWith('agent/egress-run.ts')];
  assert.ok(loaded.includes('agent/egress/forwarder.ts'));
  const heavy = /(mqtt|nats)-client|egress\/(kafka|mqtt-|file|nats-upstream)/;
  assert.deepEqual(
    loaded.filter((path) => heavy.test(path)),
    [],
  );
});
