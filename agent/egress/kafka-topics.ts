/**
 * The Kafka topics one upstream writes to, and everything that needs metadata: opening a topic,
 * following its leaders, creating it, finding out that it does not exist or has more partitions.
 *
 * One metadata request at a time, for all topics that are due. A topic that a broker calls unknown
 * is only believed missing after `missingAfterMs`: metadata of a new topic takes a moment to reach
 * every broker. At most `maxTopics` are ever opened; a record for one more is buried.
 */
import { TidegateError } from '../errors.ts';
import { Backoff, type Random } from './backoff.ts';
import type { KafkaClient } from './kafka.ts';
import type { TopicAnswer } from './kafka-answers.ts';
import type { RecordBatch } from './kafka-batch.ts';
import { classify, kafkaCode } from './kafka-errors.ts';
import type { BatchBounds } from './kafka-partition.ts';
import { KafkaTopic } from './kafka-topic.ts';
import type { EgressRecord } from './record.ts';

/** What tests shrink. */
export interface TopicTuning {
  readonly batches?: BatchBounds;
  readonly refreshEveryMs?: number;
}

export interface TopicTableOptions {
  readonly client: Pick<KafkaClient, 'topics' | 'createTopics'>;
  readonly random: Random;
  readonly createTopics: boolean;
  readonly maxTopics: number;
  readonly tuning: TopicTuning;
  enqueue(record: EgressRecord, topic: KafkaTopic): void;
  bury(record: EgressRecord, error: TidegateError): void;
  buryBatch(batch: RecordBatch, error: TidegateError): void;
  opened(): void;
  retrying(error: TidegateError, attempt: number, delayMs: number): void;
  halted(error: TidegateError): void;
  restart(reason: string): void;
  /** Outcomes were told outside of a Produce answer. */
  settled(): void;
}

/** A topic is missing when brokers have said so for this long. */
const missingAfterMs = 2_000;
const askAgainMs = 250;
/** A missing topic is asked for again this often at most. */
const missingAgainMs = 5_000;
/** Partitions added by others are found at least this soon. */
const refreshEveryMs = 30_000;

export class TopicTable {
  readonly #options: TopicTableOptions;
  readonly #topics = new Map<string, KafkaTopic>();
  readonly #due = new Set<string>();
  readonly #backoff: Backoff;
  #asking = false;
  #closed = false;
  #timer: NodeJS.Timeout | null = null;
  #refreshAtMs = 0;

  constructor(options: TopicTableOptions) {
    this.#options = options;
    this.#backoff = new Backoff(options.random);
  }

  submit(record: EgressRecord): void {
    const name = record.place.topic;
    const topic = this.#open(name);
    if (topic === null) {
      const detail = `${name} would be topic ${this.#topics.size + 1} of this upstream`;
      this.#options.bury(record, new TidegateError('tooManyTopics', detail));
      return;
    }
    topic.unknownTopic = record.place.unknownTopic;
    if (topic.state === 'open') {
      this.#options.enqueue(record, topic);
      return;
    }
    const recently = topic.state === 'missing' && performance.now() < topic.askAtMs;
    if (recently && record.place.unknownTopic === 'bury') {
      this.#options.bury(record, missing(name));
      return;
    }
    topic.waiting.push(record);
    if (topic.state !== 'draining') this.#askFor(name);
  }

  #open(name: string): KafkaTopic | null {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    if (this.#topics.size >= this.#options.maxTopics) return null;
    const topic = new KafkaTopic(name, this.#options.tuning.batches);
    this.#topics.set(name, topic);
    return topic;
  }

  /** Its leaders may have changed. */
  stale(name: string): void {
    this.#askFor(name);
  }

  /** A queue of it has nothing left: a larger number of partitions may be taken now. */
  ranEmpty(name: string): void {
    const topic = this.#topics.get(name);
    if (topic?.state === 'draining') this.#proceed(topic);
  }

  /** Called with every burst. */
  refresh(): void {
    const nowMs = performance.now();
    if (nowMs < this.#refreshAtMs) return;
    this.#refreshAtMs = nowMs + (this.#options.tuning.refreshEveryMs ?? refreshEveryMs);
    for (const name of this.#topics.keys()) this.#askFor(name);
  }

  askAgain(): void {
    for (const topic of this.#topics.values()) topic.askAtMs = 0;
    this.#schedule(0);
  }

  clear(): void {
    this.#topics.clear();
    this.#due.clear();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #askFor(name: string): void {
    this.#due.add(name);
    this.#schedule(0);
  }

  #schedule(delayMs: number): void {
    if (this.#timer !== null || this.#asking || this.#closed || this.#due.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      void this.#ask();
    }, delayMs);
  }

  async #ask(): Promise<void> {
    const nowMs = performance.now();
    const topics = [...this.#due].map((name) => this.#topics.get(name)).filter((t) => t != null);
    const ready = topics.filter((topic) => topic.askAtMs <= nowMs);
    if (ready.length === 0) return this.#schedule(askAgainMs);
    this.#asking = true;
    let delayMs = askAgainMs;
    try {
      const answers = await this.#options.client.topics(ready.map((topic) => topic.name));
      if (this.#closed) return;
      this.#backoff.succeeded();
      for (const answer of answers) {
        const topic = this.#topics.get(answer.name);
        if (topic !== undefined) this.#learn(topic, answer);
      }
      await this.#create(ready.filter((topic) => topic.unknownSinceMs !== null));
    } catch (error) {
      if (this.#closed) return;
      delayMs = this.#backoff.failed();
      if (error instanceof TidegateError && error.class === 'halt') this.#options.halted(error);
      else this.#options.retrying(error as TidegateError, this.#backoff.attempts, delayMs);
    }
    this.#asking = false;
    this.#schedule(delayMs);
  }

  #learn(topic: KafkaTopic, answer: TopicAnswer): void {
    const { errorCode, id, leaders } = answer;
    const nowMs = performance.now();
    if (errorCode === kafkaCode.unknownTopic) {
      this.#unknown(topic, nowMs);
      return;
    }
    if (leaders.length > 0) {
      if (!topic.learn(id, leaders)) {
        this.#options.restart(`${topic.name} was made anew`);
        return;
      }
      if (leaders.every((leader) => leader >= 0)) this.#due.delete(topic.name);
      topic.askAtMs = nowMs + askAgainMs;
      this.#proceed(topic);
      return;
    }
    const { verdict, error } = classify(errorCode, topic.name, null);
    if (verdict === 'halt') {
      this.#options.halted(error);
      return;
    }
    topic.askAtMs = nowMs + askAgainMs;
    if (verdict === 'split') {
      this.#due.delete(topic.name);
      this.#buryAll(topic, error, () => true);
    } else this.#options.retrying(error, 1, askAgainMs);
  }

  #unknown(topic: KafkaTopic, nowMs: number): void {
    topic.unknownSinceMs ??= nowMs;
    topic.askAtMs = nowMs + askAgainMs;
    if (this.#options.createTopics || nowMs - topic.unknownSinceMs < missingAfterMs) return;
    topic.state = 'missing';
    topic.askAtMs = nowMs + missingAgainMs;
    this.#buryAll(topic, missing(topic.name), (record) => record.place.unknownTopic === 'bury');
    if (topic.unknownTopic === 'bury') this.#buryQueued(topic);
    if (topic.idle) topic.reset();
    if (topic.idle && topic.waiting.length === 0) this.#due.delete(topic.name);
    else this.#options.retrying(missing(topic.name), 1, missingAgainMs);
  }

  /** What waits goes on once the topic is open, in its order. */
  #proceed(topic: KafkaTopic): void {
    if (!topic.adopt()) return;
    const waiting = topic.waiting;
    topic.waiting = [];
    for (const record of waiting) this.#options.enqueue(record, topic);
    this.#options.opened();
  }

  #buryAll(
    topic: KafkaTopic,
    error: TidegateError,
    which: (record: EgressRecord) => boolean,
  ): void {
    const waiting = topic.waiting;
    topic.waiting = [];
    for (const record of waiting) {
      if (which(record)) this.#options.bury(record, error);
      else topic.waiting.push(record);
    }
    this.#options.settled();
  }

  #buryQueued(topic: KafkaTopic): void {
    for (const queue of topic.queues) {
      for (const batch of queue.drop()) this.#options.buryBatch(batch, missing(topic.name));
    }
    this.#options.settled();
  }

  async #create(topics: readonly KafkaTopic[]): Promise<void> {
    if (!this.#options.createTopics || topics.length === 0) return;
    const codes = await this.#options.client.createTopics(topics.map((topic) => topic.name));
    for (const topic of topics) {
      const code = codes.get(topic.name) ?? kafkaCode.none;
      topic.askAtMs = 0;
      if (code === kafkaCode.none || code === kafkaCode.topicExists) continue;
      const { verdict, error } = classify(code, `creating ${topic.name}`, null);
      topic.askAtMs = performance.now() + missingAgainMs;
      if (verdict === 'halt') this.#options.halted(error);
      else if (verdict === 'split') this.#buryAll(topic, error, () => true);
      else this.#options.retrying(error, 1, missingAgainMs);
    }
  }
}

function missing(name: string): TidegateError {
  return new TidegateError('topicUnknown', `Kafka topic ${name} does not exist`);
}
