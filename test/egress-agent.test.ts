/**
 * A whole agent with two upstreams of one thread, an MQTT server and files: what devices were
 * acknowledged arrives at both, through a kill of the agent and one of the server. And what a
 * config does not use is not loaded.
 */
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mqttPacket, { type Packet } from 'mqtt-packet';
import { AgentUnderTest, eventually } from './support/agent.ts';
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

/** Publishes at QoS 1 until told to stop; what was acknowledged is kept. */
class Device {
  readonly acknowledged: number[] = [];
  readonly #name: string;
  #next = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** One connection's worth; returns when all were acknowledged or the connection ended. */
  async publish(port: number, count: number): Promise<void> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
    socket.on('error', () => undefined);
    const parser = mqttPacket.parser();
    socket.on('data', (bytes) => parser.parse(bytes));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const values = new Map<number, number>();
    const say = (packet: Packet) => socket.write(mqttPacket.generate(packet));
    parser.on('packet', ({ cmd, messageId = 0 }) => {
      if (cmd !== 'puback') return;
      this.acknowledged.push(values.get(messageId) as number);
      values.delete(messageId);
      if (values.size === 0) socket.end();
    });
    say({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: this.#name,
    });
    for (let i = 1; i <= count; i++) {
      const value = this.#next++;
      values.set(i, value);
      const payload = `${this.#name} ${value}`;
      const topic = `plant/${this.#name}/telemetry`;
      say({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId: i });
    }
    await closed;
  }
}

function assertHas(values: readonly string[], devices: readonly Device[]): void {
  for (const [i, device] of devices.entries()) {
    const own = [...new Set(values.filter((value) => value.startsWith(`d${i} `)))];
    const numbers = own.map((value) => Number(value.split(' ')[1]));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      `d${i} in order`,
    );
    const missing = device.acknowledged.filter((one) => !numbers.includes(one));
    assert.deepEqual(missing, [], `d${i} misses nothing that was acknowledged`);
  }
}

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
  const loaded = [...loadedWith('agent/egress-thread.ts')];
  assert.ok(loaded.includes('agent/egress/forwarder.ts'));
  const heavy = /(mqtt|nats)-client|egress\/(kafka|mqtt-|file|nats-upstream)/;
  assert.deepEqual(
    loaded.filter((path) => heavy.test(path)),
    [],
  );
});
