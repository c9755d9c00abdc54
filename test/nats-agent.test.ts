/**
 * A whole agent between MQTT devices and a JetStream stream: what devices were acknowledged is in
 * the stream once and in order, through a kill of the agent and one of the server. An at-most-once
 * lane writes beside it, on a connection of its own, and nothing of it is there twice.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { assertHas, Device } from './support/counting-device.ts';
import { laneBalances } from './support/metrics.ts';
import { closeAll, Streams, serverOf } from './support/nats-upstream-rig.ts';

after(closeAll);

const perConnection = 300;
const drainedWithinMs = 30_000;

async function drained(agent: AgentUnderTest): Promise<void> {
  await eventually('all lanes are through', drainedWithinMs, async () =>
    laneBalances(await agent.metrics()).every(({ backlog }) => backlog === 0),
  );
}

async function connectionNames(monitorPort: number): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${monitorPort}/connz`);
  const { connections } = (await response.json()) as { connections: { name?: string }[] };
  return connections.flatMap(({ name }) => name ?? []).toSorted();
}

test('what was acknowledged is in the stream, through kills of agent and server', async () => {
  const server = await serverOf({ monitor: true });
  const before = await Streams.of(server);
  await before.make(['up.>', 'once.>']);
  await using agent = await AgentUnderTest.start({
    routes: [
      {
        name: 'all',
        from: 'plant/+/telemetry',
        to: [
          { upstream: 'up', topic: 'up.{topic}', headers: { line: '{1}' } },
          { upstream: 'up', topic: 'once.{1}', delivery: 'at-most-once' },
        ],
      },
    ],
    upstreams: { up: { nats: { servers: server.url, inFlight: 64 } } },
  });
  const devices = [0, 1, 2].map((i) => new Device(`d${i}`));
  const publishAll = () =>
    Promise.all(devices.map((device) => device.publish(agent.mqttPort, perConnection)));
  await publishAll();
  await drained(agent);
  assert.deepEqual(await connectionNames(server.monitorPort), [
    'tidegate-test-gw-to-up',
    'tidegate-test-gw-to-up-once',
  ]);
  const killed = publishAll();
  await sleep(20);
  await agent.kill();
  await killed;
  await server.kill();
  await agent.start();
  await publishAll();
  await server.start();
  await drained(agent);
  const streams = await Streams.of(server);
  const all = await streams.stored();
  const stored = all.filter(({ subject }) => subject.startsWith('up.'));
  assertHas(
    stored.map(({ value }) => value),
    devices,
  );
  const ids = all.map(({ headers }) => headers.get('Nats-Msg-Id'));
  assert.equal(new Set(ids).size, all.length, 'once each');
  const once = all.length - stored.length;
  assert.ok(once >= devices.length * perConnection && once <= stored.length, `${once} of once.>`);
  for (const { subject, value, headers } of stored) {
    const device = value.split(' ')[0] as string;
    assert.equal(subject, `up.plant.${device}.telemetry`);
    assert.equal(headers.get('ce-id'), headers.get('Nats-Msg-Id'));
    assert.equal(headers.get('ce-source'), `//test-gw/mqtt/${device}`);
    assert.equal(headers.get('ce-subject'), `plant/${device}/telemetry`);
    assert.equal(headers.get('ce-type'), 'all');
    assert.equal(headers.get('line'), device);
    assert.equal(headers.get('tidegate-via'), 'test-gw');
  }
  for (const { lane, appended, outcomes, backlog } of laneBalances(await agent.metrics())) {
    assert.equal(appended, outcomes + backlog, lane);
  }
  assert.equal(await agent.stop(), 0);
});
