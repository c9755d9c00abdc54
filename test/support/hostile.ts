/**
 * Connections that mean harm, or are broken: what they send, and how long the server keeps them.
 * The list of cases is the promise: each is refused by ending its connection, none by an answer.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AckScanner,
  connectPacket,
  packet,
  packetTypes,
  publishPacket,
  text,
  u16,
} from './packets.ts';

export interface Case {
  readonly name: string;
  readonly bytes: Buffer;
  /** Version of the CONNECT that comes first; null: nothing comes first. */
  readonly version: 4 | 5 | null;
}

const topicName = 'plant/line-0/hostile/telemetry';
/** Remaining Length 268,435,455: the largest that the standard can say [MQTT 2.2.3]. */
const largest = Buffer.from([0xff, 0xff, 0xff, 0x7f]);
const overMaxPacketBytes = 300 * 1024;

function publishWith(name: string | Buffer, firstByte = 0x32, identifier = 1): Buffer {
  return packet(firstByte, text(name), u16(identifier), Buffer.from('x'));
}

function connectWith(flags: number, protocol = 'MQTT', version = 4): Buffer {
  const head = [text(protocol), Buffer.from([version, flags]), u16(60), text('odd')];
  const will = (flags & 4) === 0 ? [] : [text('will/topic'), text('gone')];
  return packet(0x10, ...head, ...will);
}

/** Version 5 PUBLISH with these property bytes. */
function publish5(...properties: number[]): Buffer {
  const block = Buffer.from([properties.length, ...properties]);
  return packet(0x32, text(topicName), u16(1), block, Buffer.from('x'));
}

export const announces256MiB = Buffer.concat([Buffer.from([0x32]), largest]);
export const connectOf256MiB = Buffer.concat([Buffer.from([0x10]), largest, text('MQTT')]);

const afterConnect: readonly (readonly [string, Buffer])[] = [
  ['a Topic Name with NUL', publishWith('plant/line-0/a\0b/telemetry')],
  ['a Topic Name with +', publishWith('plant/+/a/telemetry')],
  ['a Topic Name with #', publishWith('plant/#')],
  ['an empty Topic Name', publishWith('')],
  ['a Topic Name that is not UTF-8', publishWith(Buffer.from([0x70, 0xc3, 0x28]))],
  ['a Topic Name with a surrogate', publishWith(Buffer.from([0xed, 0xa0, 0x80]))],
  ['a Topic Name longer than its packet', Buffer.from([0x32, 4, 0xff, 0xff, 0x61, 0x62])],
  ['a PUBLISH of QoS 3', publishWith(topicName, 0x36)],
  ['a PUBLISH of QoS 0 with DUP', packet(0x38, text(topicName), Buffer.from('x'))],
  ['Packet Identifier 0', publishWith(topicName, 0x32, 0)],
  ['a PUBLISH without its Packet Identifier', packet(0x32, text(topicName))],
  ['a Remaining Length of five bytes', Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0x01])],
  ['a Remaining Length of 256 MiB', announces256MiB],
  [
    'a packet above maxPacketSize',
    publishPacket({ topicName, payload: Buffer.alloc(overMaxPacketBytes) }),
  ],
  ['the reserved packet type 0', Buffer.from([0x00, 0x00])],
  ['a second CONNECT', connectPacket({ clientId: 'twice' })],
  ['a CONNACK from a device', Buffer.from([0x20, 2, 0, 0])],
  ['SUBSCRIBE with wrong flags', packet(0x80, u16(1), text('a/b'), Buffer.from([0]))],
  ['SUBSCRIBE without a Topic Filter', packet(0x82, u16(1))],
  ['SUBSCRIBE with the Topic Filter a/+b', packet(0x82, u16(1), text('a/+b'), Buffer.from([0]))],
  ['SUBSCRIBE with the Topic Filter a#', packet(0x82, u16(1), text('a#'), Buffer.from([0]))],
  ['SUBSCRIBE of QoS 3', packet(0x82, u16(1), text('a/b'), Buffer.from([3]))],
  ['PUBREL with wrong flags', Buffer.from([0x60, 2, 0, 1])],
];

const beforeConnect: readonly (readonly [string, Buffer])[] = [
  ['a PUBLISH before CONNECT', publishPacket({ topicName, payload: 'x' })],
  ['a CONNECT of 256 MiB', connectOf256MiB],
  ['a CONNECT of another protocol', connectWith(2, 'HTTP')],
  ['a CONNECT with the reserved flag', connectWith(3)],
  ['a CONNECT with Will QoS 3', connectWith(0x1e)],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n')],
  ['a TLS ClientHello', Buffer.from('16030100c8010000c40303', 'hex')],
];

export const cases: readonly Case[] = [
  ...beforeConnect.map(([name, bytes]) => ({ name, bytes, version: null })),
  ...afterConnect.map(([name, bytes]) => ({ name, bytes, version: 4 as const })),
];

/** Topic Alias 0 [MQTT-3.3.2-8], a property twice, an unknown one, one cut short. */
export const version5Cases: readonly Case[] = [
  ['Topic Alias 0', publish5(0x23, 0, 0)],
  ['Payload Format Indicator twice', publish5(0x01, 0, 0x01, 0)],
  ['an unknown property', publish5(0x7f, 0)],
  ['a property cut short', publish5(0x02, 0, 0)],
].map(([name, bytes]) => ({ name: name as string, bytes: bytes as Buffer, version: 5 as const }));

export interface Ending {
  readonly closed: boolean;
  readonly afterMs: number;
  readonly connack: boolean;
  readonly pubacks: number;
}

/** Opens, sends the case, and waits for the server to end it, at most `withinMs`. */
export async function tryCase(
  port: number,
  { bytes, version }: Case,
  withinMs: number,
): Promise<Ending> {
  const first = version === null ? bytes : connectPacket({ clientId: 'hostile', version });
  return await watch(port, withinMs, (socket, connacked) => {
    socket.write(first);
    if (version !== null) void connacked.then(() => socket.write(bytes));
  });
}

/** One byte of `bytes` a second. */
export async function dribble(
  port: number,
  head: Buffer,
  slow: Buffer,
  withinMs: number,
): Promise<Ending> {
  return await watch(port, withinMs, async (socket) => {
    if (head.length > 0) socket.write(head);
    for (const byte of slow) {
      if (socket.destroyed) return;
      socket.write(Buffer.from([byte]));
      await sleep(1_000, undefined, { ref: false });
    }
  });
}

export async function silent(port: number, withinMs: number): Promise<Ending> {
  return await watch(port, withinMs, () => undefined);
}

async function watch(
  port: number,
  withinMs: number,
  act: (socket: Socket, connacked: Promise<void>) => unknown,
): Promise<Ending> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  const scanner = new AckScanner();
  const began = performance.now();
  let connack = false;
  let pubacks = 0;
  const ended = Promise.withResolvers<boolean>();
  const connacked = Promise.withResolvers<void>();
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    scanner.push(chunk, (type) => {
      if (type === packetTypes.puback) pubacks += 1;
      if (type !== packetTypes.connack) return;
      connack = true;
      connacked.resolve();
    });
  });
  socket.on('close', () => ended.resolve(true));
  socket.on('connect', () => act(socket, connacked.promise));
  const late = setTimeout(() => ended.resolve(false), withinMs);
  const closed = await ended.promise;
  clearTimeout(late);
  const afterMs = performance.now() - began;
  socket.destroy();
  return { closed, afterMs, connack, pubacks };
}
