/**
 * One MQTT client of a conversation, over a real socket: it keeps every packet it hears, and
 * acknowledges as a client should unless told to keep its tongue.
 */
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  generate,
  type IConnackPacket,
  type IConnectPacket,
  type IPublishPacket,
  type ISubackPacket,
  type ISubscribePacket,
  type ISubscription,
  type Packet,
  parser,
} from 'mqtt-packet';
import { eventually } from './rig.ts';

export type Version = 4 | 5;
export type Asked = Partial<IConnectPacket>;
type Message = Partial<IPublishPacket>;
type Asks = Partial<ISubscription> & Pick<ISubscribePacket, 'properties'>;

export class Party {
  readonly packets: Packet[] = [];
  /** False: what is delivered stays without an answer. */
  acknowledges = true;
  ended = false;
  readonly #socket: Socket;
  readonly #version: Version;
  #identifier = 0;

  private constructor(socket: Socket, version: Version) {
    this.#socket = socket;
    this.#version = version;
    const parse = parser({ protocolVersion: version });
    parse.on('packet', (packet: Packet) => this.#hears(packet));
    const ended = (): void => {
      this.ended = true;
    };
    socket.on('data', (chunk: Buffer) => parse.parse(chunk));
    socket.on('error', ended).on('close', ended).on('end', ended);
  }

  /** Sends its CONNECT and waits for what comes of it. */
  static async of(port: number, version: Version, asked: Asked): Promise<Party> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
    await once(socket, 'connect');
    const party = new Party(socket, version);
    const defaults = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: version } as const;
    party.say({ ...defaults, keepalive: 60, clean: true, clientId: '', ...asked });
    await eventually('CONNACK or the close', () => party.ended || party.packets.length > 0);
    return party;
  }

  #hears(packet: Packet): void {
    this.packets.push(packet);
    if (!this.acknowledges) return;
    const messageId = packet.messageId ?? 0;
    if (packet.cmd === 'publish' && packet.qos === 1) this.say({ cmd: 'puback', messageId });
    if (packet.cmd === 'publish' && packet.qos === 2) this.say({ cmd: 'pubrec', messageId });
    if (packet.cmd === 'pubrel') this.say({ cmd: 'pubcomp', messageId });
    if (packet.cmd === 'pubrec' && !((packet.reasonCode ?? 0) >= 0x80)) {
      this.say({ cmd: 'pubrel', messageId });
    }
  }

  say(...packets: Packet[]): void {
    const bytes = packets.map((packet) => generate(packet, { protocolVersion: this.#version }));
    this.#socket.write(Buffer.concat(bytes));
  }

  raw(hex: string): void {
    this.#socket.write(Buffer.from(hex, 'hex'));
  }

  heard<Command extends Packet['cmd']>(cmd: Command): Extract<Packet, { cmd: Command }>[] {
    return this.packets.filter((packet) => packet.cmd === cmd) as never;
  }

  async until<Command extends Packet['cmd']>(
    cmd: Command,
    times = 1,
    withinMs = 5_000,
  ): Promise<Extract<Packet, { cmd: Command }>> {
    await eventually(`${times} × ${cmd}`, () => this.heard(cmd).length >= times, withinMs);
    return this.heard(cmd)[times - 1] as Extract<Packet, { cmd: Command }>;
  }

  get connack(): IConnackPacket {
    return this.heard('connack')[0] as IConnackPacket;
  }

  /** `topic payload qos` of each message that came, in order. */
  get messages(): string[] {
    return this.heard('publish').map(({ topic, payload, qos }) => `${topic} ${payload} ${qos}`);
  }

  /** The messages, once there are so many and no more come. */
  async gets(count: number, quietMs = 120): Promise<string[]> {
    await this.until('publish', count);
    await sleep(quietMs);
    return this.messages;
  }

  /** Sends it and waits for the last of its acknowledgements. */
  async publish(topic: string, payload: string, qos: 0 | 1 | 2, more: Message = {}) {
    this.#identifier += 1;
    const messageId = this.#identifier;
    const [puback, pubcomp] = [this.heard('puback').length, this.heard('pubcomp').length];
    this.say({
      cmd: 'publish',
      topic,
      payload,
      qos,
      messageId,
      dup: false,
      retain: false,
      ...more,
    });
    if (qos === 1) return await this.until('puback', puback + 1);
    return qos === 2 ? await this.until('pubcomp', pubcomp + 1) : null;
  }

  async subscribe(topic: string, qos: 0 | 1 | 2, more: Asks = {}): Promise<ISubackPacket> {
    const { properties, ...options } = more;
    this.#identifier += 1;
    const times = this.heard('suback').length + 1;
    this.say({
      cmd: 'subscribe',
      messageId: this.#identifier,
      subscriptions: [{ topic, qos, nl: false, rap: false, rh: 0, ...options } as ISubscription],
      ...(properties === undefined ? {} : { properties }),
    } as Packet);
    return await this.until('suback', times);
  }

  async unsubscribe(topic: string): Promise<void> {
    this.#identifier += 1;
    this.say({ cmd: 'unsubscribe', messageId: this.#identifier, unsubscriptions: [topic] });
    await this.until('unsuback', this.heard('unsuback').length + 1);
  }

  async disconnect(more: object = {}): Promise<void> {
    this.say({ cmd: 'disconnect', ...more } as Packet);
    await this.closed();
  }

  /** Gone, without a word. */
  async drop(): Promise<void> {
    this.#socket.destroy();
    await sleep(30);
  }

  async closed(withinMs = 5_000): Promise<void> {
    await eventually('the close', () => this.ended, withinMs);
  }
}
