/**
 * Kafka as an upstream: records into partition queues, batches into Produce requests, answers into
 * outcomes.
 *
 * `flush` (or the linger's end) gathers every partition that has something to send and nothing in
 * flight, by the broker that leads it, into one request a broker. Each partition's answer is judged
 * alone by the table of kafka-errors.ts. Waiting times live in two places: a broker that cannot be
 * reached holds its partitions; a partition whose batch was answered badly holds only itself.
 *
 * An unconfirmed batch is sent again, byte for byte, under the same producer id and sequence, until
 * it is confirmed or classed as one to bury. Nothing here gives up on its own.
 */
import { kafkaTopicsMax } from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import { jittered, type Random } from './backoff.ts';
import { type Compression, codecOf, type KafkaClient } from './kafka.ts';
import type { PartitionAnswer } from './kafka-answers.ts';
import type { BatchCodec, ProducerIdentity, RecordBatch } from './kafka-batch.ts';
import { Brokers } from './kafka-brokers.ts';
import { classify, type KafkaFault, kafkaCode } from './kafka-errors.ts';
import type { PartitionQueue } from './kafka-partition.ts';
import type { KafkaTopic } from './kafka-topic.ts';
import { TopicTable, type TopicTuning } from './kafka-topics.ts';
import type { EgressRecord } from './record.ts';
import type { Upstream, UpstreamSink } from './upstream.ts';
import type { WindowSegment } from './window.ts';

export interface KafkaSettings {
  readonly compression: Compression;
  readonly createTopics: boolean;
  readonly maxTopics: number;
  readonly lingerMs: number;
}

/** What the upstream asks of a Kafka; tests answer for one. */
export type KafkaCalls = Pick<
  KafkaClient,
  'connect' | 'topics' | 'createTopics' | 'identity' | 'produce' | 'close'
>;

export interface KafkaParts {
  readonly client: KafkaCalls;
  readonly sink: UpstreamSink;
  readonly random: Random;
  /** The lane is at-most-once: one attempt, no repeat. */
  readonly once: boolean;
  readonly tuning?: TopicTuning;
}

/** Batches of one Produce request together; a larger one is cut between partitions. */
const requestBytes = 4 * 1024 * 1024;
const firstAnswerAgainMs = 100;

type Mode = 'idle' | 'sending' | 'paused' | 'abandoning';

export class KafkaUpstream implements Upstream {
  readonly #client: KafkaCalls;
  readonly #sink: UpstreamSink;
  readonly #settings: KafkaSettings;
  readonly #random: Random;
  readonly #once: boolean;
  readonly #codec: BatchCodec;
  readonly #topics: TopicTable;
  readonly #brokers: Brokers;
  /** Partitions with something to send and nothing in flight. */
  readonly #due = new Set<PartitionQueue>();
  #mode: Mode = 'idle';
  /** Counts abandonments: an answer that was waited for across one is void. */
  #era = 0;
  #identity: ProducerIdentity | null = null;
  #renewal: Promise<ProducerIdentity> | null = null;
  #pending = 0;
  #inFlight = 0;
  #requests = 0;
  #timer: NodeJS.Timeout | null = null;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #landed: (() => void) | null = null;

  constructor(settings: KafkaSettings, parts: KafkaParts) {
    this.#settings = settings;
    this.#client = parts.client;
    this.#sink = parts.sink;
    this.#random = parts.random;
    this.#once = parts.once;
    this.#brokers = new Brokers(parts.random);
    this.#codec = codecOf(settings.compression);
    this.#topics = new TopicTable({
      client: parts.client,
      random: parts.random,
      createTopics: settings.createTopics,
      maxTopics: Math.min(settings.maxTopics, kafkaTopicsMax),
      tuning: parts.tuning ?? {},
      enqueue: (record, topic) => this.#enqueue(record, topic),
      bury: (record, error) => this.#buryRecord(record, error),
      buryBatch: (batch, error) => this.#buryBatch(batch, error),
      opened: () => this.#dispatch(),
      retrying: (error, attempt, delayMs) => this.#sink.retrying(error, attempt, delayMs),
      halted: (error) => this.#halt(error),
      restart: (reason) => this.#sink.restart(reason),
      settled: () => this.#sink.progress(),
    });
  }

  get pending(): number {
    return this.#pending;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  async connect(): Promise<void> {
    await this.#client.connect();
    this.#identity ??= await this.#client.identity();
    this.#mode = 'sending';
    this.#dispatch();
  }

  submit(record: EgressRecord): void {
    this.#pending += 1;
    this.#topics.submit(record);
  }

  flush(): void {
    this.#topics.refresh();
    const { lingerMs } = this.#settings;
    if (lingerMs === 0 || this.#someFull()) this.#dispatch();
    else this.#wakeAt(performance.now() + lingerMs);
  }

  pause(): void {
    this.#mode = 'paused';
  }

  resume(): void {
    if (this.#mode !== 'paused') return;
    this.#mode = 'sending';
    this.#topics.askAgain();
    this.#dispatch();
  }

  async abandon(): Promise<void> {
    this.#mode = 'abandoning';
    this.#era += 1;
    this.#due.clear();
    this.#topics.clear();
    this.#identity = null;
    if (this.#requests > 0) {
      await new Promise<void>((resolve) => {
        this.#landed = resolve;
      });
    }
    this.#pending = 0;
  }

  async close(): Promise<void> {
    this.#mode = 'idle';
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#topics.close();
    await this.#client.close();
  }

  #someFull(): boolean {
    for (const queue of this.#due) if (queue.full) return true;
    return false;
  }

  #enqueue(record: EgressRecord, topic: KafkaTopic): void {
    const queue = topic.queueOf(record);
    if (queue === undefined) {
      const detail = `${topic.name} has no partition ${record.partition}`;
      this.#buryRecord(record, new TidegateError('recordInvalid', detail));
      return;
    }
    queue.append(record);
    if (queue.inFlight === null) this.#due.add(queue);
  }

  /** Sends what may be sent now; what may not sets the timer. */
  #dispatch(): void {
    if (this.#mode !== 'sending' || this.#identity === null || this.#due.size === 0) return;
    const nowMs = performance.now();
    const requests = new Map<string, PartitionQueue[]>();
    for (const queue of this.#due) {
      if (!queue.hasWork) {
        this.#due.delete(queue);
        continue;
      }
      const readyAtMs = this.#readyAt(queue);
      if (readyAtMs > nowMs) {
        this.#wakeAt(readyAtMs);
        continue;
      }
      const name = queue.apart ? `${queue.leader} ${queue.where}` : String(queue.leader);
      const group = requests.get(name);
      if (group === undefined) requests.set(name, [queue]);
      else group.push(queue);
    }
    for (const queues of requests.values()) this.#cut(queues);
  }

  #readyAt(queue: PartitionQueue): number {
    if (queue.leader < 0) {
      this.#topics.stale(queue.topic);
      return performance.now() + firstAnswerAgainMs;
    }
    return Math.max(queue.retryAtMs, this.#brokers.retryAtMs(queue.leader));
  }

  /** One or more requests to one broker. */
  #cut(queues: readonly PartitionQueue[]): void {
    let group: PartitionQueue[] = [];
    let bytes = 0;
    for (const queue of queues) {
      const batch = queue.send(this.#identity as ProducerIdentity, this.#codec);
      this.#due.delete(queue);
      this.#inFlight += batch.count;
      if (group.length > 0 && bytes + batch.wire.length > requestBytes) {
        void this.#request(group);
        group = [];
        bytes = 0;
      }
      group.push(queue);
      bytes += batch.wire.length;
    }
    if (group.length > 0) void this.#request(group);
  }

  async #request(queues: readonly PartitionQueue[]): Promise<void> {
    const first = queues[0] as PartitionQueue;
    const broker = first.leader;
    const batches = queues.map((queue) => ({
      topic: queue.topic,
      partition: queue.partition,
      wire: (queue.inFlight as RecordBatch).wire,
    }));
    this.#requests += 1;
    const urgency = first.apart ? 'again' : 'first';
    let answers: PartitionAnswer[] | TidegateError;
    try {
      answers = await this.#client.produce(broker, batches, urgency);
    } catch (error) {
      answers = error as TidegateError;
    }
    this.#requests -= 1;
    for (const queue of queues) this.#inFlight -= queue.inFlight?.count ?? 0;
    if (this.#mode === 'abandoning' || this.#mode === 'idle') this.#forget(queues);
    else if (answers instanceof TidegateError) this.#unanswered(broker, queues, answers);
    else await this.#answered(broker, queues, answers);
    if (this.#requests === 0) {
      this.#landed?.();
      this.#landed = null;
    }
  }

  #forget(queues: readonly PartitionQueue[]): void {
    for (const queue of queues) queue.dropInFlight();
  }

  /** Nothing is known of these batches: the broker is tried again later, with the same bytes. */
  #unanswered(broker: number, queues: readonly PartitionQueue[], error: TidegateError): void {
    if (error.class === 'halt') {
      for (const queue of queues) this.#again(queue, 0);
      this.#halt(error);
      return;
    }
    const { attempts, delayMs } = this.#brokers.failed(broker);
    for (const queue of queues) {
      this.#topics.stale(queue.topic);
      if (this.#once) this.#lose(queue, error);
      else this.#again(queue, 0);
    }
    this.#sink.retrying(error, attempts, delayMs);
    this.#dispatch();
  }

  async #answered(
    broker: number,
    queues: readonly PartitionQueue[],
    answers: readonly PartitionAnswer[],
  ): Promise<void> {
    const era = this.#era;
    this.#brokers.answered(broker);
    for (const [index, queue] of queues.entries()) {
      const answer = answers[index] as PartitionAnswer;
      if (answer.errorCode === kafkaCode.none) this.#confirm(queue);
      else await this.#judge(queue, classify(answer.errorCode, queue.where, answer.detail));
      if (era !== this.#era) return;
      if (queue.inFlight === null && queue.hasWork) this.#due.add(queue);
      else if (queue.empty) this.#topics.ranEmpty(queue.topic);
    }
    this.#dispatch();
    this.#sink.progress();
  }

  #confirm(queue: PartitionQueue): void {
    const batch = queue.confirmed();
    for (let i = 0; i < batch.count; i++) {
      this.#sink.confirmed(batch.segments[i] as WindowSegment, batch.frames[i] as number);
    }
    this.#pending -= batch.count;
    batch.release();
  }

  async #judge(queue: PartitionQueue, fault: KafkaFault): Promise<void> {
    const { verdict, error } = fault;
    if (verdict === 'confirmed') return this.#confirm(queue);
    if (this.#once) return this.#lose(queue, error);
    const count = queue.inFlight?.count ?? 0;
    if (verdict === 'split' && count > 1) return queue.halved();
    if (verdict === 'split') return this.#buryBatch(queue.dropInFlight(), error);
    if (verdict === 'halt') {
      this.#again(queue, 0);
      return this.#halt(error);
    }
    if (verdict === 'missing' || verdict === 'stale') this.#topics.stale(queue.topic);
    const delayMs = jittered(this.#random, queue.attempts);
    queue.apart = true;
    const identity = verdict === 'renew' ? await this.#renew() : null;
    const retryAtMs = performance.now() + delayMs;
    if (identity !== null) queue.renew(identity, this.#codec, retryAtMs);
    else queue.again(retryAtMs);
    this.#sink.retrying(error, queue.attempts, delayMs);
  }

  /** A new producer id for whoever asks while one is being fetched; null if that failed. */
  async #renew(): Promise<ProducerIdentity | null> {
    this.#renewal ??= this.#client.identity().finally(() => {
      this.#renewal = null;
    });
    try {
      this.#identity = await this.#renewal;
      return this.#identity;
    } catch {
      return null;
    }
  }

  #again(queue: PartitionQueue, retryAtMs: number): void {
    queue.again(retryAtMs);
    this.#due.add(queue);
  }

  #lose(queue: PartitionQueue, error: TidegateError): void {
    const batch = queue.dropInFlight();
    queue.forgetIdentity();
    this.#identity = null;
    this.#pending -= batch.count;
    this.#sink.lost(batch.count, error);
  }

  #buryBatch(batch: RecordBatch, error: TidegateError): void {
    this.#pending -= batch.count;
    if (this.#once) {
      this.#sink.lost(batch.count, error);
      return;
    }
    for (let i = 0; i < batch.count; i++) {
      const segment = batch.segments[i] as WindowSegment;
      this.#sink.buried(segment, batch.frames[i] as number, error.code, error.message);
    }
  }

  #buryRecord(record: EgressRecord, error: TidegateError): void {
    this.#pending -= 1;
    if (this.#once) {
      this.#sink.lost(1, error);
      return;
    }
    this.#sink.buried(record.segment, record.frame, error.code, error.message);
  }

  #halt(error: TidegateError): void {
    if (this.#mode === 'paused') return;
    this.#mode = 'paused';
    this.#sink.halted(error);
  }

  #wakeAt(atMs: number): void {
    if (this.#timer !== null && this.#timerAtMs <= atMs) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAtMs = atMs;
    this.#timer = setTimeout(
      () => {
        this.#timer = null;
        this.#dispatch();
      },
      Math.max(1, atMs - performance.now()),
    );
  }
}
