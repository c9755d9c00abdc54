/**
 * A JetStream stream as a source: pulled from a durable consumer, acknowledged after the COMMIT.
 *
 *   connecting ─▶ settling ─▶ subscribed ──ended, failed──▶ waiting ─▶ connecting …
 *
 * What AckPolicy.All costs, and order asks for: an acknowledgement stands for all before it, also
 * for what was delivered to a connection that broke, or to a run of this agent that was killed, and
 * never came to the disk. So with a consumer of our own nothing new is pulled before the server has
 * delivered that again: `settling` waits for its `ackWait` and then for as many messages as the
 * consumer has unacknowledged. Order needs the same: what was published first arrives first.
 *
 * While a limit or the disk holds, nothing is pulled, and what is in hand is told to be in progress
 * (+WPI), so that it is not delivered again.
 */
import type { NatsStreamSourceConfig } from '../config/types-nats.ts';
import { TidegateError } from '../errors.ts';
import type { NatsConnection, NatsMessage } from '../nats-client.ts';
import type { NatsLink, NatsLinkParts } from '../nats-link.ts';
import { MessageIntake } from './message-intake.ts';
import { bindConsumer, type Consumer } from './nats-consumer.ts';
import { answers, type Delivered, deliveredOf } from './nats-delivered.ts';
import { Pulls } from './nats-pulls.ts';
import { formOf, type NatsSourceParts } from './nats-source.ts';

/** Parts of `ackWait` after which what is in hand is told to be in progress. */
const progressShare = 1 / 3;
/** The server looks for what was not acknowledged a moment after its time. */
const settleGraceMs = 250;

/** One connection's conversation with the consumer. */
interface Session {
  readonly connection: NatsConnection;
  readonly consumer: Consumer;
  readonly pulls: Pulls;
  readonly timers: NodeJS.Timeout[];
  /** Nothing is pulled before. */
  readonly fromMs: number;
  /** Delivered before this connection and not seen in it yet. */
  missing: number;
}

export class NatsStreamSource {
  readonly #config: NatsStreamSourceConfig;
  readonly #parts: NatsSourceParts;
  readonly #link: NatsLink;
  readonly #intake: MessageIntake<Delivered>;
  #session: Session | null = null;
  /** Acknowledgements that had no connection to go by. */
  #unsent: Delivered[] = [];
  /** Settled by the commit that is being told. */
  #settled: Delivered[] = [];
  /** Of a consumer that only we pull from: highest sequence given to the path, and settled. */
  #highest = 0;
  #done = 0;
  #created = '';

  constructor(
    config: NatsStreamSourceConfig,
    parts: NatsSourceParts,
    openLink: (hooks: Pick<NatsLinkParts, 'up' | 'denied'>) => NatsLink,
  ) {
    this.#config = config;
    this.#parts = parts;
    this.#intake = new MessageIntake({
      ...parts,
      maxMessageBytes: config.maxMessageSize,
      form: ({ message, sequence }) => formOf(message, `${config.stream}/${sequence}`),
      settled: (delivered) => {
        this.#settled.push(delivered);
        this.#done = Math.max(this.#done, delivered.sequence);
      },
      progress: () => this.#progress(),
    });
    this.#link = openLink({ up: (connection) => this.#up(connection) });
  }

  get name(): string {
    return this.#parts.name;
  }

  get state(): string {
    if (this.#link.state !== 'up') return this.#link.state;
    return (this.#session?.missing ?? 0) > 0 ? 'settling' : 'subscribed';
  }

  get lastError(): string | null {
    return this.#link.lastError;
  }

  get held(): boolean {
    return this.#intake.held;
  }

  start(): void {
    this.#link.open();
  }

  async #up(connection: NatsConnection): Promise<void> {
    this.#leave();
    const { path: _, gateway, report, settle } = this.#parts;
    // What the path has taken is still committed; its acknowledgement goes by this connection.
    await settle(() => this.#intake.rests);
    for (const { reply } of this.#unsent.splice(0)) connection.publish(reply, answers.ack);
    await connection.flush();
    const consumer = await bindConsumer(connection, this.#config, gateway, report);
    if (consumer.created !== this.#created) {
      this.#created = consumer.created;
      this.#highest = 0;
      this.#done = 0;
    }
    const { stream, durable } = this.#config;
    const pulls = new Pulls({
      ...{ connection, stream, durable },
      room: () => this.#room(),
      heard: (message) => this.#heard(message),
      failed: (error) => this.#failed(error),
    });
    const missing = consumer.alone ? consumer.pending : 0;
    const everyMs = consumer.ackWaitMs * progressShare;
    const waitMs = missing > 0 ? consumer.ackWaitMs + settleGraceMs : 0;
    const timers = [
      setInterval(() => this.#tellProgress(everyMs), everyMs),
      setTimeout(() => pulls.ask(), waitMs + 1),
    ];
    const fromMs = performance.now() + waitMs;
    this.#session = { connection, consumer, pulls, timers, fromMs, missing };
    report('sourceSubscribed', { source: this.name, resumed: missing > 0 });
  }

  /** The connection is gone: what the path has not taken will be delivered again. */
  #leave(): Delivered[] {
    const session = this.#session;
    this.#session = null;
    session?.pulls.close();
    for (const timer of session?.timers ?? []) clearTimeout(timer);
    const forgotten = this.#intake.forget();
    const first = forgotten[0];
    if (first !== undefined) this.#highest = Math.min(this.#highest, first.sequence - 1);
    return forgotten;
  }

  #failed(error: TidegateError): void {
    this.#leave();
    this.#link.fail(error);
  }

  #room(): number {
    const session = this.#session;
    if (session === null || this.#intake.held || performance.now() < session.fromMs) return 0;
    const free = session.consumer.unacknowledged - this.#intake.messages;
    return session.missing > 0 ? Math.min(session.missing, free) : free;
  }

  #heard(message: NatsMessage): void {
    const delivered = deliveredOf(message);
    const session = this.#session;
    if (delivered === null || session === null) return;
    if (session.consumer.alone && !this.#isNext(delivered, session)) return;
    this.#intake.push(delivered);
  }

  /** With a consumer of our own: false for what is in hand already. */
  #isNext({ sequence, again, reply }: Delivered, session: Session): boolean {
    if (session.missing > 0 && again) session.missing -= 1;
    else if (session.missing > 0) {
      const detail = `${session.missing} messages delivered before have not come again`;
      this.#failed(new TidegateError('natsTimeout', detail));
      return false;
    }
    if (sequence > this.#highest) {
      this.#highest = sequence;
      return true;
    }
    // On disk, and so are all before it: the acknowledgement went with a connection that broke.
    if (sequence <= this.#done) session.connection.publish(reply, answers.ack);
    return false;
  }

  /** After all that one commit settled, in order. */
  #progress(): void {
    const settled = this.#settled.splice(0);
    const session = this.#session;
    const { connection } = this.#link;
    const acksAll = session?.consumer.acksAll === true;
    const due = acksAll ? settled.slice(-1) : settled;
    if (connection === null) this.#unsent.push(...due);
    else for (const { reply } of due) connection.publish(reply, answers.ack);
    session?.pulls.ask();
  }

  #tellProgress(olderMs: number): void {
    const session = this.#session;
    if (session === null) return;
    const now = performance.now();
    for (const { reply, atMs } of this.#intake.unsettled()) {
      if (now - atMs >= olderMs) session.connection.publish(reply, answers.working);
    }
  }

  /** Nothing more is pulled; what was is still taken, committed and acknowledged until `close`. */
  stop(): void {
    this.#link.stop();
    void this.#session?.pulls.drain();
  }

  async close(): Promise<void> {
    await this.#session?.pulls.drain();
    await this.#parts.settle(() => this.#intake.rests);
    const session = this.#session;
    for (const { reply } of this.#leave()) session?.connection.publish(reply, answers.again);
    await this.#link.close();
  }
}
