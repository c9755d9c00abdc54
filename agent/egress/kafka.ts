/**
 * The Kafka client: connections, versions, metadata, producer id, and one Produce request at a time
 * as the partition queues ask for it. The only file that imports @platformatic/kafka, and it takes
 * the library's lower layers (connections, wire formats, compression), not its producer: sequences,
 * retries and error classes are kafka-upstream.ts's, where a batch can be kept under one sequence
 * until it is answered.
 *
 * Three sets of connections, because a broker answers the requests of one connection in order:
 * `control` (metadata, producer id), `first` (first attempts) and `again` (repeats of batches that
 * were not answered well, so that a partition that stalls does not hold the answers of others).
 *
 * A request that is not answered in time ends its connection (the library destroys the socket):
 * a late answer can never be taken for the next one's.
 */

import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import {
  type API,
  apiVersionsV3,
  type Broker,
  type Connection,
  ConnectionPool,
  compressionsAlgorithms,
  crc32c,
  createTopicsV5,
  createTopicsV6,
  createTopicsV7,
  initProducerIdV3,
  initProducerIdV4,
  initProducerIdV5,
  metadataV9,
  metadataV10,
  metadataV11,
  metadataV12,
  produceV9,
  produceV10,
  produceV11,
  type Reader,
  Writer,
} from '@platformatic/kafka';
import { kafkaConnectTimeoutMs, kafkaRequestTimeoutMs } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { BatchCodec, ProducerIdentity } from './kafka-batch.ts';
import { classify } from './kafka-errors.ts';

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
export type Urgency = 'first' | 'again';

export interface KafkaClientOptions {
  readonly brokers: readonly Broker[];
  readonly clientId: string;
  readonly requestTimeoutMs?: number;
}

export interface TopicAnswer {
  readonly name: string;
  readonly id: string;
  readonly errorCode: number;
  /** Broker that leads each partition, by index; −1: none now. */
  readonly leaders: readonly number[];
}

export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly wire: Uint8Array;
}

export interface PartitionAnswer {
  readonly errorCode: number;
  readonly detail: string | null;
}

const produceKey = 0;
const acksAll = -1;
/** The broker gives up on the in-sync replicas before we give up on the broker. */
const replicaTimeoutShare = 0.7;
const requestsInFlight = 16;
const createTimeoutMs = 10_000;
const brokerDefault = -1;
const zstdLevel = 1;
const noTransactionTimeoutMs = 0;

const produceVersions = { 9: produceV9, 10: produceV10, 11: produceV11 };
const metadataVersions = { 9: metadataV9, 10: metadataV10, 11: metadataV11, 12: metadataV12 };
const producerVersions = { 3: initProducerIdV3, 4: initProducerIdV4, 5: initProducerIdV5 };
const createVersions = { 5: createTopicsV5, 6: createTopicsV6, 7: createTopicsV7 };

interface Versions {
  readonly produce: (typeof produceVersions)[keyof typeof produceVersions];
  readonly metadata: (typeof metadataVersions)[keyof typeof metadataVersions];
  readonly producer: (typeof producerVersions)[keyof typeof producerVersions];
  readonly create: (typeof createVersions)[keyof typeof createVersions];
}

/** An error answer still carries the whole response: read that instead. */
function answerIn<T>(error: unknown): T {
  const response = (error as { response?: T } | null)?.response;
  if (response === undefined) throw error;
  return response;
}

interface LibraryError {
  readonly cause?: unknown;
  readonly errors?: unknown[];
  /** The broker answered, with this error code. */
  readonly apiCode?: unknown;
}

function unreachable(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  let deepest: unknown = error;
  for (let depth = 0; depth < 8; depth++) {
    const { cause, errors, apiCode } = deepest as LibraryError;
    if (typeof apiCode === 'number') return classify(apiCode, 'Kafka', messageOf(deepest)).error;
    const next = cause ?? errors?.at(-1);
    if (next === undefined) break;
    deepest = next;
  }
  const sentence = messageOf(error);
  const reason = messageOf(deepest);
  const detail = sentence === reason ? sentence : `${sentence} ${reason}`;
  if ((error as { code?: string }).code === 'PLT_KFK_AUTHENTICATION') {
    return new TidegateError('upstreamUnauthorized', detail, { cause: error });
  }
  return new TidegateError('upstreamUnreachable', detail, { cause: error });
}

/** How a batch's records are packed. Levels: what leaves a gateway is written once, so speed. */
export function codecOf(compression: Compression): BatchCodec {
  const { bitmask, compressSync } = compressionsAlgorithms[compression];
  const checksum = (bytes: Uint8Array) => crc32c(bytes as Buffer);
  const smaller = (pack: (records: Uint8Array) => Uint8Array) => (records: Uint8Array) => {
    const packed = pack(records);
    return packed.length < records.length ? packed : null;
  };
  const zstd = { params: { [constants.ZSTD_c_compressionLevel]: zstdLevel } };
  const compress: Record<Compression, BatchCodec['compress']> = {
    none: () => null,
    gzip: smaller((records) => gzipSync(records, { level: constants.Z_BEST_SPEED })),
    snappy: smaller((records) => compressSync(records as Buffer)),
    lz4: smaller((records) => compressSync(records as Buffer)),
    zstd: smaller((records) => zstdCompressSync(records, zstd)),
  };
  return { bits: bitmask, compress: compress[compression], crc32c: checksum };
}

export class KafkaClient {
  readonly #options: KafkaClientOptions;
  readonly #control: ConnectionPool;
  readonly #produce: Readonly<Record<Urgency, ConnectionPool>>;
  readonly #replicaTimeoutMs: number;
  #versions: Versions | null = null;
  #brokers = new Map<number, Broker>();

  constructor(options: KafkaClientOptions) {
    this.#options = options;
    const requestTimeout = options.requestTimeoutMs ?? kafkaRequestTimeoutMs;
    this.#replicaTimeoutMs = Math.floor(requestTimeout * replicaTimeoutShare);
    const connectionOptions = {
      connectTimeout: kafkaConnectTimeoutMs,
      requestTimeout,
      maxInflights: requestsInFlight,
    };
    const pool = () => {
      const made = new ConnectionPool(options.clientId, connectionOptions);
      made.on('failed', () => {});
      return made;
    };
    this.#control = pool();
    this.#produce = { first: pool(), again: pool() };
  }

  /** @throws TidegateError upstreamUnreachable, upstreamUnauthorized */
  async connect(): Promise<void> {
    await this.topics([]);
  }

  async #controlConnection(): Promise<Connection> {
    const known = [...this.#options.brokers, ...this.#brokers.values()];
    try {
      return await this.#control.getFirstAvailable(known);
    } catch (error) {
      throw unreachable(error);
    }
  }

  async #negotiated(connection: Connection): Promise<Versions> {
    if (this.#versions !== null) return this.#versions;
    const { apiKeys } = await apiVersionsV3.api.async(connection, 'tidegate', '0');
    const newest = <T extends object>(name: string, known: T): T[keyof T] => {
      const offered = apiKeys.find((api) => api.name === name);
      const fits = Object.keys(known)
        .map(Number)
        .filter((v) => offered !== undefined && v >= offered.minVersion && v <= offered.maxVersion);
      if (fits.length === 0) {
        const detail = `the broker speaks no version of ${name} that this agent knows`;
        throw new TidegateError('upstreamRejected', `${detail} (Kafka 2.4 or later is needed)`);
      }
      return known[Math.max(...fits) as keyof T];
    };
    this.#versions = {
      produce: newest('Produce', produceVersions),
      metadata: newest('Metadata', metadataVersions),
      producer: newest('InitProducerId', producerVersions),
      // Asked for only where topics are created: a broker may offer it to administrators alone.
      get create() {
        return newest('CreateTopics', createVersions);
      },
    };
    return this.#versions;
  }

  /** One control request on any broker. */
  async #ask<T>(send: (connection: Connection, versions: Versions) => Promise<T>): Promise<T> {
    const connection = await this.#controlConnection();
    try {
      return await send(connection, await this.#negotiated(connection));
    } catch (error) {
      throw unreachable(error);
    }
  }

  /** Leaders of these topics, an error code each where there are none; learns the brokers too. */
  async topics(names: readonly string[]): Promise<TopicAnswer[]> {
    const response = await this.#ask(async (connection, { metadata }) => {
      const api = metadata.api as API<[string[], boolean, boolean], MetadataAnswer>;
      return await api
        .async(connection, [...names], false, false)
        .catch((error: unknown) => answerIn<MetadataAnswer>(error));
    });
    const brokers = response.brokers.map(({ nodeId, host, port }) => [nodeId, { host, port }]);
    this.#brokers = new Map(brokers as [number, Broker][]);
    return response.topics.map((topic) => {
      const leaders: number[] = [];
      for (const one of topic.partitions) leaders[one.partitionIndex] = one.leaderId;
      const { errorCode, topicId: id } = topic;
      return {
        name: topic.name ?? '',
        id,
        errorCode,
        leaders: Array.from(leaders, (l) => l ?? -1),
      };
    });
  }

  /** With the broker's own default of partitions and replicas. @returns error codes by name */
  async createTopics(names: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const topics = names.map((name) => ({
      name,
      numPartitions: brokerDefault,
      replicationFactor: brokerDefault,
      assignments: [],
      configs: [],
    }));
    const response = await this.#ask(async (connection, { create }) => {
      const api = create.api as API<[typeof topics, number, boolean], CreateAnswer>;
      return await api
        .async(connection, topics, createTimeoutMs, false)
        .catch((error: unknown) => answerIn<CreateAnswer>(error));
    });
    return new Map(response.topics.map(({ name, errorCode }) => [name, errorCode]));
  }

  async identity(): Promise<ProducerIdentity> {
    const response = await this.#ask(async (connection, { producer }) => {
      const api = producer.api as API<[null, number, bigint, number], IdentityAnswer>;
      return await api.async(connection, null, noTransactionTimeoutMs, -1n, -1);
    });
    return { producerId: response.producerId, epoch: response.producerEpoch };
  }

  /**
   * One Produce request, `acks=all`. Resolves with one answer per batch, in their order.
   * @throws TidegateError upstreamUnreachable: nothing is known of any of them
   */
  async produce(
    broker: number,
    batches: readonly PartitionBatch[],
    urgency: Urgency,
  ): Promise<PartitionAnswer[]> {
    const address = this.#brokers.get(broker);
    const versions = this.#versions;
    if (address === undefined || versions === null) {
      throw new TidegateError('upstreamUnreachable', `broker ${broker} is not in the metadata`);
    }
    try {
      const connection = await this.#produce[urgency].get(address);
      const response = await this.#send(connection, versions.produce, batches);
      return batches.map((batch) => partitionAnswer(response, batch));
    } catch (error) {
      throw unreachable(error);
    }
  }

  #send(
    connection: Connection,
    version: Versions['produce'],
    batches: readonly PartitionBatch[],
  ): Promise<ProduceAnswer> {
    return new Promise((resolve, reject) => {
      connection.send<ProduceAnswer>(
        produceKey,
        version.api.version,
        () => produceRequest(batches, this.#replicaTimeoutMs),
        (correlation, key, apiVersion, reader: Reader) => {
          try {
            return version.parseResponse(correlation, key, apiVersion, reader) as ProduceAnswer;
          } catch (error) {
            return answerIn<ProduceAnswer>(error);
          }
        },
        true,
        true,
        (error, response) => {
          if (error !== null || response === undefined) reject(error ?? new Error('no answer'));
          else resolve(response);
        },
      );
    });
  }

  async close(): Promise<void> {
    const pools = [this.#control, this.#produce.first, this.#produce.again];
    await Promise.allSettled(pools.map((pool) => pool.close()));
  }
}

interface MetadataAnswer {
  readonly brokers: readonly { nodeId: number; host: string; port: number }[];
  readonly topics: readonly {
    name: string | null;
    topicId: string;
    errorCode: number;
    partitions: readonly { partitionIndex: number; leaderId: number }[];
  }[];
}

interface CreateAnswer {
  readonly topics: readonly { name: string; errorCode: number }[];
}

interface IdentityAnswer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

interface ProduceAnswer {
  readonly responses: readonly {
    name: string;
    partitionResponses: readonly {
      index: number;
      errorCode: number;
      errorMessage?: string | null;
    }[];
  }[];
}

/** Produce, versions 9–11: flexible encoding, one entry per topic with its partitions. */
function produceRequest(batches: readonly PartitionBatch[], timeoutMs: number): Writer {
  const byTopic = new Map<string, PartitionBatch[]>();
  for (const batch of batches) {
    const known = byTopic.get(batch.topic);
    if (known === undefined) byTopic.set(batch.topic, [batch]);
    else known.push(batch);
  }
  return Writer.create()
    .appendString(null)
    .appendInt16(acksAll)
    .appendInt32(timeoutMs)
    .appendArray([...byTopic], (w, [topic, partitions]) => {
      w.appendString(topic).appendArray(partitions, (inner, { partition, wire }) => {
        inner
          .appendInt32(partition)
          .appendUnsignedVarInt(wire.length + 1)
          .append(wire as Buffer);
      });
    })
    .appendTaggedFields();
}

function partitionAnswer(response: ProduceAnswer, batch: PartitionBatch): PartitionAnswer {
  for (const { name, partitionResponses } of response.responses) {
    if (name !== batch.topic) continue;
    const found = partitionResponses.find((one) => one.index === batch.partition);
    if (found === undefined) continue;
    return { errorCode: found.errorCode, detail: found.errorMessage ?? null };
  }
  throw new TidegateError('upstreamRejected', `no answer for ${batch.topic}/${batch.partition}`);
}
