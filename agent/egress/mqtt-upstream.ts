/**
 * An MQTT server as an upstream: PUBACK (QoS 1), PUBCOMP (QoS 2) or the flushed write (QoS 0)
 * confirms.
 *
 *   offline ──connect──▶ opening ──CONNACK──▶ online ──ended──▶ back-off ──▶ opening
 *                           └───refused───▶ the forwarder's back-off, or halted
 *
 * At most `inFlight` PUBLISHes, or the server's Receive Maximum, are without an answer. What a
 * connection left unanswered is sent again, first, in the order of its submission
 * (mqtt-parcels.ts); nobody else sends anything again.
 *
 * A refusal that a later attempt may mend (mqtt-reasons.ts) holds the lane for a back-off and
 * narrows it to one PUBLISH at a time, from where it doubles with each confirmation: a record that
 * is refused again and again is not overtaken by those behind it. A server that ends the connection
 * over a record is shown them one by one until it names the one, which is buried.
 */
import { backoffCapMs, socketBacklogBytes } from '../bounds.ts';
import type { MqttUpstreamConfig } from '../config/types.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { ConnectMqtt, MqttServer } from '../mqtt-client.ts';
import { Backoff, type Random } from './backoff.ts';
import type { Acknowledgement } from './mqtt-acknowledgements.ts';
import { type Parcel, Parcels } from './mqtt-parcels.ts';
import { encodePublish, encodePubrel } from './mqtt-publish.ts';
import { blamesRecord, judge } from './mqtt-reasons.ts';
import { MqttSession, type Online } from './mqtt-session.ts';
import type { PublishStream } from './mqtt-stream.ts';
import type { EgressRecord } from './record.ts';
import type { LivedTime } from './segment-source.ts';
import type { Upstream, UpstreamSink } from './upstream.ts';

export interface MqttParts {
  /** Of agent/mqtt-client.ts, which only a config with an MQTT seat loads. */
  readonly connect: ConnectMqtt;
  readonly sink: UpstreamSink;
  readonly lived: Pick<LivedTime, 'now'>;
  readonly random: Random;
  readonly once: boolean;
}

const millisecondsPerSecond = 1_000;

type Mode = 'idle' | 'sending' | 'paused';

export class MqttUpstream implements Upstream {
  readonly #config: MqttUpstreamConfig;
  readonly #parts: MqttParts;
  readonly #parcels = new Parcels();
  readonly #backoff: Backoff;
  readonly #session: MqttSession;
  #mode: Mode = 'idle';
  #online: Online | null = null;
  #opening: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** Most PUBLISHes at a time since something was refused. */
  #width = Number.POSITIVE_INFINITY;
  #narrowings = 0;
  #heldUntilMs = 0;
  #isDraining = false;
  /** Outcomes that the forwarder was not yet told to look at. */
  #hasSettled = false;

  constructor(config: MqttUpstreamConfig, parts: MqttParts) {
    this.#config = config;
    this.#parts = parts;
    this.#backoff = new Backoff(parts.random);
    this.#session = new MqttSession(config, {
      connect: parts.connect,
      once: parts.once,
      acknowledgements: {
        acknowledged: (one) => this.#acknowledged(one),
        told: () => this.#told(),
      },
      ended: (error, reasonCode) => this.#ended(error, reasonCode),
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
    this.#stopTimer();
    await this.#open();
    this.#dispatch();
  }

  submit(record: EgressRecord): void {
    this.#parcels.add(record);
  }

  flush(): void {
    this.#dispatch();
  }

  pause(): void {
    this.#mode = 'paused';
    this.#stopTimer();
  }

  resume(): void {
    if (this.#mode === 'paused') this.#mode = 'idle';
  }

  async abandon(): Promise<void> {
    this.#mode = 'idle';
    this.#stopTimer();
    this.#session.forget();
    this.#parcels.clear();
    this.#online?.connection.destroy();
    this.#online = null;
    await this.#opening?.catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#mode = 'idle';
    this.#stopTimer();
    this.#session.forget();
    const online = this.#online;
    this.#online = null;
    // The next process begins clean: the server need not keep anything.
    await online?.connection.close(0);
  }

  async #open(): Promise<void> {
    if (this.#online !== null) return;
    this.#opening ??= this.#session
      .open()
      .then((online) => {
        if (!online.connection.server.sessionPresent) this.#parcels.forgetSession();
        this.#isDraining = false;
        this.#online = online;
      })
      .finally(() => {
        this.#opening = null;
      });
    await this.#opening;
  }

  #ended(error: TidegateError, reasonCode: number | null): void {
    const online = this.#online;
    this.#online = null;
    if (online !== null && performance.now() - online.sinceMs > backoffCapMs) {
      this.#backoff.succeeded();
    }
    if (blamesRecord(reasonCode)) this.#blame(reasonCode as number);
    if (this.#parts.once) {
      const lost = this.#parcels.dropOut().length;
      if (lost > 0) this.#parts.sink.lost(lost, error);
    } else this.#parcels.allBack();
    this.#progress();
    if (this.#mode === 'sending') this.#later(error);
  }

  /** One record alone was out: it is the one. Else the next connection sends one at a time. */
  #blame(reasonCode: number): void {
    this.#narrow();
    const lone = this.#parcels.lone;
    const verdict = lone === null ? null : judge(reasonCode, lone.record.place.topic);
    if (lone !== null && verdict !== null) this.#bury(lone, verdict.error);
  }

  /** Connects again after the back-off, for as long as it takes. */
  #later(error: TidegateError): void {
    if (error.class === 'halt') {
      this.#halt(error);
      return;
    }
    const delayMs = this.#backoff.failed();
    this.#parts.sink.retrying(error, this.#backoff.attempts, delayMs);
    this.#after(delayMs, () => void this.#again());
  }

  async #again(): Promise<void> {
    try {
      await this.#open();
    } catch (error) {
      if (this.#mode === 'sending') this.#later(asError(error));
      return;
    }
    this.#dispatch();
    this.#parts.sink.progress();
  }

  #halt(error: TidegateError): void {
    if (this.#mode === 'paused') return;
    this.pause();
    this.#parts.sink.halted(error);
  }

  /** Sends what may be sent now. */
  #dispatch(): void {
    const online = this.#online;
    if (online === null || this.#mode !== 'sending' || this.#isDraining) return;
    const heldMs = this.#heldUntilMs - performance.now();
    if (heldMs > 0) {
      this.#after(heldMs, () => this.#dispatch());
      return;
    }
    const { receiveMaximum } = online.connection.server;
    // [MQTT-3.3.4-9]
    const most = Math.min(this.#config.inFlight, receiveMaximum, this.#width);
    online.stream.gather();
    while (this.#parcels.out < most && !this.#isDraining) {
      const parcel = this.#parcels.take();
      if (parcel === null) break;
      this.#send(parcel, online);
      if (online.stream.backlogBytes > socketBacklogBytes) this.#drain(online.stream);
    }
    online.stream.release();
    this.#progress();
  }

  #drain(stream: PublishStream): void {
    this.#isDraining = true;
    stream.onceDrained(() => {
      if (this.#online?.stream !== stream) return;
      this.#isDraining = false;
      this.#dispatch();
    });
  }

  #send(parcel: Parcel, { connection, stream }: Online): void {
    parcel.narrowings = this.#narrowings;
    if (parcel.state === 'released') {
      stream.publish(encodePubrel(parcel.packetId));
      return;
    }
    const expirySeconds = this.#expirySeconds(parcel);
    if (expirySeconds === 0) {
      this.#expired(parcel);
      return;
    }
    let packet: Buffer;
    try {
      packet = this.#packet(parcel, connection.server, expirySeconds);
    } catch (error) {
      this.#bury(parcel, asError(error));
      return;
    }
    parcel.state = 'sent';
    if (this.#config.qos > 0) stream.publish(packet);
    else stream.publish(packet, (error) => this.#flushed(parcel, stream, error));
  }

  #packet(parcel: Parcel, server: MqttServer, expirySeconds: number | null): Buffer {
    const { qos, version, retain } = this.#config;
    const packet = encodePublish(parcel.record, {
      version,
      qos,
      // [MQTT-3.2.2-14]
      retain: retain && server.retainAvailable && parcel.record.carried?.retain === true,
      // A session that lives on has it already [MQTT-3.3.1-1].
      duplicate: parcel.state === 'sent' && parcel.packetId !== 0,
      packetId: qos > 0 ? this.#parcels.identify(parcel) : 0,
      expirySeconds,
    });
    // [MQTT-3.2.2-15]
    if (packet.length <= server.maximumPacketBytes) return packet;
    const detail = `${packet.length} bytes; the server takes ${server.maximumPacketBytes}`;
    throw new TidegateError('recordTooLarge', detail);
  }

  /** What remains, in whole seconds; null: no end, 0: nobody wants it any more. */
  #expirySeconds({ record, packetId }: Parcel): number | null {
    const expiresAtMs = record.carried?.expiresAtMs ?? null;
    if (expiresAtMs === null) return null;
    const leftMs = expiresAtMs - this.#parts.lived.now();
    // A QoS 2 exchange that was begun is ended, whatever it carries [MQTT-4.4.0-1].
    const least = packetId === 0 ? 0 : 1;
    return Math.max(least, Math.ceil(leftMs / millisecondsPerSecond));
  }

  #flushed(parcel: Parcel, stream: PublishStream, error?: Error | null): void {
    if (error || this.#online?.stream !== stream) return;
    this.#confirm(parcel);
    this.#dispatch();
  }

  #acknowledged({ kind, packetId, reasonCode }: Acknowledgement): void {
    const parcel = this.#parcels.find(packetId);
    if (parcel === null || this.#online === null) return;
    const { qos } = this.#config;
    if (kind === 'puback' && qos === 1) this.#judge(parcel, reasonCode);
    if (kind === 'pubrec' && qos === 2) {
      if (judge(reasonCode, '') !== null) this.#judge(parcel, reasonCode);
      else {
        parcel.state = 'released';
        this.#online.stream.publish(encodePubrel(packetId)); // [MQTT-4.3.3-4]
      }
    }
    // 0x92, Packet Identifier not found: it was completed before the last connection ended.
    if (kind === 'pubcomp' && parcel.state === 'released') this.#confirm(parcel);
  }

  /** All acknowledgements of one read were heard. */
  #told(): void {
    this.#online?.connection.alive();
    this.#dispatch();
    this.#progress();
  }

  #judge(parcel: Parcel, reasonCode: number): void {
    const verdict = judge(reasonCode, parcel.record.place.topic);
    if (verdict === null) {
      this.#confirm(parcel);
      return;
    }
    const { error } = verdict;
    if (verdict.class === 'bury' || this.#parts.once) {
      this.#bury(parcel, error);
      return;
    }
    this.#parcels.again(parcel);
    if (verdict.class === 'halt') {
      this.#halt(error);
      return;
    }
    this.#narrow();
    if (this.#heldUntilMs > performance.now()) return;
    const delayMs = this.#backoff.failed();
    this.#heldUntilMs = performance.now() + delayMs;
    this.#parts.sink.retrying(error, this.#backoff.attempts, delayMs);
  }

  #narrow(): void {
    this.#width = 1;
    this.#narrowings += 1;
  }

  #confirm(parcel: Parcel): void {
    this.#parcels.gone(parcel);
    this.#backoff.succeeded();
    // Only what was sent since shows that it goes better.
    const sentSince = parcel.narrowings === this.#narrowings;
    if (sentSince && this.#width < this.#config.inFlight) this.#width *= 2;
    this.#hasSettled = true;
    this.#parts.sink.confirmed(parcel.record.segment, parcel.record.frame);
  }

  #bury(parcel: Parcel, error: TidegateError): void {
    this.#parcels.gone(parcel);
    this.#hasSettled = true;
    const { sink, once } = this.#parts;
    const { segment, frame } = parcel.record;
    if (once) sink.lost(1, error);
    else sink.buried(segment, frame, error.code, error.message);
  }

  #expired(parcel: Parcel): void {
    this.#parcels.gone(parcel);
    this.#hasSettled = true;
    this.#parts.sink.expired(parcel.record.segment, parcel.record.frame);
  }

  #progress(): void {
    if (!this.#hasSettled) return;
    this.#hasSettled = false;
    this.#parts.sink.progress();
  }

  #after(delayMs: number, run: () => void): void {
    this.#stopTimer();
    this.#timer = setTimeout(() => {
      this.#timer = null;
      run();
    }, delayMs);
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function asError(error: unknown): TidegateError {
  if (error instanceof TidegateError) return error;
  return new TidegateError('upstreamUnreachable', messageOf(error), { cause: error });
}
