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

import type { ConnectionOptions as TlsOptions } from 'node:tls';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import {
  type API,
  apiVersionsV3,
  type Broker,
  Connection,
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
  type SASLOptions,
  Writer,
} from '@platformatic/kafka';
import { kafkaConnectTimeoutMs, kafkaRequestTimeoutMs, kafkaSessionShare } from '../bounds.ts';
import type { KafkaSasl } from '../config/types.ts';
import { TidegateError } from '../errors.ts';
import {
  answerIn,
  type CreateAnswer,
  faultOf,
  type IdentityAnswer,
  type MetadataAnswer,
  type PartitionAnswer,
  type PartitionBatch,
  type ProduceAnswer,
  partitionAnswer,
  type TlsFault,
  type TopicAnswer,
} from './kafka-answers.ts';
import type { BatchCodec, ProducerIdentity } from './kafka-batch.ts';
import { Connections, type Link } from './kafka-connections.ts';
import { logIn, mechanismNames } from './kafka-sasl.ts';

export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
export type Urgency = 'first' | 'again';

export interface KafkaClientOptions {
  readonly brokers: readonly Broker[];
  readonly clientId: string;
  readonly requestTimeoutMs?: number;
  /** Made for each connection, so that renewed files are taken; none: plain text. */
  readonly tls?: ((host: string) => TlsOptions) | undefined;
  readonly tlsFault?: TlsFault;
  readonly sasl?: KafkaSasl | null;
}

/** A connection that has logged in, and why it broke, which its requests are not told. */
interface KafkaLink extends Link {
  readonly connection: Connection;
  readonly failure: unknown;
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
  readonly #requestTimeoutMs: number;
  readonly #control: Connections<KafkaLink>;
  readonly #produce: Readonly<Record<Urgency, Connections<KafkaLink>>>;
  #versions: Versions | null = null;
  #brokers = new Map<number, Broker>();

  constructor(options: KafkaClientOptions) {
    this.#options = options;
    this.#requestTimeoutMs = options.requestTimeoutMs ?? kafkaRequestTimeoutMs;
    const connections = () => new Connections((broker) => this.#open(broker));
    this.#control = connections();
    this.#produce = { first: connections(), again: connections() };
  }

  /** @throws TidegateError upstreamUnreachable, upstreamUnauthorized, tls… */
  async connect(): Promise<void> {
    await this.topics([]);
  }

  async #open({ host, port }: Broker): Promise<KafkaLink> {
    const { clientId, tls, sasl } = this.#options;
    const session = { renewAtMs: Number.POSITIVE_INFINITY };
    const connection = new Connection(clientId, {
      connectTimeout: kafkaConnectTimeoutMs,
      requestTimeout: this.#requestTimeoutMs,
      maxInflights: requestsInFlight,
      ...(tls ? { tls: tls(host) } : {}),
      ...(sasl ? { sasl: saslOptions(sasl, session) } : {}),
    });
    const link = {
      connection,
      failure: null as unknown,
      get isOpen() {
        return connection.isConnected();
      },
      get renewAtMs() {
        return session.renewAtMs;
      },
      close: async () => await connection.close(),
    };
    // It may fail more than once, and an error event that nobody hears ends the thread.
    connection.on('error', (error) => {
      link.failure ??= error;
    });
    try {
      await connection.connect(host, port);
    } catch (error) {
      connection.socket?.destroy();
      throw error;
    }
    return link;
  }

  /** One request to one broker. @throws TidegateError */
  async #on<T>(
    connections: Connections<KafkaLink>,
    broker: Broker,
    send: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    const { tls, tlsFault } = this.#options;
    let used: KafkaLink | null = null;
    try {
      return await connections.use(broker, async (link) => {
        used = link;
        return await send(link.connection);
      });
    } catch (error) {
      const reason = (used as KafkaLink | null)?.failure ?? error;
      throw faultOf(reason, `${broker.host}:${broker.port}`, tls ? tlsFault : undefined);
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

  /** One control request on the first broker that can be reached. */
  async #ask<T>(send: (connection: Connection, versions: Versions) => Promise<T>): Promise<T> {
    let failure: TidegateError | null = null;
    for (const broker of [...this.#options.brokers, ...this.#brokers.values()]) {
      let isReached = false;
      try {
        return await this.#on(this.#control, broker, async (connection) => {
          isReached = true;
          return await send(connection, await this.#negotiated(connection));
        });
      } catch (error) {
        const fault = error as TidegateError;
        if (isReached) throw fault;
        // What needs hands says more than a broker that is away.
        if (failure?.class !== 'halt') failure = fault;
      }
    }
    throw failure ?? new TidegateError('upstreamUnreachable', 'no broker is known');
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
    return await this.#on(this.#produce[urgency], address, async (connection) => {
      const response = await this.#send(connection, versions.produce, batches);
      return batches.map((batch) => partitionAnswer(response, batch));
    });
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
        () => produceRequest(batches, Math.floor(this.#requestTimeoutMs * replicaTimeoutShare)),
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

/** Our log-in in the library's place; `session` learns when the broker wants another. */
function saslOptions(sasl: KafkaSasl, session: { renewAtMs: number }): SASLOptions {
  return {
    mechanism: mechanismNames[sasl.mechanism],
    authenticate: (_mechanism, connection, authenticate, _name, _password, _token, callback) => {
      let last: Awaited<ReturnType<typeof authenticate.async>> | undefined;
      const exchange = async (bytes: Buffer) => {
        last = await authenticate.async(connection, bytes);
        return last.authBytes;
      };
      const run = async () => {
        await logIn(sasl, exchange);
        if (last === undefined) throw new TidegateError('internal', 'a log-in without a word');
        const lifetimeMs = Number(last.sessionLifetimeMs ?? 0);
        if (lifetimeMs > 0) session.renewAtMs = performance.now() + lifetimeMs * kafkaSessionShare;
        // 0: no timer of the library, see kafka-connections.ts.
        return { ...last, sessionLifetimeMs: 0n };
      };
      run().then((answer) => callback(null, answer), callback);
    },
  };
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
