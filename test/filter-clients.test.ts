/**
 * Whose QoS 2 session a connection has: two connections share one only when they are one client,
 * and then one after the other; what it holds is the same under other rules, and goes with it. A
 * Mosquitto stands behind, or a broker whose every answer is ours where that one is too quick.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import { unreleasedFrames } from '../agent/bounds.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { FarServer, takes } from './support/mqtt-far.ts';
import { eventually, publish, type RawDevice, Rig, type RigOptions } from './support/rig.ts';

const settleMs = 60;
let broker: Mosquitto;
const far = new FarServer(takes);
let farPort: number;
before(async () => {
  broker = await startMosquitto();
  farPort = await far.listen();
});
after(async () => {
  await far.close();
  await broker.stop();
});

function rigWith(options: RigOptions = {}): Promise<Rig> {
  return Rig.start({ broker: broker.port, routes: [{ local: false }], ...options });
}

/** QoS 2, both halves. */
async function delivered(device: RawDevice, topic: string, payload: string): Promise<void> {
  const [recs, comps] = [device.count('pubrec'), device.count('pubcomp')];
  device.publish(topic, payload, 1, 2);
  await device.until('pubrec', recs + 1);
  device.send({ cmd: 'pubrel', messageId: 1 });
  await device.until('pubcomp', comps + 1);
}

function payloads(rig: Rig): (string | undefined)[] {
  return rig.disk.frames().map((frame) => frame.split(' ')[2]);
}

/** Reason Codes of PUBREC; before version 5 there are none. */
function answers(device: RawDevice): number[] {
  return device.packets.flatMap((packet) => {
    return packet.cmd === 'pubrec' ? [packet.reasonCode ?? 0] : [];
  });
}

for (const protocolVersion of [4, 5] as const) {
  const named = (what: string) => `${what} (MQTT ${protocolVersion === 4 ? '3.1.1' : '5'})`;
  const five = protocolVersion === 5;
  const persistent = {
    ...{ protocolVersion, clean: false },
    ...(five ? { properties: { sessionExpiryInterval: 600 } } : {}),
  };

  test(named('one log-in for all: who has no Client Identifier shares no session'), async () => {
    const login = () => ({ admitted: true, device: 'alice' }) as const;
    await using rig = await rigWith({ login });
    const a = await rig.device('', { protocolVersion });
    const b = await rig.device('', { protocolVersion });
    a.publish('plant/1', 'from a', 1, 2);
    await a.until('pubrec');
    await delivered(b, 'plant/1', 'from-b');
    assert.deepEqual(rig.disk.frames(), ['alice plant/1 from a', 'alice plant/1 from-b']);
    assert.equal(rig.disk.sessions.length, 1, 'that of the first, which released nothing');
    a.send({ cmd: 'pubrel', messageId: 1 });
    await a.until('pubcomp');
    assert.equal(a.ended, false);
  });

  test(named('a Client Identifier like our names for the nameless opens no session'), async () => {
    await using rig = await rigWith();
    const nameless = await rig.device('', { protocolVersion });
    const { fields } = rig.events.find(({ name }) => name === 'connectionOpened') ?? {};
    const names = [fields?.device, 'anonymous-1', 'anonymous-2', '1', '2'];
    for (const name of new Set(names.map(String))) {
      const other = await rig.device(name, { protocolVersion });
      other.publish('plant/1', 'theirs', 1, 2);
      await other.until('pubrec');
    }
    await delivered(nameless, 'plant/1', 'precious');
    assert.equal(payloads(rig).at(-1), 'precious');
  });

  test(
    named('sent again under other allow rules, it is a repeat; the next is stored'),
    async () => {
      const access = { groupsFor: () => 1, mayPublish: () => true, maySubscribe: () => true };
      await using rig = await rigWith({ access });
      rig.core.installAllow([{ filter: 'plant/1', groups: 1 }]);
      const client = `rules-${protocolVersion}`;
      const device = await rig.device(client, persistent);
      device.publish('plant/1', 'first', 1, 2);
      await device.until('pubrec');
      device.socket.destroy();
      await eventually('gone', () => rig.connections === 0);
      rig.core.installAllow([{ filter: 'plant/2', groups: 1 }]);
      const back = await rig.device(client, persistent);
      back.send({ ...publish('plant/1', 'first', 1, 2), dup: true } as Packet);
      await back.until('pubrec');
      back.send({ cmd: 'pubrel', messageId: 1 });
      await back.until('pubcomp');
      await delivered(back, 'plant/2', 'second');
      assert.deepEqual(answers(back), [0, 0]);
      assert.deepEqual(payloads(rig), ['first', 'second']);
      assert.deepEqual(rig.disk.sessions, []);
    },
  );

  test(
    named('sent again after its route has gone, it is a repeat; the next is passed'),
    async () => {
      await using rig = await rigWith({ broker: farPort });
      const before = far.values().length;
      const device = await rig.device(`route-${protocolVersion}`, persistent);
      device.publish('plant/1', 'first', 1, 2);
      await device.until('pubrec');
      rig.core.installRoutes([], []);
      device.send({ ...publish('plant/1', 'first', 1, 2), dup: true } as Packet);
      await device.until('pubrec', 2);
      device.send({ cmd: 'pubrel', messageId: 1 });
      await device.until('pubcomp');
      await delivered(device, 'plant/1', 'second');
      assert.deepEqual(far.values().slice(before), ['second'], 'no route captures it then');
      assert.deepEqual(payloads(rig), ['first']);
    },
  );

  test(named('taken over, the old connection takes nothing from that moment on'), async () => {
    // This broker never closes the old one.
    await using rig = await rigWith({ broker: farPort });
    const old = await rig.device('twin', { protocolVersion });
    const now = await rig.device('twin', { protocolVersion });
    old.publish('plant/1', 'late', 1, 2);
    await delivered(now, 'plant/1', 'new');
    await eventually('the old one is closed', () => old.ended);
    assert.deepEqual(old.acknowledged('pubrec'), []);
    assert.deepEqual(payloads(rig), ['new']);
    const farewell = old.packets.find((packet) => packet.cmd === 'disconnect');
    const reason = farewell?.cmd === 'disconnect' ? farewell.reasonCode : undefined;
    assert.equal(reason, five ? 0x8e : undefined);
    assert.equal(now.ended, false);
  });

  test(named('a session that ends with its connection leaves no identifiers'), async () => {
    await using rig = await rigWith();
    for (const client of ['', `brief-${protocolVersion}`]) {
      const device = await rig.device(client, { protocolVersion });
      device.send(...[1, 2, 3].map((id) => publish('plant/1', 'x', id, 2)));
      await device.until('pubrec', 3);
      assert.equal(rig.disk.sessions.length, 3);
      device.socket.destroy();
      await eventually('no rows', () => rig.disk.sessions.length === 0);
    }
    const keeper = await rig.device(`keeper-${protocolVersion}`, persistent);
    keeper.publish('plant/1', 'x', 1, 2);
    await keeper.until('pubrec');
    keeper.socket.destroy();
    await eventually('gone', () => rig.connections === 0);
    assert.equal(rig.disk.sessions.length, 1, 'a session that lives on keeps its own');
  });
}

test('a connection that was taken over takes no session with it when it is gone', async () => {
  await using rig = await rigWith({ broker: farPort });
  const old = await rig.device('heir', { protocolVersion: 5 });
  old.socket.pause(); // It does not see our end, and lingers.
  const properties = { sessionExpiryInterval: 600 };
  const now = await rig.device('heir', { protocolVersion: 5, clean: false, properties });
  now.publish('plant/1', 'x', 1, 2);
  await now.until('pubrec');
  now.socket.destroy();
  await eventually('the new one is gone', () => rig.connections === 1);
  await eventually('the old one too', () => rig.connections === 0);
  await sleep(settleMs);
  assert.equal(rig.disk.sessions.length, 1, 'the session lives on');
  // The other way round: it ends with the connection that had it last.
  const first = await rig.device('heir', { protocolVersion: 5, clean: false, properties });
  first.socket.pause();
  const last = await rig.device('heir', { protocolVersion: 5 });
  last.publish('plant/1', 'x', 1, 2);
  await last.until('pubrec');
  last.socket.destroy();
  await eventually('gone', () => rig.connections === 0);
  await eventually('no rows', () => rig.disk.sessions.length === 0);
});

test('a 3.1.1 device that never releases is ended beyond a bound', async () => {
  await using rig = await rigWith({ broker: farPort });
  const device = await rig.device('hoarder');
  const ids = Array.from({ length: unreleasedFrames }, (_, index) => index + 1);
  for (let at = 0; at < ids.length; at += 1_024) {
    device.send(...ids.slice(at, at + 1_024).map((id) => publish('plant/1', '', id, 2)));
  }
  await device.until('pubrec', unreleasedFrames);
  assert.equal(device.ended, false);
  device.publish('plant/1', '', unreleasedFrames + 1, 2);
  await eventually('closed', () => device.ended);
  const refused = rig.events.find(({ name }) => name === 'connectionRefused');
  assert.equal(refused?.fields.reason, 'unreleasedFrames');
});
