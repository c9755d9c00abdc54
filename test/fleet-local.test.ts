/**
 * The local file and the layers over it: a SIGHUP keeps the layers, changes which of them count, or
 * leaves the fleet; a file that is broken at the start does not take the layers with it.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { readLines } from './support/files.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { total } from './support/metrics.ts';
import { type NatsServer, startNats } from './support/nats.ts';

const withinMs = 20_000;

let nats: NatsServer;
let agent: AgentUnderTest;
let writer: Writer;
let device: Device;

before(async () => {
  nats = await startNats();
  writer = await Writer.connect(nats);
  await writer.push('fleet.default', 1, { log: { level: 'debug' } });
  await writer.push('group.line-a', 1, to('line-a'));
  await writer.push('group.line-b', 1, to('line-b'));
  agent = await AgentUnderTest.start(gatewaySetup(nats));
  await writer.reported('group.line-a', 1, 'applied');
  device = await Device.connect(agent.mqttPort, 'pump');
});
after(async () => {
  device.close();
  await writer.close();
  await agent[Symbol.asyncDispose]();
  await nats.stop();
});

/** Routes of a layer, known by where they write to. */
function to(topic: string): object {
  return { routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out', topic } }] };
}

let sent = 0;
async function topicNow(): Promise<string | undefined> {
  assert.equal(await device.publishAndWait('plant/a', `${++sent}`), 0);
  const lines = () => readLines(join(agent.directory, 'out'));
  await eventually('written', withinMs, () => lines().length === sent);
  return lines().at(-1)?.topic;
}

test('a SIGHUP keeps the layers over the new file', async () => {
  assert.equal(await topicNow(), 'line-a');
  const { hash } = await fleetOf(agent);
  const told = await agent.reload((config) => {
    config.routes = [{ name: 'local', from: 'plant/#', to: { upstream: 'out', topic: 'local' } }];
    config.stopWithin = '4s';
  });
  assert.equal(told.event, 'configReloaded');
  assert.equal(await topicNow(), 'line-a');
  const now = await fleetOf(agent);
  assert.notEqual(now.hash, hash);
  assert.equal(now.layers['group.line-a']?.running, 1);
  assert.equal(device.ended, false);
});

test('a file that does not fit the layers is refused whole, by its place', async () => {
  const told = await agent.reload((config) => {
    delete config.upstreams.out;
    config.routes = [];
  });
  assert.equal(told.event, 'configRefused');
  assert.match(String(told.detail), /group\.line-a/);
  assert.equal(await topicNow(), 'line-a');
  agent.edit(() => {});
});

test('other groups: the fleet begins anew, what it was told before stays', async () => {
  await agent.reload((config) => {
    Object.assign(config.fleet as object, { groups: ['line-a', 'line-b'] });
  });
  const report = await writer.reported('group.line-b', 1, 'applied');
  assert.deepEqual(report.groups, ['line-a', 'line-b']);
  assert.equal(report.layers['group.line-a']?.state, 'applied');
  assert.equal(await topicNow(), 'line-b');
  await agent.reload((config) => {
    Object.assign(config.fleet as object, { groups: ['line-a'] });
  });
  assert.equal(await topicNow(), 'line-a');
  assert.equal(device.ended, false);
});

test('without a fleet the file is all there is; with it again, what was kept', async () => {
  let fleet: unknown;
  await agent.reload((config) => {
    fleet = config.fleet;
    delete config.fleet;
  });
  assert.equal(await topicNow(), 'local');
  assert.equal(await fleetOf(agent), null);
  const shown = await agent.metrics();
  assert.equal(
    shown.some(({ name }) => name.startsWith('tidegate_fleet_')),
    false,
  );
  await agent.reload((config) => {
    config.fleet = fleet;
  });
  assert.equal(await topicNow(), 'line-a');
});

test('a file that is broken at the start: the last good one, and layers over it', async () => {
  device.close();
  await agent.stop();
  const good = agent.edit.bind(agent, () => {});
  agent.writeConfig('routes: [');
  await agent.start();
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 1);
  device = await Device.connect(agent.mqttPort, 'pump');
  assert.equal(await topicNow(), 'line-a');
  await writer.push('group.line-a', 2, to('newer'));
  await writer.reported('group.line-a', 2, 'applied');
  assert.equal(await topicNow(), 'newer');
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 1, 'the file is still broken');
  good();
  assert.equal((await agent.reload()).event, 'configReloaded');
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 0);
  assert.equal(await topicNow(), 'newer');
});

test('a file that does not fit the layers at the start: what ran last, until it fits', async () => {
  device.close();
  await agent.stop();
  agent.edit((config) => {
    config.upstreams = { other: { file: { directory: './out' } } };
    config.routes = [];
  });
  await agent.start();
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 1);
  device = await Device.connect(agent.mqttPort, 'pump');
  assert.equal(await topicNow(), 'newer');
  await writer.push('group.line-a', 3, {
    routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'other', topic: 'fits' } }],
  });
  await writer.reported('group.line-a', 3, 'applied');
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 0);
});
