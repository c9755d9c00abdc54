/**
 * A text that runs under a new revision, as a canary that goes to all and a rollback have it: there
 * is nothing to apply and nothing to check, also when a reference in it leads nowhere by now.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { AgentUnderTest } from './support/agent.ts';
import { Device } from './support/device.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { type NatsServer, startNats } from './support/nats.ts';

const key = 'fleet.default';

let nats: NatsServer;
let writer: Writer;
before(async () => {
  nats = await startNats();
  writer = await Writer.connect(nats);
});
after(async () => {
  await writer.close();
  await nats.stop();
});

test('the file of a reference is gone, and the same text comes again: it runs on', async () => {
  await using agent = await AgentUnderTest.prepare(gatewaySetup(nats));
  const secret = join(agent.directory, 'level');
  writeFileSync(secret, 'debug\n');
  const text = { log: { level: `file:${secret}` } };
  await writer.push(key, 1, text);
  await agent.start();
  const { hash } = await writer.reported(key, 1, 'applied');
  rmSync(secret);
  await writer.push(key, 2, text);
  const report = await writer.reported(key, 2, 'applied');
  assert.equal(report.hash, hash);
  assert.equal((await fleetOf(agent)).layers[key]?.running, 2);
  const device = await Device.connect(agent.mqttPort, 'pump');
  assert.equal(await device.publishAndWait('plant/a', 'x'), 0);
  device.close();
  // Another text is still judged: this one leads nowhere too.
  await writer.push(key, 3, { ...text, upstreams: {} });
  const refused = await writer.reported(key, 3, 'refused');
  assert.equal(refused.layers[key]?.running, 2);
  assert.equal(refused.hash, hash);
});
