/**
 * Subjects of core NATS: what comes is taken at once and kept by nobody else, so what waits here is
 * bounded in messages and bytes, and beyond that dropped, counted and named (promise 4). Between
 * two connections the server drops it, which is what core NATS is.
 *
 *   connecting ──accepted──▶ subscribed ──ended──▶ waiting ──▶ connecting …   (nats-link.ts)
 *
 * A publisher that asked (request/reply) is answered after the COMMIT, in the form that JetStream's
 * PubAck has, so that its clients understand it (ADR-1):
 *
 *   {"stream":"<gateway>","seq":<frame number>}     or {"error":{"code","description"}}
 *
 * What no route wants is not answered: somebody else may be who does. A reply subject of the
 * server's own ($JS.API.…) is not either: a publisher could have us give orders that it may not.
 */
import { natsWaitingBytes, natsWaitingMessages } from '../bounds.ts';
import type { NatsCoreSourceConfig } from '../config/types-nats.ts';
import type { Report } from '../events.ts';
import type { NatsConnection, NatsMessage, NatsSubscription } from '../nats-client.ts';
import type { NatsLink, NatsLinkParts } from '../nats-link.ts';
import { MessageIntake, type Settled } from './message-intake.ts';
import { formOf, type NatsSourceParts } from './nats-source.ts';

interface Heard {
  readonly message: NatsMessage;
  /** Where the reply goes: a connection that is gone has nobody waiting at its end. */
  readonly connection: NatsConnection;
}

/** There the server takes orders ($JS, $SYS): nobody gives them through us. */
const order = /^\$/;
const refusals: Readonly<Record<'dropped' | 'refused', string>> = {
  dropped: '{"error":{"code":429,"description":"dropped by a limit"}}',
  refused: '{"error":{"code":400,"description":"refused: see the log of the gateway"}}',
};

export class NatsCoreSource {
  readonly #config: NatsCoreSourceConfig;
  readonly #parts: NatsSourceParts;
  readonly #report: Report;
  readonly #link: NatsLink;
  readonly #intake: MessageIntake<Heard>;
  #subscriptions: NatsSubscription[] = [];

  constructor(
    config: NatsCoreSourceConfig,
    parts: NatsSourceParts,
    openLink: (hooks: Pick<NatsLinkParts, 'up' | 'denied'>) => NatsLink,
  ) {
    this.#config = config;
    this.#parts = parts;
    this.#report = parts.report;
    this.#intake = new MessageIntake({
      ...parts,
      maxMessageBytes: config.maxMessageSize,
      form: ({ message }) => formOf(message, ''),
      settled: (heard, outcome, frame) => this.#answer(heard, outcome, frame),
      progress: () => {},
    });
    this.#link = openLink({ up: (connection) => this.#up(connection) });
  }

  get name(): string {
    return this.#parts.name;
  }

  get state(): string {
    return this.#link.state === 'up' ? 'subscribed' : this.#link.state;
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
    const { subjects, queue } = this.#config;
    this.#subscriptions = subjects.map((subject) =>
      connection.subscribe(subject, queue, (message) => this.#heard({ message, connection })),
    );
    await connection.flush();
    this.#report('sourceSubscribed', { source: this.name, resumed: false });
  }

  #heard(heard: Heard): void {
    const { untaken, bytes } = this.#intake;
    if (untaken < natsWaitingMessages && bytes < natsWaitingBytes) {
      this.#intake.push(heard);
      return;
    }
    const told = { source: this.name, subject: heard.message.subject, reason: 'overrun' };
    this.#report('messageOverrun', told);
    this.#reply(heard, refusals.dropped);
  }

  #answer(heard: Heard, outcome: Settled, frame: number): void {
    if (outcome === 'stored') {
      this.#reply(heard, JSON.stringify({ stream: this.#parts.gateway, seq: frame }));
    } else if (outcome !== 'passed') this.#reply(heard, refusals[outcome]);
  }

  #reply({ message, connection }: Heard, text: string): void {
    if (message.reply && !order.test(message.reply))
      connection.publish(message.reply, Buffer.from(text));
  }

  /** Nothing more is sent to us; what was is still taken, committed and answered until `close`. */
  stop(): void {
    this.#link.stop();
    void this.#drain();
  }

  async #drain(): Promise<void> {
    await Promise.all(this.#subscriptions.map((one) => one.drain()));
  }

  async close(): Promise<void> {
    await this.#drain();
    await this.#parts.settle(() => this.#intake.rests);
    for (const { message } of this.#intake.forget()) {
      const told = { source: this.name, subject: message.subject, reason: 'stopped' };
      this.#report('messageOverrun', told);
    }
    await this.#link.close();
  }
}
