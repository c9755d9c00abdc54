/**
 * NATS away, back, or not giving what it should: a gateway starts on what it keeps, runs on for as
 * long as it takes, and has everything once NATS is there.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keysOf } from '../agent/fleet/report.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { total } from './support/metrics.ts';
import { startNats } from './support/nats.ts';

const withinMs = 25_000;
const key = 'fleet.default';
const level = (name: string) => ({ log: { level: name } });

/** What README.md says a gateway needs. */
const allowed = {
  publish: {
    allow: [
      '$JS.API.INFO',
      '$JS.API.STREAM.INFO.KV_tidegate-config',
      '$JS.API.STREAM.INFO.KV_tidegate-status',
      '$JS.API.DIRECT.GET.KV_tidegate-config',
      ...keysOf('test-gw', ['line-a']).map(
        (one) => `$JS.API.DIRECT.GET.KV_tidegate-config.$KV.tidegate-config.${one}`,
      ),
      '$KV.tidegate-status.test-gw',
    ],
  },
  subscribe: {
    allow: [
      '_INBOX.>',
      ...keysOf('test-gw', ['line-a']).map((one) => `$KV.tidegate-config.${one}`),
    ],
  },
};
const rights = [
  'authorization { users = [',
  '{ user: op, password: pw }',
  `{ user: gw, password: pw, permissions: ${JSON.stringify(allowed)} }`,
  '] }',
];

async function connected(agent: AgentUnderTest, wanted = true): Promise<void> {
  await eventually(`connected: ${wanted}`, withinMs, async () => {
    return (await fleetOf(agent)).connected === wanted;
  });
}

/** Each with a gateway of its own, at the same time. */
const tests: Readonly<Record<string, () => Promise<void>>> = {
  'away at the start: the gateway runs; what was pushed before comes with NATS': async () => {
    await using nats = await startNats();
    const writer = await Writer.connect(nats);
    await writer.push(key, 1, level('debug'));
    await writer.close();
    await nats.kill();
    await using agent = await AgentUnderTest.start(gatewaySetup(nats));
    const { connected: isConnected, layers } = await fleetOf(agent);
    assert.equal(isConnected, false);
    assert.deepEqual(layers, {});
    await eventually('told', withinMs, () => agent.events('fleetUnreachable').length > 0);
    assert.match(String((await fleetOf(agent)).lastError), /ECONNREFUSED|refused/);
    const device = await Device.connect(agent.mqttPort, 'pump');
    assert.equal(await device.publishAndWait('plant/a', 'x'), 0);
    device.close();
    await nats.start();
    const again = await Writer.connect(nats);
    const report = await again.reported(key, 1, 'applied');
    // And away at a start with kept layers.
    await again.close();
    await agent.stop();
    await nats.kill();
    await agent.start();
    const kept = await fleetOf(agent);
    assert.equal(kept.hash, report.hash);
    assert.equal(kept.layers[key]?.state, 'applied');
    assert.equal(total(await agent.metrics(), 'tidegate_fleet_connected'), 0);
    assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 0);
  },

  'killed and back with newer configs: the last one is taken': async () => {
    await using nats = await startNats();
    const writer = await Writer.connect(nats);
    await using agent = await AgentUnderTest.start(gatewaySetup(nats));
    await writer.push(key, 1, level('debug'));
    const before = await writer.reported(key, 1, 'applied');
    await writer.close();
    await nats.kill();
    await connected(agent, false);
    assert.equal((await fleetOf(agent)).hash, before.hash);
    await nats.start();
    const again = await Writer.connect(nats);
    await again.push(key, 2, level('info'));
    await again.push(key, 3, level('warn'));
    const report = await again.reported(key, 3, 'applied');
    assert.equal(report.layers[key]?.running, 3);
    await again.close();
  },

  'without the bucket and the right to make it: it waits, and says so': async () => {
    await using nats = await startNats({ lines: rights });
    const login = { username: 'gw', password: 'pw' };
    await using agent = await AgentUnderTest.start(gatewaySetup(nats, login));
    await eventually('told', withinMs, () => agent.events('fleetWaiting').length > 0);
    const [told] = agent.events('fleetWaiting');
    assert.equal(told?.bucket, 'tidegate-config');
    const writer = await Writer.connect(nats, { user: 'op', pass: 'pw' });
    await writer.push(key, 1, level('debug'));
    await writer.reported(key, 1, 'applied');
    // Also older entries, and what is heard.
    const rollout = { share: Number.MIN_VALUE, seed: 'none' };
    await writer.push(key, 2, level('info'), { rollout });
    await writer.reported(key, 2, 'spared');
    await writer.close();
    assert.deepEqual(agent.events('fleetReportFailed').slice(1), []);
  },

  'a bucket that is deleted and made again is followed again': async () => {
    await using nats = await startNats();
    const writer = await Writer.connect(nats);
    await using agent = await AgentUnderTest.start(gatewaySetup(nats));
    await writer.push(key, 1, level('debug'));
    const before = await writer.reported(key, 1, 'applied');
    await writer.configs.destroy();
    await writer.close();
    const again = await Writer.connect(nats);
    await again.push(key, 2, level('info'));
    await again.reported(key, 2, 'applied');
    assert.notEqual((await fleetOf(agent)).hash, before.hash);
    await again.close();
  },
};

describe('NATS', { concurrency: true }, () => {
  for (const [title, body] of Object.entries(tests)) test(title, body);
});
