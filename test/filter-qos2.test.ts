/**
 * QoS 2 in the listener seat: exactly once into the buffer, over a crash of either side. The broker
 * behind is a real Mosquitto that keeps the device's session; the agent's crash is a second agent
 * on what the first one's disk had committed at that moment.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, publish, type RawDevice, Rig, type RigOptions } from './support/rig.ts';

const settleMs = 60;
let broker: Mosquitto;
before(async () => {
  broker = await startMosquitto();
});
after(() => broker.stop());

function rigWith(options: RigOptions = {}): Promise<Rig> {
  return Rig.start({ broker: broker.port, routes: [{ local: false }], ...options });
}

function again(topic: string, payload: string, messageId: number) {
  return { ...publish(topic, payload, messageId, 2), dup: true } as ReturnType<typeof publish>;
}

function connectOf(clientId: string) {
  return { cmd: 'connect', protocolId: 'MQTT', keepalive: 60, clientId } as const;
}

async function released(device: RawDevice, messageId: number): Promise<void> {
  device.send({ cmd: 'pubrel', messageId });
  await device.until('pubcomp');
}

for (const version of [4, 5] as const) {
  const persistent = {
    protocolVersion: version,
    clean: false,
    ...(version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
  };
  const name = (what: string) => `${what} (MQTT ${version === 4 ? '3.1.1' : '5'})`;

  test(name('PUBREC follows the COMMIT of the frame, PUBCOMP that of the release'), async () => {
    await using rig = await rigWith({ held: true });
    const device = await rig.device(`order-${version}`, { protocolVersion: version });
    device.publish('plant/1', 'two', 5, 2);
    await eventually('segment', () => rig.disk.segments.length === 1);
    await sleep(settleMs);
    assert.deepEqual(device.acknowledged('pubrec'), []);
    rig.disk.release();
    await device.until('pubrec');
    assert.equal(rig.disk.sessions.length, 1, 'the identifier is in the commit of its frame');
    device.send({ cmd: 'pubrel', messageId: 5 });
    await sleep(settleMs);
    assert.deepEqual(device.acknowledged('pubcomp'), [], 'not before its release is on disk');
    rig.disk.release();
    await device.until('pubcomp');
    assert.deepEqual(rig.disk.sessions, []);
  });

  test(name('a PUBLISH sent again after a crash of the agent is stored once'), async () => {
    const client = `crash-${version}`;
    const first = await rigWith();
    const device = await first.device(client, persistent);
    device.publish('plant/1', 'once', 7, 2);
    await device.until('pubrec');
    const left = first.disk.sessions;
    await first[Symbol.asyncDispose]();
    await using second = await rigWith({ left });
    const back = await second.device(client, persistent);
    back.send(again('plant/1', 'once', 7));
    await back.until('pubrec');
    await released(back, 7);
    assert.deepEqual(second.disk.frames(), []);
    back.publish('plant/1', 'other bytes', 7, 2);
    await back.until('pubrec', 2);
    assert.deepEqual(second.disk.frames(), [`${client} plant/1 other bytes`]);
  });

  test(
    name('killed between release and PUBCOMP, the identifier’s next message is kept'),
    async () => {
      const client = `comp-${version}`;
      const first = await rigWith();
      const device = await first.device(client, persistent);
      device.publish('plant/1', 'one', 9, 2);
      await device.until('pubrec');
      first.disk.held = true;
      device.send({ cmd: 'pubrel', messageId: 9 });
      await sleep(settleMs);
      const beforeRelease = first.disk.sessions;
      assert.deepEqual(device.acknowledged('pubcomp'), []);
      first.disk.release();
      const afterRelease = first.disk.sessions;
      await first[Symbol.asyncDispose]();
      for (const left of [beforeRelease, afterRelease]) {
        await using second = await rigWith({ left });
        const back = await second.device(client, persistent);
        await released(back, 9);
        back.publish('plant/1', 'two', 9, 2);
        await back.until('pubrec');
        assert.deepEqual(second.disk.frames(), [`${client} plant/1 two`]);
        await released(back, 9);
      }
    },
  );

  test(name('the state dies with Clean Start, and when the broker has no session'), async () => {
    const client = `clean-${version}`;
    const left = [{ scope: 'rig', client, kind: 'qos2', id: 3, body: Buffer.alloc(0) }] as const;
    for (const how of [{ ...persistent, clean: true }, persistent]) {
      await using rig = await rigWith({ left });
      const device = await rig.device(`${client}`, how);
      device.publish('plant/1', 'new', 3, 2);
      await device.until('pubrec');
      assert.deepEqual(rig.disk.frames(), [`${client} plant/1 new`]);
      await released(device, 3);
      device.send({ cmd: 'disconnect' });
      await eventually('gone', () => device.ended);
      // The next round finds no session at the broker either.
      await using cleaner = await rigWith();
      (await cleaner.device(client, { ...persistent, clean: true, properties: {} })).socket.end();
    }
  });

  test(name('the same identifier again before PUBREL is not stored twice'), async () => {
    await using rig = await rigWith();
    const device = await rig.device(`twice-${version}`, { protocolVersion: version });
    device.send(publish('plant/1', 'a', 4, 2), again('plant/1', 'a', 4));
    await device.until('pubrec', 2);
    device.send(again('plant/1', 'a', 4));
    await device.until('pubrec', 3);
    await released(device, 4);
    device.send(publish('plant/1', 'b', 4, 2));
    await device.until('pubrec', 4);
    assert.deepEqual(
      rig.disk.frames().map((frame) => frame.split(' ')[2]),
      ['a', 'b'],
    );
  });

  test(name('a local subscriber of QoS 2 gets a captured message exactly once'), async () => {
    await using rig = await rigWith({ routes: [{ local: true }] });
    const reader = await rig.device(`reader-${version}`, { protocolVersion: version });
    reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'plant/+', qos: 2 }] });
    await reader.until('suback');
    const writer = await rig.device(`writer-${version}`, persistent);
    writer.publish('plant/1', 'both', 11, 2);
    await writer.until('pubrec');
    writer.send(again('plant/1', 'both', 11));
    await writer.until('pubrec', 2);
    await released(writer, 11);
    await reader.until('publish');
    await sleep(settleMs);
    assert.equal(reader.count('publish'), 1);
    const got = reader.packets.find((packet) => packet.cmd === 'publish');
    assert.equal(got?.cmd === 'publish' && got.qos, 2);
    assert.deepEqual(writer.acknowledged('pubcomp'), [11], 'one PUBCOMP, after both');
  });

  test(name('a connection that was taken over leaves the session to the new one'), async () => {
    const client = `over-${version}`;
    await using first = await rigWith();
    const old = await first.device(client, persistent);
    const now = await first.device(client, persistent);
    await eventually('the old connection is gone', () => old.ended && first.connections === 1);
    now.publish('plant/1', 'once', 6, 2);
    await now.until('pubrec');
    now.socket.destroy();
    await eventually('gone', () => first.connections === 0);
    const back = await first.device(client, persistent);
    back.send(again('plant/1', 'once', 6));
    await back.until('pubrec');
    await released(back, 6);
    assert.deepEqual(first.disk.frames(), [`${client} plant/1 once`]);
    assert.deepEqual(first.disk.sessions, [], 'the release is on disk');
  });

  test(name('sent again on another connection, PUBREC follows that same COMMIT'), async () => {
    const client = `again-${version}`;
    await using rig = await rigWith();
    const old = await rig.device(client, persistent);
    rig.disk.held = true;
    old.publish('plant/1', 'once', 8, 2);
    await eventually('on its way', () => rig.disk.segments.length === 1);
    const back = await rig.device(client, persistent);
    back.send(again('plant/1', 'once', 8));
    await sleep(settleMs);
    assert.deepEqual(back.acknowledged('pubrec'), [], 'not before the COMMIT');
    rig.disk.held = false;
    rig.disk.release();
    await back.until('pubrec');
    await released(back, 8);
    assert.deepEqual(rig.disk.frames(), [`${client} plant/1 once`]);
  });

  test(name('CONNACK of a session waits for a release of it that is on its way'), async () => {
    const client = `way-${version}`;
    await using rig = await rigWith();
    const old = await rig.device(client, persistent);
    old.publish('plant/1', 'one', 2, 2);
    await old.until('pubrec');
    rig.disk.held = true;
    const before = rig.disk.appended;
    old.send({ cmd: 'pubrel', messageId: 2 });
    await eventually('the release is on its way', () => rig.disk.appended > before);
    // Told that the session is there now, it would release again, hear PUBCOMP from the broker,
    // and send its next message under an identifier that a crash brings back as seen.
    const back = await rig.socket(version);
    back.send({ ...connectOf(client), ...persistent } as Packet);
    await sleep(settleMs);
    assert.deepEqual(back.packets, []);
    rig.disk.held = false;
    rig.disk.release();
    await back.until('connack');
    await released(back, 2);
    assert.deepEqual(rig.disk.sessions, []);
  });
}
