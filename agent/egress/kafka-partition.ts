/**
 * The records of one partition on their way, in order:
 *
 *   append ▶ open ▶ ready (closed batches) ▶ in flight (one) ▶ confirmed
 *
 * One batch in flight a partition: order needs no more bookkeeping than that. A batch gets its
 * sequence when it is first sent and keeps it through every repeat; the sequence moves on only when
 * the batch is confirmed, so a batch that is buried or halved leaves no gap. The producer identity
 * is the partition's own: when a broker forgets it, the other partitions keep theirs.
 */
import { kafkaBatchRecords, kafkaRecordBatchBytes } from '../bounds.ts';
import {
  type BatchCodec,
  batchHeaderBytes,
  type ProducerIdentity,
  RecordBatch,
  recordBytesAtMost,
} from './kafka-batch.ts';
import type { EgressRecord } from './record.ts';

/** Sequences are int32 and wrap to 0 past the largest. */
const sequenceMask = 0x7fffffff;

export interface BatchBounds {
  readonly bytes: number;
  readonly records: number;
}

export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  leader: number;
  /** Answers that made the batch at the front go again; 0 after a confirmation. */
  attempts = 0;
  /** Its last batch was answered badly: it is sent apart, so that others do not wait with it. */
  apart = false;
  /** Monotonic ms before which nothing is sent. */
  retryAtMs = 0;
  inFlight: RecordBatch | null = null;
  readonly #bounds: BatchBounds;
  #ready: RecordBatch[] = [];
  #open: RecordBatch | null = null;
  #identity: ProducerIdentity | null = null;
  #sequence = 0;
  #sizeHint = 0;

  constructor(
    topic: string,
    partition: number,
    leader: number,
    bounds: BatchBounds = { bytes: kafkaRecordBatchBytes, records: kafkaBatchRecords },
  ) {
    this.topic = topic;
    this.partition = partition;
    this.leader = leader;
    this.#bounds = bounds;
  }

  get where(): string {
    return `${this.topic}/${this.partition}`;
  }

  /** Nothing is waiting and nothing is in flight. */
  get empty(): boolean {
    return this.inFlight === null && !this.hasWork;
  }

  get hasWork(): boolean {
    return this.#open !== null || this.#ready.length > 0;
  }

  /** A batch is closed: waiting longer would not make it larger. */
  get full(): boolean {
    return this.#ready.length > 0;
  }

  append(record: EgressRecord): void {
    const atMost = recordBytesAtMost(record);
    let open = this.#open;
    if (
      open !== null &&
      (open.count >= this.#bounds.records || open.bytes + atMost > this.#bounds.bytes)
    ) {
      this.#ready.push(open);
      this.#sizeHint = open.bytes;
      open = null;
    }
    open ??= new RecordBatch(Math.max(this.#sizeHint, atMost + batchHeaderBytes));
    this.#open = open;
    open.append(record, atMost);
  }

  /** Puts the next batch in flight, sealed. @param identity used if the partition has none */
  send(identity: ProducerIdentity, codec: BatchCodec): RecordBatch {
    if (this.inFlight !== null) throw new RangeError(`${this.where}: one batch is in flight`);
    let batch = this.#ready.shift();
    if (batch === undefined) {
      batch = this.#open ?? undefined;
      if (batch === undefined) throw new RangeError(`${this.where}: nothing to send`);
      this.#sizeHint = batch.bytes;
      this.#open = null;
    }
    this.#identity ??= identity;
    if (!batch.sealed) batch.seal(this.#identity, this.#sequence, codec);
    this.inFlight = batch;
    return batch;
  }

  confirmed(): RecordBatch {
    const batch = this.#landed();
    this.#sequence = (this.#sequence + batch.count) & sequenceMask;
    this.attempts = 0;
    this.apart = false;
    return batch;
  }

  /** The same bytes again, before anything else of this partition. */
  again(retryAtMs: number): void {
    this.#ready.unshift(this.#landed());
    this.attempts += 1;
    this.retryAtMs = retryAtMs;
  }

  /** The broker no longer knows this producer: the same records under a new identity. */
  renew(identity: ProducerIdentity, codec: BatchCodec, retryAtMs: number): void {
    this.again(retryAtMs);
    this.forgetIdentity();
    this.#identity = identity;
    this.#ready[0]?.seal(identity, this.#sequence, codec);
  }

  /** Refused as a whole: the two halves go in its place. */
  halved(): void {
    this.#ready.unshift(...this.#landed().halve());
  }

  /** Refused and given up: its sequence was never used. */
  dropInFlight(): RecordBatch {
    this.attempts = 0;
    return this.#landed();
  }

  /** What may have been written under this sequence is unknown: begin a new one. */
  forgetIdentity(): void {
    this.#identity = null;
    this.#sequence = 0;
  }

  /** Everything that is not in flight. */
  drop(): RecordBatch[] {
    const dropped = this.#open === null ? this.#ready : [...this.#ready, this.#open];
    // A sealed batch may have been written: its sequence cannot be given to other records.
    if (dropped[0]?.sealed === true) this.forgetIdentity();
    this.#ready = [];
    this.#open = null;
    return dropped;
  }

  #landed(): RecordBatch {
    const batch = this.inFlight;
    if (batch === null) throw new RangeError(`${this.where}: nothing is in flight`);
    this.inFlight = null;
    return batch;
  }
}
