/**
 * MQTT over WebSocket as a listener serves it (section 6 of both standards): the subprotocol,
 * binary frames only, and packets that begin and end anywhere in them.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate } from 'mqtt-packet';
import { WebSocket } from 'ws';
import { eventually, publish, Rig } from './support/rig.ts';
import { connect, text } from './vectors/sequence.ts';

const ping = 'c000';
const pong = 'd000';

async function opened(
  rig: Rig,
  protocols: string[],
): Promise<{ socket: WebSocket; heard: string[] }> {
  const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/mqtt`, protocols);
  const heard: string[] = [];
  socket.on('message', (bytes: Buffer) => heard.push(bytes.toString('hex')));
  socket.on('error', () => {});
  await once(socket, 'open');
  return { socket, heard };
}

test('the subprotocol is mqtt, and who offers none is not served', async () => {
  await using rig = await Rig.start({ websocket: true });
  const { socket } = await opened(rig, ['other', 'mqtt']);
  assert.equal(socket.protocol, 'mqtt');
  socket.terminate();
  const { socket: none } = await opened(rig, []);
  await once(none, 'close');
});

test('packets begin and end anywhere in the frames', async () => {
  await using rig = await Rig.start({ websocket: true });
  const { socket, heard } = await opened(rig, ['mqtt']);
  const bytes = Buffer.from(connect(4, '02', text('frames')) + ping + ping, 'hex');
  for (const byte of bytes) socket.send(Buffer.of(byte));
  const all = `20020000${pong}${pong}`;
  await eventually('each answer', () => heard.join('') === all);
  socket.send(Buffer.from(ping + ping, 'hex'));
  await eventually('two packets of one frame', () => heard.join('') === `${all}${pong}${pong}`);
  socket.terminate();
});

test('a text frame ends the connection', async () => {
  await using rig = await Rig.start({ websocket: true });
  const { socket, heard } = await opened(rig, ['mqtt']);
  socket.send(Buffer.from(connect(4, '02', text('words')), 'hex'));
  await eventually('CONNACK', () => heard.length > 0);
  socket.send('PINGREQ');
  await once(socket, 'close');
  await eventually('nobody is left', () => rig.connections === 0);
});

test('while the disk stands still a WebSocket is not read on, and nothing is lost', async () => {
  await using rig = await Rig.start({ websocket: true, held: true });
  const socket = new WebSocket(`ws://127.0.0.1:${rig.port}/`, ['mqtt']);
  await once(socket, 'open');
  socket.send(Buffer.from(connect(4, '02', text('flood')), 'hex'));
  await once(socket, 'message');
  const packet = generate(publish('plant/1', 'x'.repeat(8_000), 0, 0));
  let sent = 0;
  for (let still = 0; still < 4; still = socket.bufferedAmount > packet.length ? still + 1 : 0) {
    assert.ok(sent < 8_000, 'far more than two commits and the sockets hold');
    for (let i = 0; i < 100; i++, sent++) socket.send(packet);
    await sleep(20);
  }
  const waiting = socket.bufferedAmount;
  await sleep(200);
  assert.equal(socket.bufferedAmount, waiting, 'nobody reads');
  rig.disk.held = false;
  rig.disk.release();
  await eventually('all of it is taken', () => rig.disk.frames().length === sent, 20_000);
  socket.close();
});
