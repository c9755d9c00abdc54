/**
 * Wills are events: a Will whose Topic Name a route matches goes the way of every event, once, when
 * MQTT says that it is published, and not when it is not. Mosquitto or the embedded broker stands
 * behind. What a crash leaves of it: `will-durable.test.ts`, `wills-crash.test.ts`.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IConnectPacket, Packet } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, publish, type RigOptions } from './support/rig.ts';
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

  test(name('a Will is an event once its device vanished, with its QoS and RETAIN'), async () => {
    await using rig = await rigOf();
    const device = await rig.device(client, withWill(version));
    assert.equal(rig.disk.sessions.length, 1, 'kept before CONNACK');
    assert.deepEqual(rig.disk.frames(), []);
    device.socket.destroy();
    await eventually('an event', () => rig.disk.frames().length > 0);
    await sleep(settleMs);
    assert.deepEqual(rig.disk.frames(), told(client));
    const { qos, retain } = rig.disk.views()[0] ?? {};
    assert.deepEqual([qos, retain], [1, true]);
    assert.deepEqual(rig.disk.sessions, []);
  });

  test(name('DISCONNECT discards it; in version 5 not with 0x04'), async () => {
    await using rig = await rigOf();
    for (const reasonCode of version === 5 ? [0, 4] : [0]) {
      const device = await rig.device(client, withWill(version));
      device.send({ cmd: 'disconnect', reasonCode } as Packet);
      await eventually('closed', () => rig.connections === 0);
      await sleep(settleMs);
      assert.deepEqual(rig.disk.frames(), reasonCode === 4 ? told(client) : []);
      assert.deepEqual(rig.disk.sessions, []);
    }
  });

  test(name('a Will waits for the limit of its device, as every event'), async () => {
    const limit = { per: 'device', bytesPerSecond: 0, burstBytes: 0, over: 'hold' } as const;
    const limits = [{ ...limit, messagesPerSecond: 2, burstMessages: 1 }];
    await using rig = await rigOf({ routes: [{ local: false, limits }] });
    const device = await rig.device(client, withWill(version));
    device.publish('plant/1/up', 'up', 1);
    await device.until('puback');
    device.socket.destroy();
    await sleep(settleMs);
    assert.equal(rig.disk.frames().length, 1);
    await eventually('an event', () => rig.disk.frames().length === 2);
    await eventually('its row is gone', () => rig.disk.sessions.length === 0);
  });
}

test('a Will keeps its properties, less Will Delay', async () => {
  await using rig = await willRig('Mosquitto behind', mosquitto.port);
  const properties = {
    ...{ payloadFormatIndicator: true, messageExpiryInterval: 3_600, contentType: 'text/plain' },
    ...{ responseTopic: 'home/answers', correlationData: Buffer.from('c') },
    userProperties: { line: '7' },
  };
  const asked = withWill(5);
  const will = { ...asked.will, properties: { ...properties, willDelayInterval: 0 } };
  const device = await rig.device('five', { ...asked, will } as Partial<IConnectPacket>);
  device.send({ ...publish(willTopic, 'here', 1), properties } as Packet);
  await device.until('puback');
  device.socket.destroy();
  await eventually('both', () => rig.disk.frames().length === 2);
  const [here, gone] = rig.disk.views();
  assert.ok(here !== undefined && here.properties.length > 0);
  assert.deepEqual(gone?.properties, here.properties);
  assert.equal(gone?.expirySeconds, 3_600);
});
