/**
 * MQTT upstreams against a server whose every answer the test gives: what is in flight, sessions
 * and what is sent again, Message Expiry.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPublishPacket } from 'mqtt-packet';
import { socketBacklogBytes } from '../agent/bounds.ts';
import { Parcels } from '../agent/egress/mqtt-parcels.ts';
import type { EgressRecord } from '../agent/egress/record.ts';
import { LivedTime } from '../agent/egress/segment-source.ts';
import { frameOf, waitFor } from './support/egress-rig.ts';
import { type Answer, type FarServer, takes } from './support/mqtt-far.ts';
import { closeAll, laneTo, numbered, texts } from './support/mqtt-upstream-rig.ts';

afterEach(closeAll);

for (const qos of [1, 2] as const) {
  test(`QoS ${qos}: never more in flight than the server's Receive Maximum`, async () => {
    let out = 0;
    let most = 0;
    const owed: (() => void)[] = [];
    const answer: Answer = (heard, say) => {
      if (heard.packet.cmd === 'publish') {
        out += 1;
        most = Math.max(most, out);
      }
      owed.push(() => {
        if (heard.packet.cmd === (qos === 1 ? 'publish' : 'pubrel')) out -= 1;
        takes(heard, say, undefined as never);
      });
    };
    const [rig, server] = await laneTo(answer, { qos, inFlight: 64 });
    server.connack = { properties: { receiveMaximum: 3 } };
    rig.append(numbered(40));
    rig.start();
    await waitFor(() => out === 3);
    await sleep(30);
    assert.equal(out, 3, 'and it waits there');
    const timer = setInterval(() => owed.shift()?.(), 1);
    await rig.settledAll();
    clearInterval(timer);
    assert.equal(most, 3);
    assert.deepEqual(server.values(), texts(40));
  });
}

test('never more in flight than the config says, whatever the server allows', async () => {
  const [rig, server] = await laneTo(() => undefined, { inFlight: 5 });
  rig.append(numbered(40));
  rig.start();
  await waitFor(() => server.values().length === 5);
  await sleep(30);
  assert.deepEqual(server.values(), texts(5));
  assert.equal(rig.settled, 0, 'nothing is confirmed without its answer');
});

test('QoS 0: the flushed write confirms, and the packet has no identifier', async () => {
  const [rig, server] = await laneTo(() => undefined, { qos: 0 });
  rig.append(numbered(20));
  rig.start();
  await rig.settledAll();
  await waitFor(() => server.values().length === 20);
  assert.equal(rig.outcomes.confirmed, 20);
  assert.deepEqual(
    [server.of('publish')[0]?.packet.qos, server.of('publish')[0]?.packet.dup],
    [0, false],
  );
});

test('QoS 1: what a lost connection left unanswered goes again, first and in order', async () => {
  const answer: Answer = (heard, say, socket) => {
    if (heard.connection > 1) takes(heard, say, socket);
    else if (String((heard.packet as IPublishPacket).payload) === '1') takes(heard, say, socket);
    else if (String((heard.packet as IPublishPacket).payload) === '7') socket.destroy();
  };
  const [rig, server] = await laneTo(answer, { inFlight: 8 });
  rig.append(numbered(20));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(
    server.values(2),
    texts(20).filter((value) => value !== '1'),
  );
  const again = server.of('publish').filter(({ connection }) => connection === 2);
  assert.ok(
    again.every(({ packet }) => !packet.dup),
    'a clean session has nothing twice',
  );
  const connects = server.of('connect').map(({ packet }) => packet.clean);
  assert.deepEqual(connects, [true, true]);
});

test('QoS 2: a kept session goes on where it broke off, under the same identifiers', async () => {
  const answer: Answer = (heard, say, socket) => {
    const { packet, connection } = heard;
    if (connection > 1) return takes(heard, say, socket);
    // Of 0 1 2 3 the first two are released, and the connection goes with the fourth.
    if (packet.cmd === 'publish' && Number(packet.payload) < 2) takes(heard, say, socket);
    if (packet.cmd === 'publish' && String(packet.payload) === '3')
      setTimeout(() => socket.destroy(), 20);
  };
  const [rig, server] = await laneTo(answer, { qos: 2, inFlight: 4 });
  rig.append(numbered(8));
  rig.start();
  await waitFor(() => server.of('pubrel').length === 2);
  server.connack = { sessionPresent: true };
  await rig.settledAll();
  const [first, second] = [1, 2].map((one) => server.heard.filter((h) => h.connection === one));
  const ids = (first ?? []).flatMap(({ packet }) =>
    packet.cmd === 'publish' ? [packet.messageId] : [],
  );
  const resumed = (second ?? []).slice(1, 5).map(({ packet }) => [packet.cmd, packet.messageId]);
  assert.deepEqual(resumed, [
    ['pubrel', ids[0]],
    ['pubrel', ids[1]],
    ['publish', ids[2]],
    ['publish', ids[3]],
  ]);
  const dups = server.of('publish').filter(({ connection }) => connection === 2);
  assert.deepEqual(
    dups.map(({ packet }) => packet.dup),
    [true, true, false, false, false, false],
  );
  assert.deepEqual(
    server.of('connect').map(({ packet }) => packet.clean),
    [true, false],
  );
  assert.ok((server.of('connect')[1]?.packet.properties?.sessionExpiryInterval ?? 0) > 0);
});

test('QoS 2: a server that lost the session is sent all of it anew, released or not', async () => {
  const answer: Answer = (heard, say, socket) => {
    const { packet, connection } = heard;
    if (connection > 1) return takes(heard, say, socket);
    if (packet.cmd === 'publish') takes(heard, say, socket);
    if (packet.cmd === 'pubrel' && server?.of('pubrel').length === 4) socket.destroy();
  };
  let server: FarServer | undefined;
  const [rig, far] = await laneTo(answer, { qos: 2, inFlight: 4 });
  server = far;
  rig.append(numbered(4));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(far.values(2), texts(4));
  assert.ok(far.of('publish').every(({ packet }) => !packet.dup));
});

test('QoS 2 in 3.1.1: the first connection of a process ends what one before it had', async () => {
  const [rig, server] = await laneTo(takes, { qos: 2, version: 4 });
  rig.append(numbered(3));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(
    server.of('connect').map(({ packet }) => packet.clean),
    [true, false],
  );
  assert.deepEqual(server.values(2), texts(3));
});

test('a server that disconnects us is connected to again, with a growing wait', async () => {
  const answer: Answer = (heard, say, socket) => {
    if (heard.connection > 3) return takes(heard, say, socket);
    say({ cmd: 'disconnect', reasonCode: 0x8b });
    socket.end();
  };
  const [rig, server] = await laneTo(answer);
  rig.append(numbered(5));
  rig.start();
  await rig.settledAll();
  assert.equal(server.connections, 4);
  assert.ok(rig.states.includes('backing-off'));
  assert.equal(rig.states.at(-1), 'forwarding');
});

test('Message Expiry goes on as what remains in lived time, and ends while waiting', async () => {
  let nowMs = 0;
  const lived = new LivedTime(100_000, () => nowMs);
  let isOpen = false;
  const answer: Answer = (heard, say, socket) => {
    if (isOpen || String((heard.packet as IPublishPacket).payload) === '0')
      takes(heard, say, socket);
  };
  const [rig, server] = await laneTo(answer, { inFlight: 1 }, { lived });
  // Arrived 40 s ago, of 60 s; then one that is not sent before its 45 s are over.
  rig.append(numbered(1, 0, { livedMs: 60_000, expirySeconds: 60 }));
  rig.append(numbered(1, 1, { livedMs: 60_000 }));
  rig.append(numbered(1, 2, { livedMs: 60_000, expirySeconds: 45 }));
  rig.append(numbered(1, 3, { livedMs: 60_000, expirySeconds: 39 }));
  rig.start();
  await waitFor(() => server.values().length === 2 && rig.settled >= 1);
  nowMs = 6_000;
  isOpen = true;
  server.cut();
  await rig.settledAll();
  const first = server.of('publish')[0]?.packet;
  assert.equal(first?.properties?.messageExpiryInterval, 20);
  assert.equal(server.of('publish')[1]?.packet.properties?.messageExpiryInterval, undefined);
  assert.deepEqual(server.values(), ['0', '1', '1']);
  assert.deepEqual([rig.outcomes.confirmed, rig.outcomes.expired], [2, 2]);
});

test('an at-most-once lane sends nothing twice: what a lost connection had is lost', async () => {
  const answer: Answer = (heard, say, socket) => {
    if (heard.connection > 1) return takes(heard, say, socket);
    if (server?.of('publish').length === 3) socket.destroy();
  };
  let server: FarServer | undefined;
  const [rig, far] = await laneTo(answer, { qos: 2, inFlight: 3 }, { once: true });
  server = far;
  rig.append(numbered(10));
  rig.start();
  await waitFor(() => far.connections > 1 && far.values().length === 10);
  assert.deepEqual(far.values(), texts(10));
  assert.equal(rig.outcomes.sentOnce, 10);
  assert.equal(rig.events.find(({ fields }) => 'lostRecords' in fields)?.fields.lostRecords, 3);
  rig.append(numbered(2, 10));
  await waitFor(() => far.values().length === 12);
});

test('a lane drops what it holds after a jump, and begins clean', async () => {
  const answer: Answer = (heard, say, socket) => {
    if (heard.connection > 1) takes(heard, say, socket);
  };
  const [rig, server] = await laneTo(answer, { qos: 2 });
  for (let i = 0; i < 4; i++) rig.append(numbered(5, i * 5));
  rig.start();
  await waitFor(() => server.values().length === 20);
  rig.jump({ segment: 3, frame: 0 });
  await rig.settledAll(10);
  assert.deepEqual(server.values(2), texts(10, 10));
  assert.deepEqual(
    server.of('connect').map(({ packet }) => packet.clean),
    [true, true],
  );
});

test('a server that does not read is not written to without bound', async () => {
  let near: Duplex | undefined;
  let isReading = false;
  const answer: Answer = (heard, say, socket) => {
    if (!isReading) socket.pause();
    takes(heard, say, socket);
  };
  const far: Socket[] = [];
  const opened = (socket: Duplex) => {
    near = socket;
  };
  const stalls: Answer = (heard, say, socket) => {
    far.push(socket);
    answer(heard, say, socket);
  };
  const [rig] = await laneTo(stalls, { inFlight: 1_000 }, { opened });
  const payload = Buffer.alloc(32_768, 'x');
  for (let i = 0; i < 20; i++) rig.append(Array.from({ length: 20 }, () => frameOf({ payload })));
  rig.start();
  await waitFor(() => (near?.writableLength ?? 0) > socketBacklogBytes);
  await sleep(100);
  assert.ok((near?.writableLength ?? 0) < socketBacklogBytes + 2 * payload.length);
  isReading = true;
  far[0]?.resume();
  await rig.settledAll();
});

test('acknowledgements are signs of life: a late PINGRESP costs no connection', async () => {
  const answer: Answer = (heard, say, socket) => {
    if (heard.packet.cmd !== 'pingreq') takes(heard, say, socket);
  };
  const [rig, server] = await laneTo(answer, { keepAliveMs: 1_000 });
  rig.start();
  for (let i = 0; i < 10; i++) {
    rig.append(numbered(1, i));
    await sleep(250);
  }
  await rig.settledAll();
  assert.equal(server.connections, 1);
});

test('a Packet Identifier that is in use is not given twice', () => {
  const parcels = new Parcels();
  const next = () => {
    parcels.add({} as EgressRecord);
    const parcel = parcels.take();
    assert.ok(parcel);
    parcels.identify(parcel);
    return parcel;
  };
  const kept = next();
  const given = new Set<number>();
  for (let i = 0; i < 140_000; i++) {
    const parcel = next();
    given.add(parcel.packetId);
    parcels.gone(parcel);
  }
  assert.equal(given.has(kept.packetId), false);
  assert.equal(given.has(0), false);
  assert.equal(given.size, 65_534);
});
