/**
 * What the standard asks of the server and the filter has to hold in front of any broker, captured
 * or passed: who took a session over, how much may be under way, a PUBLISH that comes again on
 * another connection. The broker behind is a real Mosquitto.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, publish, type RawDevice, Rig } from './support/rig.ts';

const settleMs = 60;
const five = { protocolVersion: 5 } as const;
let broker: Mosquitto;
before(async () => {
  broker = await startMosquitto({ persistence: false });
});
after(() => broker.stop());

function disconnectReason(device: RawDevice): number | undefined {
  const found = device.packets.find((packet) => packet.cmd === 'disconnect');
  return found?.cmd === 'disconnect' ? found.reasonCode : undefined;
}

test('who is taken over hears 0x8E; who is not, while the broker goes, 0x8B', async () => {
  await using rig = await Rig.start({ broker: broker.port });
  const first = await rig.device('twice', five);
  const second = await rig.device('twice', five);
  await eventually('the first is closed', () => first.ended);
  assert.equal(disconnectReason(first), 0x8e);
  second.send({ cmd: 'pingreq' });
  await second.until('pingresp');
  await broker.kill();
  await eventually('the broker is gone', () => second.ended);
  assert.equal(disconnectReason(second), 0x8b);
  await broker.start();
});

for (const [how, topic] of [
  ['captured', 'plant/1'],
  ['passed', 'home/1'],
] as const) {
  test(`more QoS 2 under way than the Receive Maximum is 0x93, ${how}`, async () => {
    await using rig = await Rig.start({ broker: broker.port, receiveMaximum: 3 });
    const device = await rig.device(`greedy-${how}`, five);
    for (const id of [1, 2, 3]) device.publish(topic, 'x', id, 2);
    await device.until('pubrec', 3);
    device.send({ cmd: 'pubrel', messageId: 1 });
    await device.until('pubcomp');
    device.publish(topic, 'x', 4, 2);
    await device.until('pubrec', 4);
    assert.equal(device.ended, false, 'what is released does not count');
    device.publish(topic, 'x', 5, 2);
    await eventually('closed', () => device.ended);
    assert.equal(disconnectReason(device), 0x93);
  });
}

for (const local of [true, false]) {
  test(`a captured QoS 2 PUBLISH again on another connection, local ${local}`, async () => {
    await using rig = await Rig.start({ broker: broker.port, routes: [{ local }] });
    const kept = { ...five, clean: false, properties: { sessionExpiryInterval: 600 } } as const;
    const name = `again-${local}`;
    const first = await rig.device(name, kept);
    rig.disk.held = true;
    first.publish('plant/1', 'once', 5, 2);
    await eventually('it is on its way to the disk', () => rig.disk.segments.length === 1);
    first.socket.destroy();
    await sleep(settleMs);
    const back = await rig.device(name, kept);
    back.send({ ...publish('plant/1', 'once', 5, 2), dup: true } as Packet);
    await sleep(settleMs);
    assert.deepEqual(
      back.acknowledged('pubrec'),
      [],
      'no PUBREC before the COMMIT that it was stored in',
    );
    rig.disk.held = false;
    rig.disk.release();
    await back.until('pubrec');
    back.send({ cmd: 'pubrel', messageId: 5 });
    await back.until('pubcomp');
    assert.deepEqual(rig.disk.frames(), [`${name} plant/1 once`]);
    assert.deepEqual(
      rig.disk.sessions.filter(({ kind }) => kind === 'qos2'),
      [],
    );
  });
}

test('a CONNACK larger than the device takes is not sent [MQTT-3.1.2-24]', async () => {
  await using rig = await Rig.start({ broker: broker.port });
  const small = await rig.socket(5);
  const properties = { maximumPacketSize: 12 };
  const connect = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 5, clean: true } as const;
  small.send({ ...connect, clientId: 'small', keepalive: 60, properties });
  await eventually('closed', () => small.ended);
  assert.deepEqual(small.packets, []);
  const larger = await rig.device('larger', { ...five, properties: { maximumPacketSize: 60 } });
  assert.equal(larger.count('connack'), 1);
});
