/**
 * Will Delay (MQTT 5): a Will waits after its connection's end for the device to come back to its
 * session, and is published when it does not, or when the session ends first [MQTT-3.1.3-9].
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IConnectPacket } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, Rig, type RigOptions } from './support/rig.ts';
import { withWill } from './support/wills.ts';

const delaySeconds = 1;
const delayMs = 1_000;
let mosquitto: Mosquitto;
before(async () => {
  mosquitto = await startMosquitto();
});
after(() => mosquitto.stop());

function delayed(delay: number, sessionExpiryInterval = 600): Partial<IConnectPacket> {
  return { ...withWill(5, delay), properties: { sessionExpiryInterval } };
}
const plain: Partial<IConnectPacket> = {
  ...{ protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 600 } },
};

function rigWith(options: RigOptions = {}): Promise<Rig> {
  return Rig.start({ broker: mosquitto.port, routes: [{ local: false }], ...options });
}

test('a Will is published after its Will Delay, and not before', async () => {
  await using rig = await rigWith();
  (await rig.device('late', delayed(delaySeconds))).socket.destroy();
  await eventually('closed', () => rig.connections === 0);
  await sleep(delayMs / 2);
  assert.deepEqual(rig.disk.frames(), []);
  await eventually('an event', () => rig.disk.frames().length === 1);
  await eventually('its row is gone', () => rig.disk.sessions.length === 0);
});

test('a device that comes back to its session before takes the Will with it', async () => {
  await using rig = await rigWith();
  (await rig.device('back', delayed(delaySeconds))).socket.destroy();
  await eventually('closed', () => rig.connections === 0);
  await rig.device('back', plain);
  await sleep(delayMs * 1.5);
  assert.deepEqual(rig.disk.frames(), []);
  assert.deepEqual(rig.disk.sessions, []);
});

test('the end of the session comes before the end of the Will Delay', async () => {
  await using rig = await rigWith();
  (await rig.device('short', delayed(600, 0))).socket.destroy();
  await eventually('the session ended with the connection', () => rig.disk.frames().length === 1);
  (await rig.device('clean', delayed(600))).socket.destroy();
  await eventually('closed', () => rig.connections === 0);
  await rig.device('clean', { ...plain, clean: true });
  await eventually('Clean Start ended the session', () => rig.disk.frames().length === 2);
});

for (const [delay, clean, published] of [
  [0, false, 1],
  [600, false, 0],
  [0, true, 1],
  [600, true, 1],
] as const) {
  const what = `Will Delay ${delay}, taken over with Clean Start ${clean ? 1 : 0}`;
  test(`${what}: ${published === 0 ? 'discarded' : 'published'}`, async () => {
    await using rig = await rigWith();
    const client = `over-${delay}-${clean}`;
    const old = await rig.device(client, delayed(delay));
    await rig.device(client, { ...plain, clean });
    await eventually('the old one is closed', () => old.ended && rig.connections === 1);
    await eventually('decided', () => rig.disk.sessions.length === 0);
    assert.equal(rig.disk.frames().length, published);
  });
}

test('a Will Delay goes on over a crash of the agent', async () => {
  const first = await rigWith();
  (await first.device('crashed', delayed(delaySeconds))).socket.destroy();
  await eventually('closed', () => first.connections === 0);
  const left = first.disk.sessions;
  assert.equal(left.length, 1);
  await first[Symbol.asyncDispose]();
  await using second = await rigWith({ left });
  await sleep(delayMs / 2);
  assert.deepEqual(second.disk.frames(), []);
  await eventually('an event', () => second.disk.frames().length === 1);
  await eventually('its row is gone', () => second.disk.sessions.length === 0);
});
