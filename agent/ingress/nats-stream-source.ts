/**
 * A JetStream stream as a source: pulled from a durable consumer, acknowledged after the COMMIT.
 *
 *   connecting ─▶ settling ─▶ subscribed ──ended, failed──▶ waiting ─▶ connecting …
 *
 * What AckPolicy.All costs, and order asks for: an acknowledgement stands for all before it, also
 * for what was delivered to a connection that broke, or to a run of this agent that was killed, and
 * never came to the disk. So with a consumer of our own nothing goes to the path before the server
 * has delivered all of that again: `settling` (nats-gathering.ts). And every delivery must be ours:
 * one that is not (a request of a broken connection that the server still believes in, somebody
 * else who pulls) leaves a gap in their numbers, and the connection is made anew.
 *
 * While a limit or the disk holds, nothing is pulled, and what is in hand is told to be in progress
 * (+WPI), so that it is not delivered again.
 */
import { natsProgressMostMs } from '../bounds.ts';
import type { NatsStreamSourceConfig } from '../config/types-nats.ts';
import { TidegateError } from '../errors.ts';
import type { NatsConnection, NatsMessage } from '../nats-client.ts';
import type { NatsLink, NatsLinkParts } from '../nats-link.ts';
import { MessageIntake } from './message-intake.ts';
import { bindConsumer, type Consumer, pendingOf } from './nats-consumer.ts';
import { answers, type Delivered, deliveredOf } from './nats-delivered.ts';
import { Gathering } from './nats-gathering.ts';
import { Pulls } from './nats-pulls.ts';
import { formOf, type NatsSourceParts } from './nats-source.ts';

/** Parts of `ackWait` after which what is in hand is told to be in progress. */
const progressShare = 1 / 3;
/** The server looks for what was not acknowledged a moment after its time. */
const settleGraceMs = 250;
const countAgainMs = 1_000;
const timerMostMs = 2 ** 31 - 1;

/** One connection's conversation with the consumer. */
interface Session {
  readonly connection: NatsConnection;
  readonly consumer: Consumer;
  readonly pulls: Pulls;
  readonly timers: NodeJS.Timeout[];
  /** The last delivery of a consumer of our own. */
  place: number;
  /** What was delivered before this connection; null: all of that is with the path. */
  gathering: Gathering | null;
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
  #generation = 0;
  #isStopped = false;

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
        if (delivered.generation !== this.#generation) return;
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
    return this.#session?.gathering ? 'settling' : 'subscribed';
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
    if (this.#isStopped || this.#link.connection !== connection) return;
    this.#recognise(consumer);
    this.#session = this.#begin(connection, consumer);
    report('sourceSubscribed', { source: this.name, resumed: this.#session.gathering !== null });
  }

  /** Numbers of another consumer, or of one that was set back, say nothing about this one's. */
  #recognise({ created, sequence }: Consumer): void {
    if (created === this.#created && sequence >= this.#highest) return;
    this.#created = created;
    this.#generation += 1;
    this.#highest = 0;
    this.#done = 0;
  }

  #begin(connection: NatsConnection, consumer: Consumer): Session {
    const { stream, durable } = this.#config;
    const pulls = new Pulls({
      ...{ connection, stream, durable },
      room: () => this.#room(),
      isBrief: () => this.#session?.gathering !== null,
      heard: (message) => this.#heard(message),
      over: (brought) => {
        if (this.#session?.gathering?.over(brought)) void this.#count(this.#session);
      },
      failed: (error) => this.#failed(error),
    });
    const pending = consumer.alone ? consumer.pending : 0;
    const everyMs = Math.min(consumer.ackWaitMs * progressShare, natsProgressMostMs);
    const waitMs = pending > 0 ? consumer.ackWaitMs + settleGraceMs : 0;
    const timers = [
      setInterval(() => this.#tellProgress(everyMs), everyMs),
      setTimeout(() => pulls.ask(), Math.min(waitMs + 1, timerMostMs)),
    ];
    const gathering = pending > 0 ? new Gathering(pending, performance.now() + waitMs) : null;
    return { connection, consumer, pulls, timers, place: consumer.place, gathering };
  }

  /** Nothing more comes again: whether that was all. */
  async #count(session: Session): Promise<void> {
    const { connection, pulls, timers, gathering } = session;
    try {
      const pending = await pendingOf(connection, this.#config);
      if (this.#session !== session || gathering === null) return;
      if (gathering.counted(pending)) {
        session.gathering = null;
        for (const delivered of gathering.inOrder()) {
          if (this.#isNext(delivered, session)) this.#intake.push(delivered);
        }
        pulls.ask();
      } else timers.push(setTimeout(() => pulls.ask(), countAgainMs));
    } catch (error) {
      if (this.#session === session) this.#failed(error as TidegateError);
    }
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
    return [...forgotten, ...(session?.gathering?.found ?? [])];
  }

  #failed(error: TidegateError): void {
    this.#leave();
    this.#link.fail(error);
  }

  #room(): number {
    const session = this.#session;
    if (session === null || this.#intake.held) return 0;
    const { gathering, consumer } = session;
    if (gathering !== null) return gathering.room(performance.now());
    return consumer.unacknowledged - this.#intake.messages;
  }

  #heard(message: NatsMessage): void {
    const delivered = deliveredOf(message, this.#generation);
    const session = this.#session;
    if (delivered === null || session === null) return;
    if (session.consumer.alone && !this.#isOurs(delivered, session)) return;
    this.#intake.push(delivered);
  }

  /** Of a consumer of our own: whether the path takes it now. */
  #isOurs(delivered: Delivered, session: Session): boolean {
    session.place += 1;
    if (delivered.place !== session.place) {
      const { stream, durable } = this.#config;
      const count = delivered.place - session.place;
      const detail = `${stream}/${durable}: ${count} deliveries went elsewhere`;
      this.#failed(new TidegateError('natsConsumerShared', detail));
      return false;
    }
    if (session.gathering === null) return this.#isNext(delivered, session);
    session.gathering.add(delivered);
    return false;
  }

  /** With a consumer of our own: false for what is in hand already. */
  #isNext({ sequence, reply }: Delivered, session: Session): boolean {
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
    const inHand = [...this.#intake.unsettled(), ...(session.gathering?.found ?? [])];
    for (const { reply, atMs } of inHand) {
      if (now - atMs >= olderMs) session.connection.publish(reply, answers.working);
    }
  }

  /** Nothing more is pulled; what was is still taken, committed and acknowledged until `close`. */
  stop(): void {
    this.#isStopped = true;
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
