/**
 * One Kafka topic as an upstream knows it: its partitions' queues, and what waits for them. Which
 * partition a record goes to is decided here, as Java's default partitioner would.
 *
 *   asking    metadata was asked for; records wait
 *   open      partitions are known; records go to their queues
 *   draining  there are more partitions than we use: what is in flight ends first, then the new
 *             count is taken, so that a key's records never overtake one another
 *   missing   it does not exist; records are buried or held, as their route says
 */
import { type BatchBounds, PartitionQueue } from './kafka-partition.ts';
import type { EgressRecord } from './record.ts';

export type TopicState = 'asking' | 'open' | 'draining' | 'missing';

/** Records without a key that go to one partition before the next one's turn. */
const keylessRun = 256;

export class KafkaTopic {
  readonly name: string;
  readonly #bounds: BatchBounds | undefined;
  state: TopicState = 'asking';
  id: string | null = null;
  queues: PartitionQueue[] = [];
  waiting: EgressRecord[] = [];
  /** Monotonic ms of the first answer that said it does not exist. */
  unknownSinceMs: number | null = null;
  /** Monotonic ms: ask (again) from then on. */
  askAtMs = 0;
  /** What the last record's route wants when the topic does not exist. */
  unknownTopic: 'hold' | 'bury' = 'hold';
  #leaders: readonly number[] = [];
  #keyless = 0;

  constructor(name: string, bounds?: BatchBounds) {
    this.name = name;
    this.#bounds = bounds;
  }

  queueOf(record: EgressRecord): PartitionQueue | undefined {
    const count = this.queues.length;
    if (record.partition !== null) return this.queues[record.partition];
    if (record.key !== null) return this.queues[record.keyHash % count];
    // Without a key there is no order to keep: runs of records, so that batches are large.
    this.#keyless += 1;
    return this.queues[Math.floor(this.#keyless / keylessRun) % count];
  }

  get idle(): boolean {
    return this.queues.every((queue) => queue.empty);
  }

  /** Takes leaders from a good answer. @returns false when partitions we use are gone */
  learn(id: string, leaders: readonly number[]): boolean {
    this.unknownSinceMs = null;
    if (this.id !== null && (this.id !== id || leaders.length < this.queues.length)) return false;
    this.id = id;
    this.#leaders = leaders;
    for (const queue of this.queues) {
      const leader = leaders[queue.partition] as number;
      if (leader !== queue.leader) queue.retryAtMs = 0;
      queue.leader = leader;
    }
    this.state = leaders.length > this.queues.length ? 'draining' : 'open';
    return true;
  }

  /** It is gone and so is all that was queued: should it come back, it is a new one. */
  reset(): void {
    this.queues = [];
    this.id = null;
  }

  /** After `learn`, and whenever a queue has run empty. @returns true when records may go on */
  adopt(): boolean {
    if (this.state === 'draining' && this.idle) {
      for (let i = this.queues.length; i < this.#leaders.length; i++) {
        const leader = this.#leaders[i] as number;
        this.queues.push(new PartitionQueue(this.name, i, leader, this.#bounds));
      }
      this.state = 'open';
    }
    return this.state === 'open';
  }
}
