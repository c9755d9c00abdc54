/**
 * A Will is durable before its device hears that it is connected, and until its event is: only the
 * disk's COMMIT is in our hand, and an agent's crash is a second agent on what the disk of the
 * first had committed.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, type RigOptions } from './support/rig.ts';
import { willRig, willSeats, willTopic, withWill } from './support/wills.ts';

const settleMs = 80;
let mosquitto: Mosquitto;
before(async () => {
  mosquitto = await startMosquitto();
});
after(() => mosquitto.stop());

const told = (client: string) => [`${client} ${willTopic} gone`];

for (const [seat, version] of willSeats) {
  const name = (what: string) => `${what} (${seat}, MQTT ${version === 4 ? '3.1.1' : '5'})`;
  const client = `${seat.slice(0, 4)}-${version}`;
  const rigOf = (options: RigOptions = {}) => willRig(seat, mosquitto.port, options);

  test(name('CONNACK waits for the COMMIT of a routed Will, and of no other'), async () => {
    await using rig = await rigOf({ held: true });
    const other = { topic: 'home/1', payload: Buffer.from('gone'), qos: 1, retain: false } as const;
    const unrouted = await rig.device('unrouted', { ...withWill(version), will: other });
    unrouted.socket.destroy();
    await eventually('closed', () => rig.connections === 0);
    assert.equal(rig.disk.appended, 0, 'it costs no commit');
    const device = await rig.socket(version);
    const connect = {
      cmd: 'connect',
      protocolId: 'MQTT',
      clientId: client,
      keepalive: 60,
    } as const;
    device.send({ ...connect, ...withWill(version) } as Packet);
    await eventually('on its way', () => rig.disk.appended === 1);
    await sleep(settleMs);
    assert.deepEqual(device.packets, []);
    rig.disk.release();
    await device.until('connack');
    device.socket.destroy();
    await eventually('the event is on its way', () => rig.disk.appended === 2);
    assert.equal(rig.disk.sessions.length, 1, 'the Will is there until its event is');
    rig.disk.release();
    assert.deepEqual(rig.disk.sessions, []);
    assert.deepEqual(rig.disk.frames(), told(client));
  });

  test(name('after a crash of the agent every Will is due, once'), async () => {
    const first = await rigOf();
    await first.device(client, withWill(version));
    const left = first.disk.sessions;
    await first[Symbol.asyncDispose]();
    await using second = await rigOf({ left });
    await eventually('an event', () => second.disk.frames().length > 0);
    await sleep(settleMs);
    assert.deepEqual(second.disk.frames(), told(client));
    await using third = await rigOf({ left: second.disk.sessions });
    await sleep(settleMs);
    assert.deepEqual(third.disk.frames(), []);
  });
}
