/**
 * A config that is pushed to the fleet's bucket reaches a gateway that runs: applied whole, without
 * a device noticing, confirmed once it has done no harm, and reported.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { readLines } from './support/files.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { laneBalances, total } from './support/metrics.ts';
import { type NatsServer, startNats } from './support/nats.ts';

const withinMs = 20_000;

let nats: NatsServer;
let agent: AgentUnderTest;
let writer: Writer;
before(async () => {
  nats = await startNats();
  agent = await AgentUnderTest.start(gatewaySetup(nats));
  writer = await Writer.connect(nats);
});
after(async () => {
  await writer.close();
  await agent[Symbol.asyncDispose]();
  await nats.stop();
});

test('a gateway without any pushed config reports itself', async () => {
  await eventually('a report', withinMs, async () => (await writer.report()) !== null);
  const report = await writer.report();
  assert.equal(report?.gateway, 'test-gw');
  assert.deepEqual(report?.layers, {});
  assert.deepEqual(report?.groups, ['line-a']);
});

test('applied hot, watched, confirmed, and no event or connection is lost', async () => {
  const device = await Device.connect(agent.mqttPort, 'pump');
  let sent = 0;
  let publishing = true;
  const publisher = (async () => {
    while (publishing) assert.equal(await device.publishAndWait('plant/a', `${++sent}`), 0);
  })();
  await writer.push('fleet.default', 1, { log: { level: 'debug' } });
  await writer.reported('fleet.default', 1, 'pending');
  await writer.push('group.line-a', 1, {
    routes: [{ name: 'fresh', from: 'plant/#', to: { upstream: 'out', topic: 'new' } }],
  });
  await writer.reported('group.line-a', 1, 'applied');
  const report = await writer.reported('fleet.default', 1, 'applied');
  assert.equal(report.health, 'ok');
  publishing = false;
  await publisher;
  assert.equal(device.ended, false);
  device.close();
  const out = () => readLines(join(agent.directory, 'out'));
  await eventually('all written', withinMs, () => out().length === sent);
  assert.deepEqual(
    out().map(({ value }) => Number(`${value}`)),
    Array.from({ length: sent }, (_, i) => i + 1),
  );
  assert.equal(out().at(-1)?.topic, 'new');
  for (const { appended, outcomes, backlog } of laneBalances(await agent.metrics())) {
    assert.equal(appended, outcomes + backlog);
  }
  const metrics = await agent.metrics();
  assert.equal(total(metrics, 'tidegate_fleet_connected'), 1);
  assert.equal(total(metrics, 'tidegate_fleet_revision', { key: 'group.line-a' }), 1);
  const applied = { key: 'fleet.default', state: 'applied' };
  assert.equal(total(metrics, 'tidegate_fleet_state', applied), 1);
  const { connected, layers, hash } = await fleetOf(agent);
  assert.equal(connected, true);
  assert.equal(layers['fleet.default']?.running, 1);
  assert.equal(hash, report.hash);
  assert.equal(agent.events('fleetConfirmed').length, 1);
});
