/**
 * A stand-in for Kafka, for a demo that needs neither Kafka nor Java: one broker in this process
 * that speaks enough of the protocol for a producer (ApiVersions, Metadata, CreateTopics,
 * InitProducerId, Produce) and hands every record to the demo. The agent runs its real Kafka egress
 * against it, unchanged.
 *
 * It keeps what a producer may rely on: a batch whose CRC is wrong is refused, and a batch of an
 * idempotent producer that was taken before is confirmed again without being taken twice.
 * `cut()` is a real cut: the port closes, every connection is reset, until `restore()`.
 *
 * It stores nothing and knows no consumers: what it received stands in the demo's ledger.
 */
import { createServer, type Server, type Socket } from 'node:net';
import {
  apiKeys,
  decodeBatches,
  FrameCutter,
  WireReader,
  type WireRecord,
  WireWriter,
} from './wire.ts';

const partitions = 4;
const brokerId = 1;
const lowestProducerId = 1000n;

const errors = {
  none: 0,
  corruptMessage: 2,
  unsupportedVersion: 35,
  topicAlreadyExists: 36,
  outOfOrderSequence: 45,
} as const;

/** Only flexible versions, which every producer of the last years speaks. */
const versions = [
  { api: apiKeys.produce, least: 9, most: 11 },
  { api: apiKeys.metadata, least: 9, most: 12 },
  { api: apiKeys.apiVersions, least: 0, most: 4 },
  { api: apiKeys.createTopics, least: 5, most: 7 },
  { api: apiKeys.initProducerId, least: 2, most: 5 },
] as const;
const apiVersionsFlexibleFrom = 3;
const metadataTopicIdFrom = 10;
const metadataClusterOperationsUntil = 10;
const createTopicsIdFrom = 7;

export class StandInKafka {
  readonly #onRecord: (record: WireRecord) => void;
  readonly #sockets = new Set<Socket>();
  /** Next sequence expected, per producer id, epoch, topic and partition. */
  readonly #sequences = new Map<string, number>();
  readonly #offsets = new Map<string, bigint>();
  #server: Server | null = null;
  #producers = lowestProducerId;
  port = 0;

  constructor(onRecord: (record: WireRecord) => void) {
    this.#onRecord = onRecord;
  }

  async restore(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.port, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (address !== null && typeof address === 'object') this.port = address.port;
    this.#server = server;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    if (server === null) return;
    this.#server = null;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  #serve(socket: Socket): void {
    const cutter = new FrameCutter();
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of cutter.push(chunk)) {
          const answer = this.#answer(frame);
          if (answer !== null) socket.write(answer);
        }
      } catch {
        socket.destroy();
      }
    });
  }

  #answer(frame: Buffer): Buffer | null {
    const reader = new WireReader(frame);
    const [api, version, correlation] = [reader.i16(), reader.i16(), reader.i32()];
    reader.string(false);
    const known = versions.find((entry) => entry.api === api);
    const head = new WireWriter().i32(correlation);
    if (api === apiKeys.apiVersions) {
      const spoken = known !== undefined && version <= known.most;
      return this.#apiVersions(head, spoken ? version : 0, spoken);
    }
    if (known === undefined || version < known.least || version > known.most) {
      throw new RangeError(`stand-in: api ${api} version ${version} is not spoken`);
    }
    reader.tags(true);
    head.tags(true);
    if (api === apiKeys.metadata) return this.#metadata(head, reader, version);
    if (api === apiKeys.createTopics) return this.#createTopics(head, reader, version);
    if (api === apiKeys.initProducerId) return this.#initProducerId(head);
    return this.#produce(head, reader);
  }

  #apiVersions(head: WireWriter, version: number, spoken: boolean): Buffer {
    const flexible = version >= apiVersionsFlexibleFrom;
    head.i16(spoken ? errors.none : errors.unsupportedVersion).array(versions.length, flexible);
    for (const { api, least, most } of versions) head.i16(api).i16(least).i16(most).tags(flexible);
    if (version > 0) head.i32(0);
    return head.tags(flexible).frame();
  }

  #metadata(head: WireWriter, reader: WireReader, version: number): Buffer {
    const topics: string[] = [];
    for (let count = reader.array(true); count > 0; count--) {
      if (version >= metadataTopicIdFrom) reader.take(16);
      topics.push(reader.string(true) ?? '');
      reader.tags(true);
    }
    head.i32(0).array(1, true);
    head.i32(brokerId).string('127.0.0.1', true).i32(this.port).string(null, true).tags(true);
    head.string('tidegate-demo', true).i32(brokerId).array(topics.length, true);
    for (const topic of topics) {
      head.i16(errors.none).string(topic, true);
      if (version >= metadataTopicIdFrom) head.raw(topicId(topic));
      head.i8(0).array(partitions, true);
      for (let partition = 0; partition < partitions; partition++) {
        head.i16(errors.none).i32(partition).i32(brokerId).i32(0);
        head.array(1, true).i32(brokerId).array(1, true).i32(brokerId).array(0, true).tags(true);
      }
      head.i32(0).tags(true);
    }
    if (version <= metadataClusterOperationsUntil) head.i32(0);
    return head.tags(true).frame();
  }

  #createTopics(head: WireWriter, reader: WireReader, version: number): Buffer {
    const topics = reader.array(true);
    head.i32(0).array(topics, true);
    for (let t = 0; t < topics; t++) {
      const topic = reader.string(true) ?? '';
      reader.take(6);
      for (let assigned = reader.array(true); assigned > 0; assigned--) {
        reader.i32();
        reader.take(4 * reader.array(true));
        reader.tags(true);
      }
      for (let configs = reader.array(true); configs > 0; configs--) {
        reader.string(true);
        reader.string(true);
        reader.tags(true);
      }
      reader.tags(true);
      head.string(topic, true);
      if (version >= createTopicsIdFrom) head.raw(topicId(topic));
      head.i16(errors.topicAlreadyExists).string(null, true);
      head.i32(partitions).i16(1).array(0, true).tags(true);
    }
    return head.tags(true).frame();
  }

  #initProducerId(head: WireWriter): Buffer {
    this.#producers += 1n;
    return head.i32(0).i16(errors.none).i64(this.#producers).i16(0).tags(true).frame();
  }

  #produce(head: WireWriter, reader: WireReader): Buffer | null {
    reader.string(true);
    const acks = reader.i16();
    reader.i32();
    const topics = reader.array(true);
    head.array(topics, true);
    for (let t = 0; t < topics; t++) {
      const topic = reader.string(true) ?? '';
      const count = reader.array(true);
      head.string(topic, true).array(count, true);
      for (let p = 0; p < count; p++) {
        const partition = reader.i32();
        const taken = this.#take(`${topic}/${partition}`, reader.block(true) ?? Buffer.alloc(0));
        reader.tags(true);
        head.i32(partition).i16(taken.error).i64(taken.baseOffset).i64(-1n).i64(0n);
        head.array(0, true).string(null, true).tags(true);
      }
      reader.tags(true);
      head.tags(true);
    }
    return acks === 0 ? null : head.i32(0).tags(true).frame();
  }

  #take(partition: string, bytes: Buffer): { error: number; baseOffset: bigint } {
    const baseOffset = this.#offsets.get(partition) ?? 0n;
    for (const batch of decodeBatches(bytes)) {
      if (!batch.crcHolds) return { error: errors.corruptMessage, baseOffset: -1n };
      if (batch.producerId >= 0n) {
        const key = `${batch.producerId}/${batch.producerEpoch}/${partition}`;
        const expected = this.#sequences.get(key) ?? 0;
        if (batch.baseSequence < expected) continue;
        if (batch.baseSequence > expected)
          return { error: errors.outOfOrderSequence, baseOffset: -1n };
        this.#sequences.set(key, expected + batch.records.length);
      }
      for (const record of batch.records) this.#onRecord(record);
      const offset = this.#offsets.get(partition) ?? 0n;
      this.#offsets.set(partition, offset + BigInt(batch.records.length));
    }
    return { error: errors.none, baseOffset };
  }
}

/** A stable identifier of a topic: its name's first bytes, padded. */
function topicId(topic: string): Buffer {
  const id = Buffer.alloc(16, 0x2e);
  id.write(topic, 0, 'latin1');
  return id;
}
