/**
 * A TCP proxy in front of a real Kafka, so that the demo can cut the way to it.
 *
 * Kafka tells its clients its own addresses, and a plain proxy would be left at once: so the
 * brokers in every Metadata response are rewritten to a gate of ours each. Nothing else is read or
 * changed.
 *   client ⇄ gate (127.0.0.1, one port a broker) ⇄ broker
 * `cut()` closes every gate's port and resets its connections; `restore()` opens the same ports.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { apiKeys, FrameCutter, WireReader, WireWriter } from './wire.ts';

const throttleFrom = 3;
const rackFrom = 1;
const flexibleFrom = 9;

interface Gate {
  readonly host: string;
  readonly targetPort: number;
  port: number;
  server: Server | null;
}

export class KafkaProxy {
  readonly #gates = new Map<string, Promise<Gate>>();
  readonly #sockets = new Set<Socket>();
  #cut = false;

  /** The port on 127.0.0.1 that leads to this broker. */
  async gateTo(host: string, targetPort: number): Promise<number> {
    const key = `${host}:${targetPort}`;
    let gate = this.#gates.get(key);
    if (gate === undefined) {
      gate = this.#listen({ host, targetPort, port: 0, server: null });
      this.#gates.set(key, gate);
    }
    return (await gate).port;
  }

  async cut(): Promise<void> {
    this.#cut = true;
    for (const opening of this.#gates.values()) {
      const gate = await opening;
      gate.server?.close();
      gate.server = null;
    }
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  async restore(): Promise<void> {
    this.#cut = false;
    for (const opening of this.#gates.values()) await this.#listen(await opening);
  }

  async #listen(gate: Gate): Promise<Gate> {
    if (this.#cut || gate.server !== null) return gate;
    const server = createServer((socket) => this.#join(socket, gate));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(gate.port, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address !== null && typeof address === 'object') gate.port = address.port;
    gate.server = server;
    return gate;
  }

  #join(client: Socket, gate: Gate): void {
    const broker = connect({ host: gate.host, port: gate.targetPort, noDelay: true });
    client.setNoDelay(true);
    for (const [socket, other] of [
      [client, broker],
      [broker, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    /** Version of each Metadata request on its way, by correlation id. */
    const metadata = new Map<number, number>();
    const requests = new FrameCutter();
    client.on('data', (chunk: Buffer) => {
      for (const frame of requests.push(chunk)) {
        if (frame.readInt16BE(0) === apiKeys.metadata) {
          metadata.set(frame.readInt32BE(4), frame.readInt16BE(2));
        }
      }
      broker.write(chunk);
    });
    const responses = new FrameCutter();
    let turn: Promise<void> = Promise.resolve();
    broker.on('data', (chunk: Buffer) => {
      for (const frame of responses.push(chunk)) {
        turn = turn.then(async () => {
          const version = metadata.get(frame.readInt32BE(0));
          metadata.delete(frame.readInt32BE(0));
          const passed = version === undefined ? frame : await this.#rewrite(frame, version);
          if (!client.destroyed) client.write(new WireWriter().raw(passed).frame());
        });
        turn.catch(() => client.destroy());
      }
    });
  }

  async #rewrite(frame: Buffer, version: number): Promise<Buffer> {
    const flexible = version >= flexibleFrom;
    const reader = new WireReader(frame);
    const writer = new WireWriter().i32(reader.i32());
    reader.tags(flexible);
    writer.tags(flexible);
    if (version >= throttleFrom) writer.i32(reader.i32());
    const brokers = reader.array(flexible);
    writer.array(brokers, flexible);
    for (let i = 0; i < brokers; i++) {
      writer.i32(reader.i32());
      const host = reader.string(flexible) ?? '';
      writer.string('127.0.0.1', flexible).i32(await this.gateTo(host, reader.i32()));
      if (version >= rackFrom) writer.string(reader.string(flexible), flexible);
      reader.tags(flexible);
      writer.tags(flexible);
    }
    return writer.raw(frame.subarray(reader.at)).bytes();
  }
}
