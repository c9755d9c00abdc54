/**
 * What a gateway does not take from its fleet, and says so: whoever can write the bucket but has no
 * key changes nothing, and what was signed but does not fit changes nothing either.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fleetConfigBytes } from '../agent/bounds.ts';
import type { GatewayReport } from '../agent/fleet/report.ts';
import { createNkey } from '../agent/nats-client.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { type NatsServer, startNats } from './support/nats.ts';

const withinMs = 20_000;
const key = 'fleet.default';

let nats: NatsServer;
let agent: AgentUnderTest;
let writer: Writer;
let revision = 0;
/** Of the effective config. */
let hash = '';
/** As it was written. */
let first = '';
/** That runs. */
let running = 1;

before(async () => {
  nats = await startNats();
  writer = await Writer.connect(nats);
  first = await writer.push(key, ++revision, level('debug'));
  agent = await AgentUnderTest.start(gatewaySetup(nats));
  hash = (await writer.reported(key, 1, 'applied')).hash;
});
after(async () => {
  await writer.close();
  await agent[Symbol.asyncDispose]();
  await nats.stop();
});

function level(name: string, more: object = {}): object {
  return { log: { level: name }, ...more };
}

/** The gateway says why, and nothing of what runs has changed. */
async function refused(reason: RegExp, of = key, at = revision): Promise<GatewayReport> {
  let found: GatewayReport | null = null;
  await eventually(`refused: ${reason}`, withinMs, async () => {
    found = await writer.report();
    const layer = found?.layers[of];
    const isRefused = layer?.state === 'refused' && layer.revision === at;
    return isRefused && reason.test(layer.reason ?? '');
  });
  const report = found as unknown as GatewayReport;
  assert.equal(report.hash, hash);
  assert.equal(report.layers[key]?.running, running);
  const told = agent.events('fleetRefused').at(-1);
  assert.match(String(told?.reason), reason);
  assert.equal(told?.level, 'error');
  return report;
}

test('a config without a signature', async () => {
  await writer.configs.put(key, JSON.stringify(level('error')));
  await refused(/not what tidegate fleet push writes/);
});

test('a config whose text was changed after it was signed', async () => {
  const text = await writer.push('somewhere.else', 9, level('error'));
  await writer.configs.put(key, text.replace('somewhere.else', key));
  await refused(/the signature does not fit/);
});

test('a config that was signed for another key', async () => {
  await writer.configs.put(key, await writer.push('group.line-b', 9, level('error')));
  await refused(/signed for group\.line-b/);
});

test('a config of somebody who is not trusted', async () => {
  await writer.push(key, 9, level('error'), { signer: createNkey() });
  await refused(/signed by U/);
});

test('a config that is too large', async () => {
  await writer.configs.put(key, 'x'.repeat(fleetConfigBytes + 1));
  await refused(/more than/);
});

test('with all that was refused in the history, a restart runs the first revision', async () => {
  await agent.stop();
  await agent.start();
  await refused(/more than/);
});

test('a config that is not valid with the local file, by its place in the layer', async () => {
  await writer.push(key, ++revision, {
    routes: [{ name: 'lost', from: 'plant/#', to: { upstream: 'nowhere' } }],
  });
  const { layers } = await refused(/nowhere/);
  assert.match(layers[key]?.reason ?? '', /routes\[0\]\.to\.upstream/);
});

test('a config that says what only the local file may say', async () => {
  for (const own of [{ buffer: { path: './elsewhere.db' } }, { http: { bind: '127.0.0.1:1' } }]) {
    await writer.push(key, ++revision, own);
    await refused(/can only stand in the local file/);
  }
});

/** An address that is not to be had, beside the one that is. */
const taken = (): object => ({
  mqtt: {
    listeners: [agent.mqttPort, nats.port].map((port) => ({ bind: `127.0.0.1:${port}` })),
  },
});

test('a config whose address is not to be had', async () => {
  await writer.push(key, ++revision, taken());
  await refused(/EADDRINUSE/);
});

test('what was refused once is not tried again under a new revision', async () => {
  const told = agent.events('fleetApplied').length;
  await writer.push(key, ++revision, taken());
  await refused(/EADDRINUSE/, key, revision);
  assert.equal(agent.events('fleetApplied').length, told);
});

test('of two layers that come together the good one runs, the bad one is refused', async () => {
  await nats.kill();
  await eventually('away', withinMs, async () => !(await fleetOf(agent)).connected);
  await nats.start();
  const both = await Writer.connect(nats);
  await both.push(key, ++revision, level('loud'));
  await both.push('group.line-a', 1, { stopWithin: '4s' });
  await both.reported('group.line-a', 1, 'applied');
  const report = await both.reported(key, revision, 'refused');
  assert.match(report.layers[key]?.reason ?? '', /log\.level/);
  await writer.close();
  writer = both;
  hash = report.hash;
});

test('an old revision that somebody writes again', async () => {
  await writer.configs.put(key, first);
  await refused(/replayed: revision 1 after \d+/, key, 1);
});

test('another text under a revision that was seen', async () => {
  await writer.push(key, revision, level('warn'));
  await refused(/was seen with another text/);
});

test('a canary for others is spared, and what ran goes on', async () => {
  const rollout = { share: Number.MIN_VALUE, seed: 'none' };
  await writer.push(key, ++revision, level('warn'), { rollout });
  const report = await writer.reported(key, revision, 'spared');
  assert.equal(report.layers[key]?.running, 1);
  assert.equal(report.hash, hash);
});

test('a canary for this gateway runs', async () => {
  const rollout = { share: 1, seed: 'all' };
  await writer.push(key, ++revision, level('info'), { rollout });
  const report = await writer.reported(key, revision, 'applied');
  assert.equal(report.layers[key]?.running, revision);
  hash = report.hash;
  running = revision;
});

test('a delete and a purge take nothing away, and are warned of', async () => {
  await writer.configs.delete(key);
  await eventually('told', withinMs, () => agent.events('fleetDeleted').length === 1);
  await writer.configs.purge(key);
  await eventually('told', withinMs, () => agent.events('fleetDeleted').length === 2);
  await sleep(300);
  const { layers } = await fleetOf(agent);
  assert.equal(layers[key]?.running, revision);
  assert.equal(layers[key]?.state, 'applied');
  await writer.configs.put(key, first);
  await refused(/replayed: revision 1 after/, key, 1);
});
