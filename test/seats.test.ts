/**
 * One suite of promises over every way in: (Mosquitto behind a listener, a source at Mosquitto; the
 * embedded broker for 3.1.1) × (3.1.1, 5) × (TCP, WebSocket) × (QoS 0, 1, 2). Devices are MQTT.js
 * clients, the agent is a process of its own that is killed in mid-stream, events are looked for in
 * the files that the upstream wrote.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt, { type MqttClient } from 'mqtt';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { type Line, readLines } from './support/files.ts';
import { total } from './support/metrics.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { freePorts } from './support/ports.ts';

const events = 120;
const killAt = 40;
const withinMs = 20_000;

type SeatName = 'listener' | 'source' | 'embedded';
interface Way {
  readonly seat: SeatName;
  readonly version: 4 | 5;
  readonly transport: 'tcp' | 'websocket';
}

const ways: Way[] = (['listener', 'source', 'embedded'] as const).flatMap((seat) =>
  ([4, 5] as const).flatMap((version) =>
    (['tcp', 'websocket'] as const).map((transport) => ({ seat, version, transport })),
  ),
);

function nameOf({ seat, version, transport }: Way): string {
  return `${seat}, MQTT ${version === 4 ? '3.1.1' : '5'} over ${transport}`;
}

class Stage {
  readonly way: Way;
  readonly agent: AgentUnderTest;
  readonly broker: Mosquitto;
  readonly #devices: MqttClient[] = [];

  private constructor(way: Way, agent: AgentUnderTest, broker: Mosquitto) {
    this.way = way;
    this.agent = agent;
    this.broker = broker;
  }

  static async open(way: Way): Promise<Stage> {
    const { seat, version, transport } = way;
    const [websocketPort] = await freePorts(1);
    const broker = await startMosquitto({
      lines: [
        ...['max_queued_messages 0', 'max_inflight_messages 500'],
        ...[`listener ${websocketPort} 127.0.0.1`, 'protocol websockets'],
      ],
    });
    const websocket = transport === 'websocket';
    const listener = {
      websocket: websocket && seat !== 'source',
      ...(seat === 'listener'
        ? { broker: `mqtt://127.0.0.1:${broker.port}`, publishAcl: 'none' }
        : {}),
    };
    const url = websocket
      ? `ws://127.0.0.1:${websocketPort}/mqtt`
      : `mqtt://127.0.0.1:${broker.port}`;
    const source = {
      ...{ url, subscribe: ['plant/#', 'home/#'], qos: 2, device: '{1}' },
      version: version === 4 ? '3.1.1' : '5',
    };
    const agent = await AgentUnderTest.start({
      routes: [{ name: 'plant', from: 'plant/+/#', to: { upstream: 'out' } }],
      upstreams: { out: { file: { directory: './out' } } },
      listener,
      ...(seat === 'source' ? { sources: [source] } : {}),
    });
    const stage = new Stage(way, agent, broker);
    if (seat === 'source') await stage.#subscribed();
    return stage;
  }

  async #subscribed(): Promise<void> {
    const shown = async () => total(await this.agent.metrics(), 'tidegate_source_subscribed');
    await eventually('the source is subscribed', withinMs, async () => (await shown()) === 1);
  }

  /** Where devices connect: to the agent's listener, or to the broker that the source is at. */
  async device(clientId: string): Promise<MqttClient> {
    const { seat, version, transport } = this.way;
    const ws = transport === 'websocket' && seat !== 'source';
    const port = seat === 'source' ? this.broker.port : this.agent.mqttPort;
    const device = mqtt.connect(`${ws ? 'ws' : 'mqtt'}://127.0.0.1:${port}`, {
      ...{ clientId, clean: false, protocolVersion: version, reconnectPeriod: 100 },
      ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
    });
    device.on('error', () => {});
    this.#devices.push(device);
    await new Promise((resolve) => device.once('connect', resolve));
    return device;
  }

  async restart(): Promise<void> {
    await this.agent.kill();
    await this.agent.start();
    if (this.way.seat === 'source') await this.#subscribed();
  }

  /** What the upstream has for this device, as soon as it has `least`. */
  async stored(device: string, least: number): Promise<Line[]> {
    let found: Line[] = [];
    await eventually(`${least} events of ${device}`, withinMs, () => {
      found = readLines(join(this.agent.directory, 'out')).filter(({ key }) => key === device);
      return firstArrivals(found).length >= least;
    });
    return found;
  }

  async close(): Promise<void> {
    for (const device of this.#devices) device.end(true);
    await this.agent[Symbol.asyncDispose]();
    await this.broker.stop();
  }
}

function publish(device: MqttClient, topic: string, value: string, qos: 0 | 1 | 2): Promise<void> {
  const properties = { userProperties: { line: '7' }, contentType: 'text/plain' };
  const options = device.options.protocolVersion === 5 ? { qos, properties } : { qos };
  return device.publishAsync(topic, value, options).then(() => {});
}

function firstArrivals(found: readonly Line[]): string[] {
  return [...new Set(found.map(({ value }) => value.toString()))];
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `e${i}`);

for (const way of ways) {
  if (way.seat === 'embedded' && way.version === 5) continue;
  describe(nameOf(way), () => {
    let stage: Stage;
    before(async () => {
      stage = await Stage.open(way);
    });
    after(() => stage.close());

    for (const qos of [0, 1, 2] as const) {
      test(`QoS ${qos}: every event arrives once, in the order of the device`, async () => {
        const name = `steady-${qos}`;
        const device = await stage.device(name);
        const sent = numbered(events);
        for (const value of sent) void publish(device, `plant/${name}/t`, value, qos);
        const found = await stage.stored(name, events);
        assert.deepEqual(
          found.map(({ value }) => value.toString()),
          sent,
        );
        const { topic, headers } = found[0] as Line;
        assert.equal(topic, `plant/${name}/t`);
        assert.equal(headers.ce_type, 'plant');
        if (way.version === 5) {
          assert.deepEqual([headers.line, headers['content-type']], ['7', 'text/plain']);
        }
      });
    }

    for (const qos of [1, 2] as const) {
      test(`QoS ${qos}: nothing acknowledged is lost when the agent is killed`, async () => {
        const name = `killed-${qos}`;
        const device = await stage.device(name);
        const sent = numbered(events);
        const acknowledged: Promise<void>[] = [];
        for (const [index, value] of sent.entries()) {
          acknowledged.push(publish(device, `plant/${name}/t`, value, qos));
          if (index === killAt) void stage.restart();
          await sleep(5);
        }
        await Promise.all(acknowledged);
        const found = await stage.stored(name, events);
        assert.deepEqual(firstArrivals(found), sent, 'all of it, first arrivals in order');
        const keepsSessions = way.seat !== 'embedded';
        const ids = new Set(found.map(({ headers }) => headers.ce_id));
        if (qos === 2 && keepsSessions) {
          // The file may repeat what was in flight to it; the buffer holds each event once.
          assert.equal(ids.size, events, 'exactly once into the buffer');
        }
      });
    }

    test('what no route wants is not stored, and the broker’s subscribers have it', async () => {
      const device = await stage.device('unrouted');
      const heard: string[] = [];
      device.on('message', (_topic, payload) => heard.push(payload.toString()));
      await device.subscribeAsync('home/#', { qos: 1 });
      for (const qos of [1, 2] as const) await publish(device, 'home/door', `open-${qos}`, qos);
      await eventually('heard', withinMs, () => heard.length === 2);
      await publish(device, 'plant/last/t', 'routed', 1);
      await stage.stored('last', way.seat === 'source' ? 1 : 0);
      const all = readLines(join(stage.agent.directory, 'out'));
      assert.ok(!all.some(({ topic }) => topic.startsWith('home')));
    });
  });
}
