/**
 * Reads a Kafka topic from where it ends when the demo begins, straight from the brokers and not
 * through the proxy that is cut: the ledger's witness when there is a real Kafka.
 *
 * One loop a partition, each with its own connection; an error costs that loop a new connection
 * and fresh metadata. A topic that does not exist yet is read from its beginning once it does.
 * Only versions are used that every broker since 1.0 speaks (Metadata 4, ListOffsets 1, Fetch 4).
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { TidegateError } from '../../errors.ts';
import {
  apiKeys,
  decodeBatches,
  FrameCutter,
  WireReader,
  type WireRecord,
  WireWriter,
} from './wire.ts';

const metadataVersion = 4;
const listOffsetsVersion = 1;
const fetchVersion = 4;
const latest = -1n;
const fetchWaitMs = 200;
const fetchBytesMax = 4 * 1024 * 1024;
const againMs = 200;
const connectWithinMs = 5_000;

interface Address {
  readonly host: string;
  readonly port: number;
}

class Connection {
  readonly #socket: Socket;
  readonly #cutter = new FrameCutter();
  #waiting: { resolve: (frame: Buffer) => void; reject: (error: Error) => void } | null = null;
  #correlation = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setTimeout(0);
    socket.on('data', (chunk: Buffer) => {
      for (const frame of this.#cutter.push(chunk)) this.#waiting?.resolve(frame);
    });
    const failed = () => this.#waiting?.reject(new Error('connection closed'));
    socket.on('error', failed);
    socket.on('close', failed);
  }

  static async open(address: Address): Promise<Connection> {
    const socket = connect({ ...address, noDelay: true });
    socket.setTimeout(connectWithinMs, () => socket.destroy(new Error('connect timed out')));
    await once(socket, 'connect');
    return new Connection(socket);
  }

  /** One request at a time; the reader stands behind the correlation id. */
  async request(api: number, version: number, body: Buffer): Promise<WireReader> {
    const head = new WireWriter()
      .i16(api)
      .i16(version)
      .i32(++this.#correlation);
    const answer = new Promise<Buffer>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    this.#socket.write(head.string('tidegate-demo', false).raw(body).frame());
    return new WireReader(await answer, 4);
  }

  close(): void {
    this.#socket.destroy();
  }
}

export class ReadBack {
  readonly #bootstrap: Address;
  readonly #topic: string;
  readonly #onRecord: (record: WireRecord) => void;
  readonly #following = new Set<number>();
  #closed = false;

  constructor(bootstrap: Address, topic: string, onRecord: (record: WireRecord) => void) {
    this.#bootstrap = bootstrap;
    this.#topic = topic;
    this.#onRecord = onRecord;
  }

  /** Resolves when the place to begin at is known for every partition there is. */
  async open(): Promise<void> {
    const leaders = await this.#leaders().catch((error: unknown) => {
      const { host, port } = this.#bootstrap;
      throw new TidegateError('upstreamUnreachable', `Kafka at ${host}:${port}`, { cause: error });
    });
    for (const [partition, leader] of leaders) {
      const connection = await Connection.open(leader);
      const offset = await this.#end(connection, partition);
      connection.close();
      this.#follow(partition, offset);
    }
    void this.#watchForPartitions();
  }

  close(): void {
    this.#closed = true;
  }

  async #watchForPartitions(): Promise<void> {
    while (!this.#closed) {
      await sleep(againMs);
      const leaders = await this.#leaders().catch(() => new Map<number, Address>());
      for (const partition of leaders.keys()) this.#follow(partition, 0n);
      if (this.#following.size > 0) return;
    }
  }

  #follow(partition: number, from: bigint): void {
    if (this.#following.has(partition)) return;
    this.#following.add(partition);
    void this.#loop(partition, from);
  }

  async #loop(partition: number, from: bigint): Promise<void> {
    let offset = from;
    while (!this.#closed) {
      let connection: Connection | null = null;
      try {
        const leader = (await this.#leaders()).get(partition);
        if (leader === undefined) throw new Error('no leader');
        connection = await Connection.open(leader);
        while (!this.#closed) offset = await this.#fetch(connection, partition, offset);
      } catch {
        await sleep(againMs);
      } finally {
        connection?.close();
      }
    }
  }

  async #leaders(): Promise<Map<number, Address>> {
    const connection = await Connection.open(this.#bootstrap);
    try {
      const ask = new WireWriter().i32(1).string(this.#topic, false).i8(0).bytes();
      const reader = await connection.request(apiKeys.metadata, metadataVersion, ask);
      reader.i32();
      const brokers = new Map<number, Address>();
      for (let count = reader.i32(); count > 0; count--) {
        const id = reader.i32();
        brokers.set(id, { host: reader.string(false) ?? '', port: reader.i32() });
        reader.string(false);
      }
      reader.string(false);
      reader.i32();
      const leaders = new Map<number, Address>();
      if (reader.i32() !== 1 || reader.i16() !== 0) return leaders;
      reader.string(false);
      reader.i8();
      for (let count = reader.i32(); count > 0; count--) {
        reader.i16();
        const partition = reader.i32();
        const leader = brokers.get(reader.i32());
        if (leader !== undefined) leaders.set(partition, leader);
        for (let lists = 2; lists > 0; lists--) reader.take(reader.i32() * 4);
      }
      return leaders;
    } finally {
      connection.close();
    }
  }

  async #end(connection: Connection, partition: number): Promise<bigint> {
    const ask = new WireWriter().i32(-1).i32(1).string(this.#topic, false);
    const body = ask.i32(1).i32(partition).i64(latest).bytes();
    const reader = await connection.request(apiKeys.listOffsets, listOffsetsVersion, body);
    reader.i32();
    reader.string(false);
    reader.i32();
    reader.i32();
    const error = reader.i16();
    if (error !== 0) throw new TidegateError('upstreamRejected', `ListOffsets: error ${error}`);
    reader.i64();
    return reader.i64();
  }

  async #fetch(connection: Connection, partition: number, offset: bigint): Promise<bigint> {
    const ask = new WireWriter().i32(-1).i32(fetchWaitMs).i32(1).i32(fetchBytesMax).i8(0);
    ask.i32(1).string(this.#topic, false).i32(1);
    const body = ask.i32(partition).i64(offset).i32(fetchBytesMax).bytes();
    const reader = await connection.request(apiKeys.fetch, fetchVersion, body);
    reader.i32();
    reader.i32();
    reader.string(false);
    reader.i32();
    reader.i32();
    if (reader.i16() !== 0) throw new Error('fetch refused');
    reader.i64();
    reader.i64();
    for (let aborted = reader.i32(); aborted > 0; aborted--) reader.take(16);
    let next = offset;
    for (const batch of decodeBatches(reader.block(false) ?? Buffer.alloc(0))) {
      batch.records.forEach((record, index) => {
        if (batch.baseOffset + BigInt(index) >= next) this.#onRecord(record);
      });
      const end = batch.baseOffset + BigInt(batch.lastOffsetDelta) + 1n;
      if (end > next) next = end;
    }
    return next;
  }
}
