/**
 * Promise 6, its price in memory: a hundred connections that announce 256 MiB, never finish their
 * CONNECT or send malformed packets move the agent's RSS by less than 10 MiB more than a hundred
 * polite ones do. Each crowd meets a fresh agent that has been warmed up the same way.
 */
import assert from 'node:assert/strict';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ledger } from '../agent/cli/demo/ledger.ts';
import { type AgentSetup, AgentUnderTest, eventually } from './support/agent.ts';
import { Fleet } from './support/fleet.ts';
import { announces256MiB, connectOf256MiB } from './support/hostile.ts';
import { connectPacket, publishPacket } from './support/packets.ts';
import { rssKib } from './support/process.ts';

const setup: AgentSetup = {
  routes: [{ name: 'telemetry', from: 'plant/#', to: { upstream: 'archive' } }],
  upstreams: { archive: { file: { directory: './out' } } },
};
const settleWithinMs = 20_000;
const crowd = 100;
const crowdMs = 5_000;
const sampleMs = 50;
const allowedKib = 10 * 1024;
const pumpedBytes = 1024 * 1024;

/** Growth of the agent's RSS while a crowd is there: the highest sample less where it began. */
async function growthWith(open: (port: number, index: number) => Socket): Promise<number> {
  await using fresh = await AgentUnderTest.start(setup);
  const warm = new Fleet({
    port: fresh.mqttPort,
    devices: 20,
    window: 50,
    perSecond: 500,
    payloadBytes: 64,
    ledger: new Ledger(),
  });
  warm.connect();
  await eventually('warm-up devices are connected', settleWithinMs, () => warm.up === 20);
  warm.publish();
  await sleep(4_000);
  const began = rssKib(fresh.pid);
  let highest = began;
  const sockets = Array.from({ length: crowd }, (_, index) => open(fresh.mqttPort, index));
  for (let waited = 0; waited < crowdMs; waited += sampleMs) {
    await sleep(sampleMs);
    highest = Math.max(highest, rssKib(fresh.pid));
  }
  for (const socket of sockets) socket.destroy();
  assert.equal(warm.drops, 0, 'no other connection ended');
  warm.close();
  return highest - began;
}

function openPolite(port: number, index: number): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => socket.destroy());
  socket.resume();
  socket.write(connectPacket({ clientId: `polite-${index}` }));
  for (let n = 1; n <= 20; n++) {
    socket.write(publishPacket({ topicName: 'plant/b', payload: 'x'.repeat(64), identifier: n }));
  }
  return socket;
}

function openHostile(port: number, index: number): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => socket.destroy());
  socket.resume();
  const connected = connectPacket({ clientId: `hostile-${index}` });
  const kinds = [
    () => socket.write(Buffer.concat([connected, announces256MiB, Buffer.alloc(pumpedBytes)])),
    () => socket.write(Buffer.concat([connectOf256MiB, Buffer.alloc(pumpedBytes)])),
    () => undefined,
    () => socket.write(connected.subarray(0, 5)),
    () => socket.write(Buffer.concat([connected, Buffer.from([0x36, 4, 0, 1, 0x61, 0])])),
  ];
  kinds[index % kinds.length]?.();
  return socket;
}

test('a hundred hostile connections cost no more memory than a hundred polite ones', async (t) => {
  const ofPolite = await growthWith(openPolite);
  const ofHostile = await growthWith(openHostile);
  t.diagnostic(`polite ${ofPolite} KiB, hostile ${ofHostile} KiB`);
  assert.ok(ofHostile - ofPolite < allowedKib, `${ofHostile - ofPolite} KiB more`);
});
