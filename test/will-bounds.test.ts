/**
 * Wills of a crowd are bounded: those that wait for their Will Delay, by becoming events before
 * their time; those that wait for the disk, by taking no more of them.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Packet } from 'mqtt-packet';
import { commitsInFlight, pendingWillsBytes, waitingChangesBytes } from '../agent/bounds.ts';
import { FarServer, takes } from './support/mqtt-far.ts';
import { eventually, type RawDevice, Rig } from './support/rig.ts';
import { willTopic, withWill } from './support/wills.ts';

const payloadBytes = 45_000;
/** As it is kept. */
const base64Bytes = (payloadBytes / 3) * 4;
/** More than may wait for the disk, and what is on its way there. */
const most = Math.ceil(waitingChangesBytes / base64Bytes) + commitsInFlight + 10;
const connectOf = { cmd: 'connect', protocolId: 'MQTT', keepalive: 60 } as const;
const far = new FarServer(takes);
let port: number;
before(async () => {
  port = await far.listen();
});
after(() => far.close());

function largeWill(version: 4 | 5) {
  const asked = withWill(version, 600);
  return { ...asked, will: { ...asked.will, payload: Buffer.alloc(payloadBytes, 'w') } } as const;
}

test('beyond their bound the Will that waits longest is an event before its time', async () => {
  await using rig = await Rig.start({ broker: port, routes: [{ local: false }] });
  const fit = Math.floor(pendingWillsBytes / (base64Bytes + 100));
  const early = 3;
  for (let at = 0; at < fit + early; at++) {
    const device = await rig.device(`c${at}`, largeWill(5) as object);
    device.socket.destroy();
    await eventually('gone', () => rig.connections === 0);
    if (at === fit - 1) assert.deepEqual(rig.disk.frames(), [], 'all of these wait');
  }
  await eventually('events', () => rig.disk.frames().length >= early);
  await eventually('their rows are gone', () => rig.disk.sessions.length === fit);
  const names = rig.disk.views().map(({ device, topicName }) => `${device} ${topicName}`);
  assert.deepEqual(
    names,
    [0, 1, 2].map((at) => `c${at} ${willTopic}`),
  );
  const told = rig.events.filter(({ name }) => name === 'willEarly');
  assert.deepEqual(
    told.map(({ fields }) => fields.device),
    ['c0', 'c1', 'c2'],
  );
});

for (const version of [4, 5] as const) {
  const name = `while Wills crowd before the disk no more are taken (MQTT ${version})`;
  test(name, async () => {
    await using rig = await Rig.start({ broker: port, routes: [{ local: false }], held: true });
    const ask = async (clientId: string, options: object): Promise<RawDevice> => {
      const device = await rig.socket(version);
      const how = { ...connectOf, clientId, clean: true, protocolVersion: version, ...options };
      device.send(how as Packet);
      return device;
    };
    const kept: RawDevice[] = [];
    let refused: RawDevice | undefined;
    while (refused === undefined && kept.length < most) {
      const asked = far.of('connect').length;
      const device = await ask(`w${kept.length}`, largeWill(version));
      await eventually('asked', () => device.ended || far.of('connect').length > asked);
      if (device.ended) refused = device;
      else kept.push(device);
    }
    const answer = refused?.packets[0];
    assert.ok(answer?.cmd === 'connack');
    assert.equal(version === 5 ? answer.reasonCode : answer.returnCode, version === 5 ? 0x89 : 3);
    const plain = await ask('plain', {});
    await plain.until('connack');
    assert.ok(kept.length * base64Bytes > waitingChangesBytes);
    assert.ok(kept.every((device) => device.count('connack') === 0));
    rig.disk.held = false;
    rig.disk.release();
    await eventually('CONNACK of the others', () => kept.every((one) => one.count('connack') > 0));
    const late = await ask('late', largeWill(version));
    await late.until('connack');
    assert.equal(late.ended, false);
  });
}
