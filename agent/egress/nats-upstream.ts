/**
 * A NATS server as an upstream: JetStream's PubAck confirms; of core NATS the PONG behind a group.
 *
 *   offline ──connect──▶ opening ──accepted──▶ online ──ended──▶ back-off ──▶ opening
 *                           └───refused───▶ the forwarder's back-off, or halted
 *
 * At most `inFlight` messages are without a PubAck, fewer at first: a connection begins with one
 * and doubles with each round trip, because a server that has just come may not have all its
 * streams yet. What is refused for now, or not answered in time, stops the sending; when all that
 * was in flight is answered, what failed goes again, first, in its order, one at a time. So does
 * what a lost connection left unanswered. Each has its Nats-Msg-Id, by which the stream drops what
 * it has already (within its duplicate window).
 *
 * In flight together, what is behind a refused message may be taken before it: order of first
 * arrivals is kept unless a stream begins or ceases to take messages within one round trip.
 *
 * In a once lane nothing goes again, and what was refused, or not answered, is told as lost.
 */
import { backoffCapMs, natsPubAckWithinMs } from '../bounds.ts';
import type { NatsUpstreamConfig } from '../config/types.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { ConnectNats, NatsMessage, sealedHeaders } from '../nats-client.ts';
import { Backoff, type Random } from './backoff.ts';
import { judge } from './nats-answers.ts';
import { encodeHeaders } from './nats-headers.ts';
import { MissingSubjects } from './nats-missing.ts';
import { Outcomes } from './nats-outcomes.ts';
import { type Parcel, Parcels } from './nats-parcels.ts';
import { NatsSession, type Online, pong, replyOf } from './nats-session.ts';
import type { EgressRecord } from './record.ts';
import type { LivedTime } from './segment-source.ts';
import { Timers } from './timers.ts';
import type { Upstream, UpstreamSink } from './upstream.ts';

/** What tests shrink. */
export interface NatsTuning {
  readonly pubAckWithinMs?: number;
  readonly missingAfterMs?: number;
}

export interface NatsParts {
  /** Of agent/nats-client.ts, which only a config with a NATS seat loads. */
  readonly connect: ConnectNats;
  readonly headers: typeof sealedHeaders;
  readonly sink: UpstreamSink;
  readonly lived: Pick<LivedTime, 'now'>;
  readonly random: Random;
  readonly once: boolean;
  readonly tuning?: NatsTuning;
}

type Mode = 'idle' | 'sending' | 'paused' | 'closed';

export class NatsUpstream implements Upstream {
  readonly #config: NatsUpstreamConfig;
  readonly #parts: NatsParts;
  readonly #parcels = new Parcels();
  readonly #outcomes: Outcomes;
  readonly #backoff: Backoff;
  readonly #session: NatsSession;
  readonly #missing: MissingSubjects;
  readonly #answerWithinMs: number;
  #mode: Mode = 'idle';
  #online: Online | null = null;
  #opening: Promise<Online> | null = null;
  /** `again`: connect, or send, once a back-off is over; `late`: the oldest is due. */
  readonly #timers = new Timers<'again' | 'late'>();
  /** Most messages at a time since something was refused, or the connection is new. */
  #width = 1;
  #narrowings = 0;
  #heldUntilMs = 0;
  /** The connection on which a PONG is waited for. */
  #pinged: Online | null = null;
  #stepDue = false;

  constructor(config: NatsUpstreamConfig, parts: NatsParts) {
    this.#config = config;
    this.#parts = parts;
    this.#outcomes = new Outcomes(parts.sink, parts.once);
    this.#backoff = new Backoff(parts.random);
    this.#missing = new MissingSubjects(parts.tuning?.missingAfterMs);
    this.#answerWithinMs = parts.tuning?.pubAckWithinMs ?? natsPubAckWithinMs;
    this.#session = new NatsSession(config, {
      connect: parts.connect,
      opened: (online) => this.#opened(online),
      answered: (token, message) => this.#answered(token, message),
      denied: (operation, subject) => this.#denied(operation, subject),
      ended: (online, error) => this.#ended(online, error),
    });
  }

  get pending(): number {
    return this.#parcels.size;
  }

  get inFlight(): number {
    return this.#parcels.out;
  }

  async connect(): Promise<void> {
    this.#mode = 'sending';
    this.#timers.stop('again');
    await this.#open();
    this.#step();
  }

  submit(record: EgressRecord): void {
    this.#parcels.add(record);
  }

  flush(): void {
    this.#step();
  }

  pause(): void {
    this.#mode = 'paused';
    this.#timers.stop('again');
  }

  resume(): void {
    if (this.#mode === 'paused') this.#mode = 'idle';
  }

  /** The connection stays: what is read anew goes out behind what was sent on it. */
  async abandon(): Promise<void> {
    this.#mode = 'idle';
    this.#timers.stop('again', 'late');
    this.#parcels.clear();
    await this.#opening?.catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#mode = 'closed';
    this.#timers.stop('again', 'late');
    // Not waited for: what a dead server did not read is sent again by the next process.
    this.#online?.connection.destroy();
    this.#online = null;
  }

  async #open(): Promise<void> {
    if (this.#online !== null) return;
    this.#opening ??= this.#session.open().finally(() => {
      this.#opening = null;
    });
    await this.#opening;
  }

  #opened(online: Online): void {
    if (this.#mode === 'closed') {
      online.connection.destroy();
      return;
    }
    this.#online = online;
    this.#width = this.#parts.once ? Number.POSITIVE_INFINITY : 1;
  }

  #ended(online: Online, error: TidegateError): void {
    if (this.#online !== online) return;
    this.#online = null;
    this.#pinged = null;
    if (performance.now() - online.sinceMs > backoffCapMs) this.#backoff.succeeded();
    if (this.#parts.once) this.#outcomes.lost(this.#parcels.dropOut(), error);
    else this.#parcels.allBack();
    this.#outcomes.tell();
    if (this.#mode !== 'sending') return;
    // A log-in that ended is tried again with what its files have by now: that may halt.
    const isFinal = error.class === 'halt';
    this.#later(isFinal ? new TidegateError('upstreamUnreachable', error.message) : error);
  }

  /** Connects again after the back-off, for as long as it takes. */
  #later(error: TidegateError): void {
    if (error.class === 'halt') {
      this.#halt(error);
      return;
    }
    const delayMs = this.#backoff.failed();
    this.#parts.sink.retrying(error, this.#backoff.attempts, delayMs);
    this.#timers.after('again', delayMs, () => void this.#again());
  }

  async #again(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (this.#mode === 'sending') this.#later(asError(error));
      return;
    }
    this.#step();
    this.#parts.sink.progress();
  }

  #halt(error: TidegateError): void {
    if (this.#mode === 'paused') return;
    this.pause();
    this.#parts.sink.halted(error);
  }

  #step(): void {
    this.#dispatch();
    this.#outcomes.tell();
  }

  /** Sends what may be sent now. */
  #dispatch(): void {
    const online = this.#online;
    if (online === null || this.#mode !== 'sending') return;
    if (this.#parcels.failed > 0) {
      if (this.#parcels.out > 0) return;
      this.#parcels.reclaim();
    }
    const nowMs = performance.now();
    if (this.#heldUntilMs > nowMs) {
      this.#timers.after('again', this.#heldUntilMs - nowMs, () => this.#step());
      return;
    }
    const most = Math.min(this.#config.inFlight, this.#width);
    while (this.#parcels.out < most && this.#parcels.failed === 0) {
      const parcel = this.#parcels.take(nowMs);
      if (parcel === null) break;
      this.#send(parcel, online);
    }
    if (!this.#config.jetstream) void this.#confirmByPong(online);
    this.#watch();
  }

  #send(parcel: Parcel, online: Online): void {
    const { record } = parcel;
    const { connection } = online;
    const expiresAtMs = record.carried?.expiresAtMs ?? null;
    if (expiresAtMs !== null && expiresAtMs <= this.#parts.lived.now()) {
      this.#parcels.gone(parcel);
      this.#outcomes.expired(record);
      return;
    }
    parcel.narrowings = this.#narrowings;
    const lines = encodeHeaders(record);
    const bytes = lines.length + record.value.length;
    if (bytes > connection.maxPayloadBytes) {
      const detail = `${bytes} bytes; the server takes ${connection.maxPayloadBytes}`;
      this.#bury(parcel, new TidegateError('recordTooLarge', detail));
      return;
    }
    const headers = this.#parts.headers(lines);
    const reply = this.#config.jetstream ? { reply: replyOf(online, parcel.token) } : {};
    try {
      connection.publish(record.place.topic, record.value, { headers, ...reply });
    } catch (error) {
      this.#refused(parcel, asError(error));
    }
  }

  /** Core NATS confirms nothing, but a server that answers has read what came before. */
  async #confirmByPong(online: Online): Promise<void> {
    if (this.#pinged !== null || this.#parcels.out === 0) return;
    const group = this.#parcels.outNow();
    this.#pinged = online;
    const heard = await pong(online, this.#answerWithinMs);
    if (this.#online !== online) return;
    this.#pinged = null;
    // Silence is told by the watch.
    for (const parcel of heard ? group : []) {
      if (this.#parcels.find(parcel.token) === parcel) this.#confirm(parcel);
    }
    this.#step();
  }

  #answered(token: number, message: NatsMessage): void {
    const parcel = this.#parcels.find(token);
    if (parcel === null) return;
    const answer = judge(message, parcel.record.place.topic);
    if (answer.kind === 'foreign') return;
    if (answer.kind === 'confirmed') this.#confirm(parcel);
    else if (answer.kind === 'noStream') this.#noStream(parcel, answer.error);
    else if (answer.isFinal) this.#bury(parcel, answer.error);
    else this.#refused(parcel, answer.error);
    this.#stepSoon();
  }

  #noStream(parcel: Parcel, error: TidegateError): void {
    const { topic, unknownTopic } = parcel.record.place;
    const isMissing = unknownTopic === 'bury' && this.#missing.heard(topic, performance.now());
    if (isMissing) this.#bury(parcel, new TidegateError('topicUnknown', error.message));
    else this.#refused(parcel, error);
  }

  /** Once all answers of one read were heard. */
  #stepSoon(): void {
    if (this.#stepDue) return;
    this.#stepDue = true;
    queueMicrotask(() => {
      this.#stepDue = false;
      this.#step();
    });
  }

  #denied(operation: string, subject: string): void {
    const detail = `${operation} ${subject}: the server does not allow it`;
    const error = new TidegateError('upstreamUnauthorized', detail);
    const online = this.#online;
    if (operation === 'publish') {
      // No answer will come.
      const denied = this.#parcels.outNow().filter(({ record }) => record.place.topic === subject);
      for (const parcel of denied) this.#giveBack(parcel, error);
      this.#narrow();
      this.#halt(error);
    } else if (online !== null) {
      // Without an inbox nothing is answered: the next connection asks for one again.
      this.#halt(error);
      online.connection.destroy();
      this.#ended(online, error);
    }
    this.#step();
  }

  /** For now: nothing is wrong with the record. */
  #refused(parcel: Parcel, error: TidegateError): void {
    const isFirst = this.#parcels.failed === 0;
    this.#giveBack(parcel, error);
    if (this.#parts.once || !isFirst) return;
    this.#narrow();
    const delayMs = this.#backoff.failed();
    this.#heldUntilMs = performance.now() + delayMs;
    this.#parts.sink.retrying(error, this.#backoff.attempts, delayMs);
  }

  #giveBack(parcel: Parcel, error: TidegateError): void {
    if (!this.#parts.once) {
      this.#parcels.fail(parcel);
      return;
    }
    this.#parcels.gone(parcel);
    this.#outcomes.lost(1, error);
  }

  #narrow(): void {
    if (!this.#parts.once) this.#width = 1;
    this.#narrowings += 1;
  }

  #confirm(parcel: Parcel): void {
    this.#missing.found(parcel.record.place.topic);
    this.#wentWell(parcel);
    this.#outcomes.confirmed(parcel.record);
  }

  #bury(parcel: Parcel, error: TidegateError): void {
    this.#wentWell(parcel);
    this.#outcomes.buried(parcel.record, error);
  }

  #wentWell(parcel: Parcel): void {
    this.#parcels.gone(parcel);
    this.#backoff.succeeded();
    // Only what was sent since shows that it goes better.
    const sentSince = parcel.narrowings === this.#narrowings;
    if (sentSince && this.#width < this.#config.inFlight) this.#width += 1;
  }

  /** Looks when the oldest message without an answer is due. */
  #watch(): void {
    const oldest = this.#parcels.oldest;
    if (oldest === null || this.#timers.has('late')) return;
    const leftMs = oldest.sentAtMs + this.#answerWithinMs - performance.now();
    this.#timers.after('late', Math.max(1, leftMs), () => this.#sweep());
  }

  #sweep(): void {
    const lateMs = performance.now() - this.#answerWithinMs;
    const late = this.#parcels.outNow().filter(({ sentAtMs }) => sentAtMs <= lateMs);
    for (const parcel of late) {
      const detail = `${parcel.record.place.topic}: no PubAck within ${this.#answerWithinMs} ms`;
      this.#refused(parcel, new TidegateError('natsTimeout', detail));
    }
    if (late.length > 0) void this.#probe();
    this.#watch();
    this.#step();
  }

  /** A server that does not answer PING either is not there any more. */
  async #probe(): Promise<void> {
    const online = this.#online;
    if (online === null || this.#pinged !== null) return;
    this.#pinged = online;
    const isAlive = await pong(online, this.#answerWithinMs);
    if (this.#online !== online) return;
    this.#pinged = null;
    if (isAlive) {
      this.#step();
      return;
    }
    online.connection.destroy();
    this.#ended(online, new TidegateError('natsTimeout', `${online.connection.server} is silent`));
  }
}

function asError(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  return new TidegateError('upstreamUnreachable', messageOf(error), { cause: error });
}
