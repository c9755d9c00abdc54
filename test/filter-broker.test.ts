/**
 * The filter in front of an external broker (a real Mosquitto): each trap of the design as a
 * sentence, for MQTT 3.1.1 and 5 where both have it. Only the disk's COMMIT is in our hand.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type IPublishPacket, type Packet } from 'mqtt-packet';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, publish, type RawDevice, Rig, type RigOptions } from './support/rig.ts';

const settleMs = 60;
const five = { protocolVersion: 5 } as const;
let broker: Mosquitto;
before(async () => {
  broker = await startMosquitto();
});
after(() => broker.stop());

function rigWith(options: RigOptions = {}): Promise<Rig> {
  return Rig.start({ broker: broker.port, routes: [{ local: false }], ...options });
}

async function subscriber(rig: Rig, clientId: string, topic: string): Promise<RawDevice> {
  const reader = await rig.device(clientId, five);
  reader.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] });
  await reader.until('suback');
  return reader;
}

function connackOf(device: RawDevice): Extract<Packet, { cmd: 'connack' }> {
  const found = device.packets.find((packet) => packet.cmd === 'connack');
  assert.ok(found?.cmd === 'connack');
  return found;
}

function disconnectReason(device: RawDevice): number | undefined {
  const found = device.packets.find((packet) => packet.cmd === 'disconnect');
  return found?.cmd === 'disconnect' ? found.reasonCode : undefined;
}

for (const protocolVersion of [4, 5] as const) {
  const named = (what: string) => `${what} (MQTT ${protocolVersion === 4 ? '3.1.1' : '5'})`;

  test(named('Keep Alive: a device whose every frame is captured is not timed out'), async () => {
    await using rig = await rigWith();
    const device = await rig.device(`busy-${protocolVersion}`, { protocolVersion, keepalive: 1 });
    for (let id = 1; id <= 12; id++) {
      device.publish('plant/1', `${id}`, id);
      await sleep(250);
    }
    await device.until('puback', 12);
    assert.equal(device.ended, false);
    assert.equal(device.count('pingresp'), 0, 'the PINGRESP of our PINGREQ is swallowed');
    device.send({ cmd: 'pingreq' });
    await device.until('pingresp');
  });

  test(named('a device that vanishes without a word is closed, and its Will fires'), async () => {
    await using rig = await rigWith();
    const watcher = await subscriber(rig, `watch-${protocolVersion}`, 'gone/#');
    const will = { topic: 'gone/x', payload: Buffer.from('bye'), qos: 0, retain: false } as const;
    const options = { protocolVersion, keepalive: 1, will };
    const silent = await rig.device(`silent-${protocolVersion}`, options);
    await eventually('closed', () => silent.ended);
    await watcher.until('publish');
    if (protocolVersion === 5) assert.equal(disconnectReason(silent), 0x8d);
  });

  test(named('acknowledgements of captured and passed PUBLISHes keep one order'), async () => {
    await using rig = await rigWith({ held: true });
    const device = await rig.device(`mixed-${protocolVersion}`, { protocolVersion });
    const topics = ['plant/1', 'home/1', 'plant/2', 'home/2', 'plant/3'];
    device.send(...topics.map((topic, index) => publish(topic, 'x', index + 1)));
    await eventually('captured ones are on their way', () => rig.disk.segments.length > 0);
    await sleep(settleMs);
    assert.deepEqual(device.acknowledged(), [], 'the passed ones wait behind the first');
    rig.disk.held = false;
    rig.disk.release();
    await device.until('puback', topics.length);
    assert.deepEqual(device.acknowledged(), [1, 2, 3, 4, 5]);
  });

  test(named('local: the PUBACK waits for both COMMIT and broker, and comes once'), async () => {
    await using rig = await rigWith({ held: true, routes: [{ local: true }] });
    const reader = await subscriber(rig, `local-${protocolVersion}`, 'plant/+');
    const writer = await rig.device(`writer-${protocolVersion}`, { protocolVersion });
    writer.publish('plant/1', 'both', 9);
    await reader.until('publish');
    await sleep(settleMs);
    assert.deepEqual(writer.acknowledged(), [], 'the broker alone does not acknowledge');
    rig.disk.release();
    await writer.until('puback');
    await sleep(settleMs);
    assert.deepEqual(writer.acknowledged(), [9]);
  });

  test(named('a retained PUBLISH is stored once and kept by the broker'), async () => {
    await using rig = await rigWith();
    const writer = await rig.device(`keeper-${protocolVersion}`, { protocolVersion });
    const topic = `plant/kept-${protocolVersion}`;
    writer.send({ ...publish(topic, 'kept', 4), retain: true } as Packet);
    await writer.until('puback');
    const reader = await subscriber(rig, `late-${protocolVersion}`, topic);
    await reader.until('publish');
    assert.deepEqual(rig.disk.frames(), [`keeper-${protocolVersion} ${topic} kept`]);
  });

  test(
    named('commands reach a device: subscribe, and the offline queue of its session'),
    async () => {
      await using rig = await rigWith();
      const session = {
        ...{ protocolVersion, clean: false },
        ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
      };
      const name = `pump-${protocolVersion}`;
      const topic = `commands/${name}`;
      const pump = await rig.device(name, session);
      pump.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] });
      await pump.until('suback');
      const office = await rig.device(`office-${protocolVersion}`, five);
      office.publish(topic, 'on', 1);
      await pump.until('publish');
      pump.send({
        cmd: 'puback',
        messageId: (pump.packets.at(-1) as IPublishPacket).messageId ?? 0,
      });
      await sleep(settleMs);
      pump.socket.destroy();
      await eventually('the broker knows', () => rig.connections === 1);
      office.publish(topic, 'off', 2);
      await office.until('puback', 2);
      const back = await rig.device(name, session);
      await back.until('publish');
      const command = back.packets.find((packet) => packet.cmd === 'publish') as IPublishPacket;
      assert.equal(command.payload.toString(), 'off');
      back.send({ cmd: 'puback', messageId: command.messageId ?? 0 });
      await back.send({ cmd: 'disconnect' });
    },
  );

  test(named('the broker is away: devices are told that the server is unavailable'), async () => {
    await using rig = await rigWith({ broker: 1 });
    const device = await rig.device(`early-${protocolVersion}`, { protocolVersion });
    const { returnCode, reasonCode } = connackOf(device);
    assert.equal(protocolVersion === 5 ? reasonCode : returnCode, protocolVersion === 5 ? 0x88 : 3);
    await eventually('closed', () => device.ended);
    assert.equal(rig.events.filter(({ name }) => name === 'brokerFailed').length, 1);
  });

  test(named('whenBrokerDown: capture takes what routes capture, and nothing else'), async () => {
    await using rig = await rigWith({ broker: 1, whenBrokerDown: 'capture' });
    const device = await rig.device(`alone-${protocolVersion}`, { protocolVersion });
    device.publish('plant/1', 'stored', 1);
    await device.until('puback');
    device.publish('plant/1', 'stored too', 2, 2);
    await device.until('pubrec');
    device.send({ cmd: 'pubrel', messageId: 2 });
    await device.until('pubcomp');
    device.send({ cmd: 'subscribe', messageId: 3, subscriptions: [{ topic: 'a/#', qos: 0 }] });
    await device.until('suback');
    const suback = device.packets.find((packet) => packet.cmd === 'suback');
    assert.ok(suback?.cmd === 'suback' && Number(suback.granted[0]) >= 0x80);
    device.send({ cmd: 'pingreq' });
    await device.until('pingresp');
    device.publish('home/1', 'nobody takes it', 4);
    if (protocolVersion === 4) await eventually('closed', () => device.ended);
    else {
      await device.until('puback', 2);
      const refused = device.packets.findLast((packet) => packet.cmd === 'puback');
      assert.ok(refused?.cmd === 'puback' && Number(refused.reasonCode) >= 0x80);
    }
    const name = `alone-${protocolVersion}`;
    assert.deepEqual(rig.disk.frames(), [`${name} plant/1 stored`, `${name} plant/1 stored too`]);
  });

  test(named('a held device gets its PINGRESP, and is not timed out by us'), async () => {
    const limit = { per: 'device', bytesPerSecond: 0, burstBytes: 0, over: 'hold' } as const;
    const limits = [{ ...limit, messagesPerSecond: 0.4, burstMessages: 1 }];
    await using rig = await rigWith({ routes: [{ local: false, limits }] });
    const device = await rig.device(`held-${protocolVersion}`, { protocolVersion, keepalive: 1 });
    device.send(publish('plant/1', 'a', 1), publish('plant/1', 'b', 2), { cmd: 'pingreq' });
    await device.until('pingresp');
    await device.until('puback');
    assert.deepEqual(rig.listener?.heldDevices, [`held-${protocolVersion}`]);
    assert.deepEqual(device.acknowledged(), [1], 'the second waits for its limit');
    for (let i = 0; i < 4; i++) {
      await sleep(500);
      device.send({ cmd: 'pingreq' });
    }
    await device.until('pingresp', 5);
    assert.equal(device.ended, false);
    await device.until('puback', 2);
    await sleep(settleMs);
    assert.equal(device.count('pingresp'), 5, 'each PINGREQ is answered once');
  });

  test(named('what was captured is committed and acknowledged before a close'), async () => {
    await using rig = await rigWith({ held: true });
    const device = await rig.device(`last-${protocolVersion}`, { protocolVersion });
    device.send(publish('plant/1', 'last', 1), { cmd: 'disconnect' });
    await eventually('in the path', () => rig.disk.segments.length > 0);
    await sleep(settleMs);
    assert.equal(device.ended, false);
    rig.disk.release();
    await eventually('ended', () => device.ended);
    assert.deepEqual(device.acknowledged(), [1]);
  });
}

test('CONNACK grants the smaller of what broker and agent grant', async () => {
  await using rig = await rigWith({ receiveMaximum: 7, maxPacketBytes: 4_096 });
  const { properties } = connackOf(await rig.device('granted', five));
  assert.equal(properties?.receiveMaximum, 7, 'ours is smaller than Mosquitto’s 20');
  assert.equal(properties?.maximumPacketSize, 4_096);
  assert.equal(properties?.topicAliasMaximum, 10, 'Mosquitto’s is smaller than our 16');
});

test('more PUBLISHes than the Receive Maximum end the connection with 0x93', async () => {
  await using rig = await rigWith({ receiveMaximum: 3, held: true });
  const device = await rig.device('greedy', five);
  device.send(...[1, 2, 3].map((id) => publish('plant/1', 'x', id)));
  await sleep(settleMs);
  assert.equal(device.ended, false);
  device.publish('plant/1', 'x', 4);
  rig.disk.held = false;
  await sleep(settleMs);
  rig.disk.release();
  await eventually('closed', () => device.ended);
  assert.equal(disconnectReason(device), 0x93);
});

test('a Topic Alias means the same in captured and passed PUBLISHes, both ways', async () => {
  await using rig = await rigWith({ routes: [{ from: 'plant/#', local: false }] });
  const reader = await subscriber(rig, 'alias-reader', 'home/#');
  const device = await rig.device('alias', five);
  const aliased = (topic: string, topicAlias: number, messageId: number): Packet => ({
    ...(publish(topic, `m${messageId}`, messageId) as IPublishPacket),
    properties: { topicAlias },
  });
  device.send(aliased('plant/1', 1, 1), aliased('home/1', 2, 2));
  device.send(aliased('', 1, 3), aliased('', 2, 4));
  // The captured one takes the alias over, and the broker never hears of it.
  device.send(aliased('plant/2', 2, 5), aliased('', 2, 6), aliased('home/3', 1, 7));
  device.send(aliased('', 1, 8));
  await device.until('puback', 8);
  assert.deepEqual(
    rig.disk.frames().map((frame) => frame.split(' ').slice(1).join(' ')),
    ['plant/1 m1', 'plant/1 m3', 'plant/2 m5', 'plant/2 m6'],
  );
  await reader.until('publish', 4);
  const heard = reader.packets.filter((packet) => packet.cmd === 'publish') as IPublishPacket[];
  assert.deepEqual(
    heard.map(({ topic, payload }) => `${topic} ${payload}`),
    ['home/1 m2', 'home/1 m4', 'home/3 m7', 'home/3 m8'],
  );
});

test('a Topic Alias beyond the maximum, or never set, is answered with 0x94', async () => {
  await using rig = await rigWith();
  for (const [topic, topicAlias] of [
    ['plant/1', 11],
    ['', 3],
  ] as const) {
    const device = await rig.device('bad-alias', five);
    device.send({ ...publish(topic, 'x', 1), properties: { topicAlias } } as Packet);
    await eventually('closed', () => device.ended);
    assert.equal(disconnectReason(device), 0x94);
  }
});

test('malformed packets are answered as the standard says, and never passed on', async () => {
  await using rig = await rigWith();
  const cases: [bytes: string, reason: number | undefined][] = [
    ['3600', 0x81],
    ['8000', 0x81],
    ['820a00010000056100622f23', 0x81],
    ['c100', 0x81],
    ['f000', 0x82],
    ['20020000', 0x82],
    ['c00100', undefined],
    ['308080808001', undefined],
    ['e00187', undefined],
  ];
  for (const [bytes, reason] of cases) {
    const device = await rig.device('malformed', five);
    device.socket.write(Buffer.from(bytes, 'hex'));
    await eventually(`${bytes} ends it`, () => device.ended);
    assert.equal(disconnectReason(device), reason, bytes);
    const old = await rig.device('malformed');
    old.socket.write(Buffer.from(bytes, 'hex'));
    await eventually(`${bytes} ends it in 3.1.1`, () => old.ended);
    assert.equal(old.packets.length, 1, 'without a word');
  }
});

test('a PUBLISH behind a CONNECT that the broker refuses is not captured', async () => {
  const strict = await startMosquitto({ lines: ['clientid_prefixes known-'] });
  try {
    await using rig = await rigWith({ broker: strict.port });
    const device = await rig.socket(5);
    const connect = { cmd: 'connect', clientId: 'no', protocolId: 'MQTT', clean: true } as const;
    const options = { protocolVersion: 5 };
    device.socket.write(
      Buffer.concat([
        generate({ ...connect, ...five, keepalive: 60 } as Packet, options),
        generate(publish('plant/1', 'too early', 1), options),
      ]),
    );
    await eventually('closed', () => device.ended);
    assert.ok((connackOf(device).reasonCode ?? 0) >= 0x80);
    assert.deepEqual(rig.disk.frames(), []);
  } finally {
    await strict.stop();
  }
});

test('allow rules: what none allows is refused, captured or not, also SUBSCRIBE', async () => {
  const access = {
    groupsFor: () => 0,
    mayPublish: () => false,
    maySubscribe: (device: string, filter: string) => filter === `mine/${device}`,
  };
  await using rig = await rigWith({ access });
  const device = await rig.device('limited', five);
  for (const [index, topic] of ['plant/1', 'home/1'].entries()) {
    device.publish(topic, 'x', index + 1);
    await device.until('puback', index + 1);
    const answer = device.packets.findLast((packet) => packet.cmd === 'puback');
    assert.equal(answer?.cmd === 'puback' && answer.reasonCode, 0x87, topic);
  }
  device.send({
    cmd: 'subscribe',
    messageId: 9,
    subscriptions: ['mine/limited', 'mine/other', '#'].map((topic) => ({ topic, qos: 0 })),
  } as Packet);
  await device.until('suback');
  const suback = device.packets.find((packet) => packet.cmd === 'suback');
  assert.deepEqual(suback?.cmd === 'suback' && suback.granted, [0, 0x87, 0x87]);
  const old = await rig.device('limited-old');
  old.publish('plant/1', 'x', 1);
  await eventually('3.1.1 has no other way to say no', () => old.ended);
  assert.deepEqual(old.acknowledged(), []);
  assert.deepEqual(rig.disk.frames(), []);
});
