/**
 * What a connection may cost, and how it ends: large and malformed packets of the broker behind,
 * a broker that says nothing, a device that is gone in peace behind what a limit holds.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type IPublishPacket, type Packet } from 'mqtt-packet';
import { brokerConnectWithinMs, brokerProbeEveryMs, closeWithinMs } from '../agent/bounds.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { eventually, publish, RawDevice, Rig, type RigOptions } from './support/rig.ts';
import { willTopic, withWill } from './support/wills.ts';

const settleMs = 60;
const five = { protocolVersion: 5 } as const;
const graceMs = 3_000;
const largeBytes = 700_000;
const connectOf = { cmd: 'connect', protocolId: 'MQTT', keepalive: 60, clean: true } as const;

let mosquitto: Mosquitto;
const servers: Server[] = [];
before(async () => {
  mosquitto = await startMosquitto();
});
after(() => mosquitto.stop());
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

function rigAt(broker: number, options: RigOptions = {}): Promise<Rig> {
  return Rig.start({ broker, routes: [{ local: false }], ...options });
}

/** @param answer to each chunk that a connection sends */
async function broker(answer: (chunk: Buffer, socket: Socket) => void): Promise<number> {
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => {});
    socket.on('data', (chunk) => answer(chunk, socket));
  });
  servers.push(server);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const connack = (version: 4 | 5) => {
  const accepted = { cmd: 'connack', sessionPresent: false, returnCode: 0, reasonCode: 0 } as const;
  return generate(accepted, { protocolVersion: version });
};

function isOf(chunk: Buffer, type: number): boolean {
  return (chunk[0] ?? 0) >> 4 === type;
}

async function subscribed(rig: Rig, clientId: string, topic: string): Promise<RawDevice> {
  const device = await rig.device(clientId);
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 0 }] });
  await device.until('suback');
  return device;
}

test('a large message of the broker passes whole, and so does what follows it', async () => {
  await using rig = await rigAt(mosquitto.port);
  const office = new RawDevice(connect(mosquitto.port, '127.0.0.1'));
  office.send({ ...connectOf, clientId: 'office' } as Packet);
  await office.until('connack');
  // Wherever it is cut, its bytes look like a PINGRESP, a PUBACK, the begin of a large SUBACK.
  const fillers = [[0x50], [0xd0, 0], [0x40, 2, 0, 7], [0x90, 0x90, 0x90, 0x1f]];
  for (const [index, filler] of fillers.entries()) {
    const topic = `commands/${index}`;
    const device = await subscribed(rig, `reader-${index}`, topic);
    const payload = Buffer.alloc(largeBytes, Buffer.from(filler));
    const rest = ['stop', 'the', 'press'];
    for (const each of [payload, ...rest]) {
      office.send({ ...publish(topic, '', 0, 0), payload: each } as Packet);
    }
    await device.until('publish', 1 + rest.length);
    const [large, ...others] = device.packets.filter(({ cmd }) => cmd === 'publish');
    assert.ok(payload.equals((large as IPublishPacket).payload as Buffer));
    assert.deepEqual(
      others.map((packet) => (packet as IPublishPacket).payload.toString()),
      rest,
    );
    device.send({ cmd: 'pingreq' });
    await device.until('pingresp');
  }
  office.socket.destroy();
});

test('a SUBACK that cannot be read costs that connection, and no other', async () => {
  // Too short for a Reason Code; properties longer than the packet.
  for (const body of [[], [0x7f, 1]]) {
    const port = await broker((chunk, socket) => {
      if (isOf(chunk, 1)) socket.write(connack(5));
      if (isOf(chunk, 8)) {
        const id = chunk.subarray(2, 4);
        socket.write(Buffer.from([0x90, 2 + body.length, ...id, ...body]));
      }
    });
    const maySubscribe = (_device: string, filter: string) => filter === 'mine';
    const access = { groupsFor: () => 0, mayPublish: () => true, maySubscribe };
    await using rig = await rigAt(port, { access });
    const [device, other] = [await rig.device('asks', five), await rig.device('other', five)];
    const subscriptions = ['mine', 'theirs'].map((topic) => ({ topic, qos: 0 }) as const);
    device.send({ cmd: 'subscribe', messageId: 3, subscriptions });
    await eventually('closed', () => device.ended);
    assert.deepEqual(
      device.packets.map((packet) => [packet.cmd, 'reasonCode' in packet && packet.reasonCode]),
      [
        ['connack', 0],
        ['disconnect', 0x80],
      ],
    );
    assert.equal(rig.events.filter(({ name }) => name === 'brokerFailed').length, 1);
    assert.equal(other.ended, false);
  }
});

test('a second CONNACK in the chunk of the first changes nothing of the connection', async () => {
  const port = await broker((chunk, socket) => {
    if (isOf(chunk, 1)) socket.write(Buffer.concat([connack(4), connack(4)]));
    if (isOf(chunk, 14)) socket.end();
  });
  await using rig = await rigAt(port);
  const device = await rig.device('twice', withWill(4));
  assert.equal(rig.events.filter(({ name }) => name === 'connectionOpened').length, 1);
  device.send({ cmd: 'disconnect' });
  await eventually('closed', () => rig.connections === 0);
  await eventually('no Will is left', () => rig.disk.sessions.length === 0);
  assert.deepEqual(rig.disk.frames(), []);
});

test('DISCONNECT behind held events, then a reset: no Will, and the broker hears it', async () => {
  const heard: number[] = [];
  const port = await broker((chunk, socket) => {
    heard.push((chunk[0] ?? 0) >> 4);
    if (isOf(chunk, 1)) socket.write(connack(4));
  });
  const limit = { per: 'device', bytesPerSecond: 0, burstBytes: 0, over: 'hold' } as const;
  const limits = [{ ...limit, messagesPerSecond: 0.1, burstMessages: 2 }];
  const routes = [
    { from: willTopic, local: false },
    { from: 'plant/#', local: false, limits },
  ];
  for (const [client, isNormal] of [
    ['peace', true],
    ['anger', false],
  ] as const) {
    heard.length = 0;
    await using rig = await rigAt(port, { routes });
    const device = await rig.device(client, withWill(4));
    const burst = [1, 2, 3, 4].map((id) => publish('plant/1', 'x', id));
    device.send(...burst, ...(isNormal ? [{ cmd: 'disconnect' } as Packet] : []));
    await device.until('puback', 2);
    await sleep(settleMs);
    device.socket.resetAndDestroy();
    await eventually('closed', () => rig.connections === 0);
    await eventually('no row is left', () => rig.disk.sessions.length === 0);
    const wills = rig.disk.frames().filter((frame) => frame.endsWith('gone'));
    assert.equal(wills.length, isNormal ? 0 : 1);
    assert.equal(heard.includes(14), isNormal);
  }
});

test('a connection that closes does not wait for ever for the broker’s answer', async () => {
  const port = await broker((chunk, socket) => isOf(chunk, 1) && socket.write(connack(4)));
  await using rig = await rigAt(port, { routes: [{ local: true }] });
  const device = await rig.device('half');
  device.publish('plant/1', 'x', 1);
  await eventually('on disk', () => rig.disk.segments.length > 0);
  device.socket.end();
  await eventually('closed', () => rig.connections === 0, closeWithinMs + graceMs);
  assert.deepEqual(device.acknowledged(), [], 'the broker never took its copy');
});

test('capture: a broker that takes connections and says nothing is not back', async () => {
  const silent = new Set<Socket>();
  let speaks = false;
  const port = await broker((chunk, socket) => {
    silent.add(socket);
    if (speaks && isOf(chunk, 1)) socket.write(connack(4));
  });
  await using rig = await rigAt(port, { whenBrokerDown: 'capture' });
  const device = await rig.socket();
  device.send({ ...connectOf, clientId: 'alone' } as Packet);
  await eventually('CONNACK', () => device.count('connack') === 1, brokerConnectWithinMs + graceMs);
  const before = silent.size;
  await eventually('asked', () => silent.size > before, brokerProbeEveryMs + graceMs);
  await sleep(settleMs);
  device.publish('plant/1', 'stored', 1);
  await device.until('puback');
  assert.equal(device.ended, false);
  speaks = true;
  await eventually('back', () => device.ended, brokerProbeEveryMs + graceMs);
});
