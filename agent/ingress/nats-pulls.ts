/**
 * Pulls from a JetStream consumer, over one connection (ADR-13): one request at a time, for as many
 * messages as there is room for, with a heartbeat while it waits.
 *
 *   idle ──room──▶ asked ──its last message, or a status──▶ idle
 *                    └──no word for several heartbeats, consumer gone──▶ failed
 *
 *   status  100 heartbeat · 404, 408, 409 with what was left of the request: it is over
 *           409 "consumer deleted", 503 nobody answers: failed
 *
 * After a break of the connection requests are brief: what comes again is at hand, and whether that
 * was all is asked in between (nats-gathering.ts).
 *
 * A request is never taken back: `drain` lets what it still brings come, and nothing after it.
 */
import {
  natsBriefPullMs,
  natsPullBytes,
  natsPullExpiresMs,
  natsPullHeartbeatMs,
  natsPullMessages,
} from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import type { NatsConnection, NatsMessage, NatsSubscription } from '../nats-client.ts';

const nanosecondsPerMs = 1_000_000;
const heartbeatsMissed = 3;
const againAfterMs = 1_000;
const heartbeatCode = 100;
const nobodyCode = 503;
const conflictCode = 409;

const brief = { expires: natsBriefPullMs * nanosecondsPerMs };
const patient = {
  expires: natsPullExpiresMs * nanosecondsPerMs,
  idle_heartbeat: natsPullHeartbeatMs * nanosecondsPerMs,
};

export interface PullsParts {
  readonly connection: NatsConnection;
  readonly stream: string;
  readonly durable: string;
  /** Messages that may come now. */
  readonly room: () => number;
  /** Asked for what the server has at hand, and no more. */
  readonly isBrief: () => boolean;
  /** A request is over. @param brought messages */
  readonly over: (brought: number) => void;
  readonly heard: (message: NatsMessage) => void;
  readonly failed: (error: TidegateError) => void;
}

export class Pulls {
  readonly #parts: PullsParts;
  readonly #inbox: string;
  readonly #subscription: NatsSubscription;
  #state: 'idle' | 'asked' | 'draining' | 'closed' = 'idle';
  /** Of the request on its way: what it may still bring. */
  #left = 0;
  #brought = 0;
  /** The next message alone, whatever its size: it was larger than a request's bytes. */
  #large = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: PullsParts) {
    this.#parts = parts;
    this.#inbox = parts.connection.inbox();
    this.#subscription = parts.connection.subscribe(this.#inbox, null, (message) => {
      this.#heard(message);
    });
  }

  /** On its way, at most. */
  get expected(): number {
    return this.#state === 'asked' ? this.#left : 0;
  }

  /** Asks, if nothing is asked and there is room. */
  ask(): void {
    if (this.#state !== 'idle') return;
    const { connection, stream, durable, room, isBrief } = this.#parts;
    const batch = Math.min(this.#large ? 1 : natsPullMessages, room());
    if (batch <= 0) return;
    this.#state = 'asked';
    this.#left = batch;
    this.#brought = 0;
    const request = {
      batch,
      ...(this.#large ? {} : { max_bytes: natsPullBytes }),
      ...(isBrief() ? brief : patient),
    };
    const subject = `$JS.API.CONSUMER.MSG.NEXT.${stream}.${durable}`;
    connection.publish(subject, Buffer.from(JSON.stringify(request)), { reply: this.#inbox });
    this.#watch();
  }

  #heard(message: NatsMessage): void {
    if (this.#state === 'closed') return;
    if (message.subject === this.#inbox) {
      this.#status(message);
      return;
    }
    this.#left -= 1;
    this.#brought += 1;
    this.#parts.heard(message);
    if (this.#left > 0) this.#watch();
    else if (this.#state === 'asked') this.#over(0);
  }

  #status({ headers }: NatsMessage): void {
    const { code = 0, description = '' } = headers ?? {};
    if (code === heartbeatCode) {
      this.#watch();
      return;
    }
    if (code === nobodyCode || (code === conflictCode && /deleted/i.test(description))) {
      const gone = code === nobodyCode ? 'nobody answers' : 'the consumer was deleted';
      const { stream, durable } = this.#parts;
      this.#fail(new TidegateError('natsNoResponders', `${stream}/${durable}: ${gone}`));
      return;
    }
    if (this.#state !== 'asked') return;
    const isLarge = /size exceeds/i.test(description) && this.#brought === 0;
    this.#large = isLarge && !this.#large;
    // Others have the consumer's share of unacknowledged messages, or it is away for a moment.
    this.#over(code === conflictCode && !isLarge && this.#brought === 0 ? againAfterMs : 0);
  }

  #over(waitMs: number): void {
    clearTimeout(this.#timer);
    this.#state = 'idle';
    if (this.#left === 0) this.#large = false;
    this.#left = 0;
    this.#parts.over(this.#brought);
    if (waitMs > 0) this.#timer = setTimeout(() => this.ask(), waitMs);
    else this.ask();
  }

  #watch(): void {
    if (this.#state !== 'asked') return;
    clearTimeout(this.#timer);
    const { stream, durable } = this.#parts;
    this.#timer = setTimeout(() => {
      const detail = `${stream}/${durable}: no heartbeat`;
      this.#fail(new TidegateError('natsTimeout', detail));
    }, natsPullHeartbeatMs * heartbeatsMissed);
  }

  #fail(error: TidegateError): void {
    if (this.#state === 'closed' || this.#state === 'draining') return;
    this.close();
    this.#parts.failed(error);
  }

  /** Nothing more is asked; resolves when what was on its way is here. */
  async drain(): Promise<void> {
    this.close();
    this.#state = 'draining';
    await this.#subscription.drain().catch(() => undefined);
    this.#state = 'closed';
  }

  /** Asks nothing any more, and hears nothing. */
  close(): void {
    this.#state = 'closed';
    clearTimeout(this.#timer);
  }
}
