/**
 * What tests ask of a Kafka from outside the agent: create a topic, read everything back. The only
 * test file that imports the Kafka library. Reading goes by the low road (end of each partition
 * first, then fetch until there), so that "all" is exact and no consumer group is needed.
 */
import { Admin, Consumer, ListOffsetTimestamps } from '@platformatic/kafka';

export interface ConsumedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: Buffer;
  readonly headers: Readonly<Record<string, string>>;
  readonly timestampMs: number;
}

export interface TopicSpec {
  readonly partitions?: number;
  /** Topic configs, e.g. `{ 'max.message.bytes': '1000' }`. */
  readonly configs?: Readonly<Record<string, string>>;
}

const fetchWaitMs = 100;
const fetchBytes = 16 * 1024 * 1024;
const partitionFetchBytes = 4 * 1024 * 1024;
const idlePollMs = 100;

const clientOptions = (bootstrap: string) => ({
  clientId: 'tidegate-test',
  bootstrapBrokers: [bootstrap],
  retries: 20,
  retryDelay: 250,
});

async function withAdmin<T>(bootstrap: string, use: (admin: Admin) => Promise<T>): Promise<T> {
  const admin = new Admin(clientOptions(bootstrap));
  try {
    return await use(admin);
  } finally {
    await admin.close();
  }
}

/** True once the broker answers Metadata, which it does only after it has left the fence. */
export async function answers(bootstrap: string): Promise<boolean> {
  const admin = new Admin({ ...clientOptions(bootstrap), retries: 0, connectTimeout: 1_000 });
  try {
    const metadata = await admin.metadata({ topics: [] });
    return metadata.brokers.size > 0;
  } catch {
    return false;
  } finally {
    await admin.close();
  }
}

export async function createTopic(
  bootstrap: string,
  name: string,
  spec: TopicSpec = {},
): Promise<void> {
  await withAdmin(bootstrap, async (admin) => {
    await admin.createTopics({
      topics: [name],
      partitions: spec.partitions ?? 1,
      replicas: 1,
      configs: Object.entries(spec.configs ?? {}).map(([key, value]) => ({ name: key, value })),
    });
    // Created is not yet known everywhere: wait until metadata shows it.
    await admin.metadata({ topics: [name], forceUpdate: true, retries: 20 });
  });
}

export async function setTopicConfig(
  bootstrap: string,
  name: string,
  key: string,
  value: string,
): Promise<void> {
  const topicResource = 2;
  await withAdmin(bootstrap, async (admin) => {
    await admin.alterConfigs({
      resources: [
        { resourceType: topicResource, resourceName: name, configs: [{ name: key, value }] },
      ],
      validateOnly: false,
    });
  });
}

export async function addPartitions(bootstrap: string, name: string, count: number): Promise<void> {
  await withAdmin(bootstrap, async (admin) => {
    await admin.createPartitions({
      topics: [{ name, count, assignments: null }],
      validateOnly: false,
    });
  });
}

export async function listTopics(bootstrap: string): Promise<string[]> {
  return await withAdmin(bootstrap, (admin) => admin.listTopics({ includeInternals: false }));
}

export interface ConsumeOptions {
  /** After the end was reached, go on until nothing new came for this long. */
  readonly untilIdleMs?: number;
}

const logAppendTimeBit = 8;

/** With LogAppendTime the broker's own time stands in the batch, not in its records. */
function timestampOf(
  batch: { attributes: number; firstTimestamp: bigint; maxTimestamp: bigint },
  delta: bigint,
): number {
  const appended = (batch.attributes & logAppendTimeBit) !== 0;
  return Number(appended ? batch.maxTimestamp : batch.firstTimestamp + delta);
}

class Reading {
  readonly #consumer: Consumer;
  readonly #topics: string[];
  readonly #next = new Map<string, number>();
  readonly #onRecord: (record: ConsumedRecord) => void;

  constructor(bootstrap: string, topics: string[], onRecord: (record: ConsumedRecord) => void) {
    this.#topics = topics;
    this.#onRecord = onRecord;
    this.#consumer = new Consumer({
      ...clientOptions(bootstrap),
      groupId: 'tidegate-test',
      timeout: 10_000,
    });
  }

  async toEnd(): Promise<number> {
    const ends = await this.#consumer.listOffsets({
      topics: this.#topics,
      timestamp: ListOffsetTimestamps.LATEST,
    });
    let read = 0;
    for (const [topic, offsets] of ends) {
      for (const [partition, end] of offsets.entries()) {
        read += await this.#partitionTo(topic, partition, Number(end));
      }
    }
    return read;
  }

  async #partitionTo(topic: string, partition: number, end: number): Promise<number> {
    const name = `${topic}/${partition}`;
    let next = this.#next.get(name) ?? 0;
    const start = next;
    while (next < end) {
      const before = next;
      for (const record of await this.#fetch(topic, partition, next)) {
        if (record.offset < next) continue;
        next = record.offset + 1;
        this.#onRecord(record);
      }
      if (next === before) throw new Error(`no progress on ${name} at ${next} of ${end}`);
    }
    this.#next.set(name, next);
    return next - start;
  }

  async #fetch(topic: string, partition: number, from: number): Promise<ConsumedRecord[]> {
    const metadata = await this.#consumer.metadata({ topics: [topic] });
    const known = metadata.topics.get(topic);
    const leader = known?.partitions[partition];
    if (known === undefined || leader === undefined) throw new Error(`no ${topic}/${partition}`);
    const response = await this.#consumer.fetch({
      node: leader.leader,
      maxWaitTime: fetchWaitMs,
      maxBytes: fetchBytes,
      topics: [
        {
          topicId: known.id,
          partitions: [
            {
              partition,
              currentLeaderEpoch: -1,
              fetchOffset: BigInt(from),
              lastFetchedEpoch: -1,
              partitionMaxBytes: partitionFetchBytes,
            },
          ],
        },
      ],
    });
    const records: ConsumedRecord[] = [];
    for (const { partitions } of response.responses) {
      for (const { records: batches } of partitions) {
        for (const batch of batches ?? []) {
          for (const record of batch.records) {
            records.push({
              topic,
              partition,
              offset: Number(batch.firstOffset) + record.offsetDelta,
              key: record.key === null || record.key === undefined ? null : String(record.key),
              value: Buffer.from(record.value ?? []),
              headers: Object.fromEntries(
                record.headers.map(([name, value]) => [String(name), String(value)]),
              ),
              timestampMs: timestampOf(batch, record.timestampDelta),
            });
          }
        }
      }
    }
    return records;
  }

  async close(): Promise<void> {
    await this.#consumer.close(true);
  }
}

/** Every record that stands in the topics now (and until idle), in the order of each partition. */
export async function consumeEach(
  bootstrap: string,
  topics: string[],
  onRecord: (record: ConsumedRecord) => void,
  options: ConsumeOptions = {},
): Promise<void> {
  const reading = new Reading(bootstrap, topics, onRecord);
  try {
    await reading.toEnd();
    let idleMs = 0;
    while (idleMs < (options.untilIdleMs ?? 0)) {
      await new Promise((wake) => setTimeout(wake, idlePollMs));
      idleMs = (await reading.toEnd()) > 0 ? 0 : idleMs + idlePollMs;
    }
  } finally {
    await reading.close();
  }
}
