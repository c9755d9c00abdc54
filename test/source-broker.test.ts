/**
 * The source seat and a Mosquitto that is away, comes back, or has to wait: the agent starts
 * without it and says so, subscribes when it is there, and a route that holds stops the reading and
 * nothing else.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt, { type MqttClient } from 'mqtt';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { readLines } from './support/files.ts';
import { total } from './support/metrics.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';

const withinMs = 30_000;
const messages = 300;
const lines = ['max_queued_messages 0', 'max_inflight_messages 0'];
/** So that the messages of one test are far more than we read ahead. */
const largeBytes = 16_384;

function start(
  { port }: Mosquitto,
  source: Record<string, unknown> = {},
  limits: readonly object[] = [],
): Promise<AgentUnderTest> {
  return AgentUnderTest.start({
    routes: [{ name: 'plant', from: 'plant/#', to: { upstream: 'out' }, limits }],
    upstreams: { out: { file: { directory: './out' } } },
    sources: [
      { url: `mqtt://127.0.0.1:${port}`, clientId: 'agent', subscribe: ['plant/#'], ...source },
    ],
  });
}

async function shown(agent: AgentUnderTest, name: string): Promise<number> {
  return total(await agent.metrics(), name);
}

function subscribed(agent: AgentUnderTest): Promise<void> {
  return eventually('the source is subscribed', withinMs, async () => {
    return (await shown(agent, 'tidegate_source_subscribed')) === 1;
  });
}

const publishers = new Set<MqttClient>();
afterEach(() => {
  for (const device of publishers) device.end(true);
});

async function publisherAt({ port }: Mosquitto): Promise<MqttClient> {
  const options = { clientId: 'device', clean: false, reconnectPeriod: 100 };
  const device = mqtt.connect(`mqtt://127.0.0.1:${port}`, options);
  device.on('error', () => {});
  publishers.add(device);
  await new Promise((resolve) => device.once('connect', resolve));
  return device;
}

function publishAll(device: MqttClient, first: number, count: number, bytes = 0) {
  const sent = Array.from({ length: count }, (_, index) => `e${first + index}`.padEnd(bytes, '.'));
  const publish = (value: string) => device.publishAsync('plant/1', value, { qos: 1 });
  return Promise.all(sent.map((value) => publish(value).then(() => value)));
}

/** First arrivals, in order. */
async function arrive(agent: AgentUnderTest, sent: readonly string[]): Promise<void> {
  let found: string[] = [];
  await eventually(`all ${sent.length} arrived`, withinMs, () => {
    const all = readLines(join(agent.directory, 'out')).map(({ value }) => value.toString());
    found = [...new Set(all)];
    return found.length >= sent.length;
  });
  assert.deepEqual(found, sent);
}

test('with the broker down at its start the agent is ready, says so, and comes', async () => {
  const broker = await startMosquitto({ lines });
  await broker.kill();
  try {
    await using agent = await start(broker);
    await eventually('it says what it waits for', withinMs, () => {
      return agent.log().some((line) => line.includes('"event":"sourceRetrying"'));
    });
    assert.equal(await shown(agent, 'tidegate_source_subscribed'), 0);
    await broker.start();
    await subscribed(agent);
    const device = await publisherAt(broker);
    await arrive(agent, await publishAll(device, 0, messages));
    assert.equal(await agent.stop(), 0);
  } finally {
    await broker.stop();
  }
});

for (const version of ['3.1.1', '5']) {
  test(`over a restart of the broker nothing is lost (MQTT ${version})`, async () => {
    const broker = await startMosquitto({ lines });
    try {
      await using agent = await start(broker, { version });
      await subscribed(agent);
      const device = await publisherAt(broker);
      const sent = await publishAll(device, 0, messages);
      await broker.kill('SIGTERM');
      const sending = publishAll(device, messages, messages);
      await broker.start();
      sent.push(...(await sending));
      await arrive(agent, sent);
      // A broker that forgot our session has to be told the Topic Filters again.
      await broker.kill();
      await broker.start(['persistence_file other.db', ...lines]);
      const granted = () => broker.log.match(/Sending SUBACK to agent/g)?.length ?? 0;
      await eventually('subscribed again', withinMs, () => granted() === 2);
      sent.push(...(await publishAll(device, 2 * messages, messages)));
      await arrive(agent, sent);
    } finally {
      await broker.stop();
    }
  });
}

test('a route that holds stops the reading, and the connection lives', async (t) => {
  const broker = await startMosquitto({ lines });
  try {
    const limits = [{ per: 'route', messages: '40/s', burst: 40, over: 'hold' }];
    await using agent = await start(broker, { keepAlive: '1s' }, limits);
    await subscribed(agent);
    const device = await publisherAt(broker);
    const sent = await publishAll(device, 0, messages, largeBytes);
    const began = performance.now();
    let held = 0;
    for (let look = 0; look < 8; look++) {
      await sleep(500);
      held += await shown(agent, 'tidegate_connections_held');
    }
    assert.ok(held >= 6, `held at ${held} of 8 looks`);
    await arrive(agent, sent);
    t.diagnostic(`${sent.length} in ${Math.round(performance.now() - began)} ms`);
    const events = agent.log().filter((line) => line.includes('"event":"source'));
    assert.equal(events.length, 1, `subscribed once, never lost: ${events.join('\n')}`);
    assert.ok(!broker.log.includes('exceeded timeout'), 'the broker heard of us');
    assert.equal(await shown(agent, 'tidegate_connections_held'), 0);
  } finally {
    await broker.stop();
  }
});
