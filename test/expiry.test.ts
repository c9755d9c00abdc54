/**
 * Message Expiry (MQTT 5) from outside: an event that expired while the upstream was away is
 * counted `expired` and not forwarded; those with time left, or without an expiry, are. The
 * upstream is a Mosquitto behind a wire that is not there at first; another stands behind the
 * agent's listener.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt, { type IPublishPacket, type MqttClient } from 'mqtt';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { laneBalances, total } from './support/metrics.ts';
import { startMosquitto } from './support/mosquitto.ts';
import { Wire } from './support/mqtt-far.ts';

const withinMs = 30_000;
const shortSeconds = 1;
const longSeconds = 3_600;
const each = 20;

async function client(port: number): Promise<MqttClient> {
  const opened = mqtt.connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: 5 });
  opened.on('error', () => {});
  await new Promise((resolve) => opened.once('connect', resolve));
  return opened;
}

test('what expired while the upstream was away is counted, the rest is forwarded', async () => {
  const [behind, cloud] = [await startMosquitto(), await startMosquitto()];
  const wire = new Wire(cloud.port);
  wire.isOpen = false;
  const wirePort = await wire.listen();
  const clients: MqttClient[] = [];
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'plant', from: 'plant/#', to: { upstream: 'cloud', topic: '{topic}' } }],
    upstreams: { cloud: { mqtt: { url: `mqtt://127.0.0.1:${wirePort}` } } },
    listener: { broker: `mqtt://127.0.0.1:${behind.port}`, publishAcl: 'none' },
  });
  try {
    const heard: { value: string; expiry: number | undefined }[] = [];
    const subscriber = await client(cloud.port);
    subscriber.on('message', (_topic, value, { properties }: IPublishPacket) => {
      heard.push({ value: value.toString(), expiry: properties?.messageExpiryInterval });
    });
    await subscriber.subscribeAsync('plant/#', { qos: 1 });
    const device = await client(agent.mqttPort);
    clients.push(subscriber, device);
    const publish = (value: string, messageExpiryInterval?: number) => {
      const properties = messageExpiryInterval === undefined ? {} : { messageExpiryInterval };
      return device.publishAsync('plant/1', value, { qos: 1, properties });
    };
    for (let i = 0; i < each; i++) {
      await publish(`short-${i}`, shortSeconds);
      await publish(`long-${i}`, longSeconds);
      await publish(`plain-${i}`);
    }
    await sleep(shortSeconds * 1_500);
    wire.isOpen = true;
    await eventually('all have an outcome', withinMs, async () => {
      return laneBalances(await agent.metrics()).every(({ outcomes }) => outcomes === 3 * each);
    });
    const name = 'tidegate_lane_outcome_frames_total';
    const samples = await agent.metrics();
    assert.equal(total(samples, name, { outcome: 'expired' }), each);
    assert.equal(total(samples, name, { outcome: 'confirmed' }), 2 * each);
    await eventually('the rest is there', withinMs, () => heard.length >= 2 * each);
    const wanted = Array.from({ length: each }, (_, i) => [`long-${i}`, `plain-${i}`]).flat();
    assert.deepEqual(
      heard.map(({ value }) => value),
      wanted,
    );
    for (const { value, expiry } of heard) {
      if (value.startsWith('plain')) assert.equal(expiry, undefined);
      else assert.ok(Number(expiry) < longSeconds && Number(expiry) > longSeconds - 300);
    }
  } finally {
    for (const opened of clients) opened.end(true);
    wire.close();
    await behind.stop();
    await cloud.stop();
  }
});
