/**
 * The far side of an MQTT connection: a server whose every answer a test decides, of either
 * version, and a wire to a real one that can be cut.
 */
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import mqttPacket, { type Packet } from 'mqtt-packet';

export interface Heard {
  readonly packet: Packet;
  /** From 1; each network connection is one more. */
  readonly connection: number;
}

export type Answer = (heard: Heard, say: (packet: Packet) => void, socket: Socket) => void;

/** CONNACK as told, and to each packet after it the answer that the test gives. */
export class FarServer {
  readonly heard: Heard[] = [];
  connack: Partial<Extract<Packet, { cmd: 'connack' }>> = {};
  connections = 0;
  /** To the connection that came last. */
  say: (packet: Packet) => void = () => {};
  readonly #server = createServer({ noDelay: true }, (socket) => this.#serve(socket));
  readonly #sockets = new Set<Socket>();
  readonly #answer: Answer;

  constructor(answer: Answer) {
    this.#answer = answer;
  }

  async listen(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return (this.#server.address() as AddressInfo).port;
  }

  of<C extends Packet['cmd']>(cmd: C): (Heard & { packet: Extract<Packet, { cmd: C }> })[] {
    return this.heard.filter(({ packet }) => packet.cmd === cmd) as never;
  }

  /** Payloads of PUBLISH, of all connections or of one. */
  values(connection?: number): string[] {
    return this.of('publish')
      .filter((heard) => connection === undefined || heard.connection === connection)
      .map(({ packet }) => String(packet.payload));
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((done) => this.#server.close(done));
  }

  #serve(socket: Socket): void {
    this.connections += 1;
    const connection = this.connections;
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => this.#sockets.delete(socket));
    const options = { protocolVersion: 5 };
    const parser = mqttPacket.parser(options);
    const say = (packet: Packet) => {
      if (socket.writable) socket.write(mqttPacket.generate(packet, options));
    };
    this.say = say;
    socket.on('data', (chunk) => parser.parse(chunk));
    parser.on('packet', (packet) => {
      const heard = { packet, connection };
      this.heard.push(heard);
      if (packet.cmd === 'connect') {
        options.protocolVersion = packet.protocolVersion ?? 4;
        const accepted = {
          cmd: 'connack',
          reasonCode: 0,
          returnCode: 0,
          sessionPresent: false,
        } as const;
        say({ ...accepted, ...this.connack });
      } else this.#answer(heard, say, socket);
    });
  }
}

/** Takes everything at once, as the standard says. */
export const takes: Answer = ({ packet }, say) => {
  const { messageId = 0 } = packet;
  if (packet.cmd === 'pingreq') say({ cmd: 'pingresp' });
  if (packet.cmd === 'pubrel') say({ cmd: 'pubcomp', messageId });
  if (packet.cmd !== 'publish') return;
  if (packet.qos === 1) say({ cmd: 'puback', messageId });
  if (packet.qos === 2) say({ cmd: 'pubrec', messageId });
};

/** A wire to a server that can be cut at any time; the server lives on. */
export class Wire {
  readonly #server;
  readonly #ends = new Set<Duplex>();
  cuts = 0;
  /** False: who comes is sent away. */
  isOpen = true;

  constructor(port: number) {
    this.#server = createServer({ noDelay: true }, (near) => {
      near.on('error', () => undefined);
      if (!this.isOpen) {
        near.destroy();
        return;
      }
      const far = connectTcp({ host: '127.0.0.1', port, noDelay: true });
      for (const end of [near, far]) {
        this.#ends.add(end);
        end.on('error', () => undefined);
        end.on('close', () => this.cut());
      }
      near.pipe(far).pipe(near);
    });
  }

  async listen(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, '127.0.0.1', done));
    return (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    if (this.#ends.size > 0) this.cuts += 1;
    for (const end of this.#ends) end.destroy();
    this.#ends.clear();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
