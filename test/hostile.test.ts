/**
 * Promise 6: a bad device harms itself only. Malformed packets, announcements of 256 MiB, a CONNECT
 * that never comes and one byte a second cost that connection; polite devices beside it notice
 * nothing, and everything acknowledged to them arrives. (Memory: hostile-memory.test.ts.)
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { connectWithinMs } from '../agent/bounds.ts';
import { Ledger } from '../agent/cli/demo/ledger.ts';
import { type AgentSetup, AgentUnderTest, eventually } from './support/agent.ts';
import { readLines } from './support/files.ts';
import { Fleet, readNumbered } from './support/fleet.ts';
import { cases, dribble, silent, tryCase, version5Cases } from './support/hostile.ts';
import { connectPacket, publishPacket } from './support/packets.ts';

const setup: AgentSetup = {
  routes: [{ name: 'telemetry', from: 'plant/#', to: { upstream: 'archive' } }],
  upstreams: { archive: { file: { directory: './out' } } },
};
const closesWithinMs = 3_000;
const slackMs = 1_000;
const settleWithinMs = 20_000;

let agent: AgentUnderTest;
let polite: Fleet;
const ledger = new Ledger();

before(async () => {
  agent = await AgentUnderTest.start(setup);
  polite = fleetOf(agent.mqttPort, 20, 1_000, ledger);
  polite.connect();
  await eventually('polite devices are connected', settleWithinMs, () => polite.up === 20);
  polite.publish();
});
after(async () => {
  polite?.close();
  await agent?.[Symbol.asyncDispose]();
});

function fleetOf(port: number, devices: number, perSecond: number, of: Ledger): Fleet {
  return new Fleet({ port, devices, window: 50, perSecond, payloadBytes: 64, ledger: of });
}

test('a malformed packet ends its connection, and is never acknowledged', async (t) => {
  for (const one of cases) {
    await t.test(one.name, async () => {
      const ending = await tryCase(agent.mqttPort, one, closesWithinMs);
      assert.ok(ending.closed, `still open after ${closesWithinMs} ms`);
      assert.equal(ending.pubacks, 0, 'no PUBACK');
      assert.equal(ending.connack && one.version === null, false, 'no CONNACK');
    });
  }
});

test('a malformed packet of version 5 ends its connection', async (t) => {
  for (const one of version5Cases) {
    await t.test(one.name, async () => {
      const ending = await tryCase(agent.mqttPort, one, closesWithinMs);
      assert.ok(ending.closed, `still open after ${closesWithinMs} ms`);
      assert.equal(ending.pubacks, 0, 'no PUBACK');
    });
  }
});

test('whoever does not finish a CONNECT is closed within ten seconds', async () => {
  const within = connectWithinMs + slackMs;
  const slow = connectPacket({ clientId: 'a-client-identifier-that-takes-a-while' });
  const nothing = Buffer.alloc(0);
  const [mute, slowly] = await Promise.all([
    silent(agent.mqttPort, within),
    dribble(agent.mqttPort, nothing, slow, within),
  ]);
  assert.ok(mute.closed, 'a connection that says nothing');
  assert.ok(slowly.closed, 'a connection that says one byte a second');
  assert.equal(slowly.connack, false);
});

test('one byte a second behind CONNECT is no sign of life: Keep Alive ends it', async () => {
  const keepAliveSeconds = 2;
  const head = connectPacket({ clientId: 'dribbler', keepAliveSeconds });
  const slow = publishPacket({ topicName: 'plant/a', payload: 'x'.repeat(60) });
  const ending = await dribble(agent.mqttPort, head, slow, 8_000);
  assert.ok(ending.connack);
  // [MQTT-3.1.2-24] one and a half times the Keep Alive.
  assert.ok(ending.closed, 'still open after 8 s');
  assert.equal(ending.pubacks, 0);
});

test('polite devices noticed nothing, and all that was acknowledged to them arrived', async () => {
  polite.pausePublishing();
  await eventually('all acknowledged', settleWithinMs, () => polite.inFlight === 0);
  assert.equal(polite.drops, 0, 'no polite connection ended');
  assert.equal(polite.strayAcknowledgements, 0);
  const path = join(agent.directory, 'out');
  await eventually(
    'all arrived',
    settleWithinMs,
    () => readLines(path).length >= ledger.acknowledged,
  );
  for (const { value } of readLines(path)) {
    const message = readNumbered(value);
    if (message !== null) ledger.arrive(message.device, message.number);
  }
  const totals = ledger.totals();
  assert.ok(totals.acknowledged > 5_000, `the devices were busy: ${totals.acknowledged}`);
  assert.ok(totals.holds, JSON.stringify(totals));
});
