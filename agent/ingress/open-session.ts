/**
 * What one accepted connection of a device is made of: its name, what it was granted, what it is
 * owed, its aliases, its QoS 2 identifiers and its Will; and what is done with each of its packets.
 *
 *   PUBLISH  captured → owed its commit (and the broker's answer, where the broker got a copy)
 *            passed   → to the broker, whose answer takes its place among the acknowledgements
 *   PUBREL   of a captured identifier: released in a commit, then PUBCOMP; else the broker's
 *
 * The stream itself (reading, waiting, ending) is `mqtt-filter.ts`.
 */
import type { Duplex } from 'node:stream';
import { unreleasedFrames } from '../bounds.ts';
import type { Report } from '../events.ts';
import { AckQueue, type AckType, ackTypes } from './ack-queue.ts';
import { ClientLife } from './client-life.ts';
import type { Connack, ConnectPacket, Grants } from './connect-packet.ts';
import { Deliveries } from './deliveries.ts';
import { DownFlow } from './down-flow.ts';
import { KeepAlive } from './keep-alive.ts';
import { withTopicName } from './publish-packet.ts';
import type { Seat } from './seat.ts';
import type { CapturedFrame, Path } from './source.ts';
import { SubscribeAccess } from './subscribe-access.ts';
import { TopicAliases } from './topic-aliases.ts';
import type { UpFlow } from './up-flow.ts';

const nothing = Buffer.alloc(0);
const disconnectPacket = Buffer.from([0xe0, 0x00]); // [MQTT-3.14]
const version5 = 5;
const type = { pubrel: 6, subscribe: 8, pingreq: 12, disconnect: 14 } as const;
const errorReasons = 0x80;
/** Where the Reason Code of PUBREC stands, when there is one. */
const reasonCodeAt = 4;

/** Reason Codes [MQTT 5.0 table 2-6]. */
const reasons = {
  protocolError: 0x82,
  notAuthorized: 0x87,
  identifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  quotaExceeded: 0x97,
} as const;

export interface SessionCalls {
  toBroker(bytes: Uint8Array): void;
  refuse(reason: string, reasonCode: number): void;
  acknowledge(): void;
  connack(bytes: Buffer): Buffer | null;
  /** The broker answers CONNECT with AUTH: the device has to answer that. */
  authenticating(): void;
  brokerMalformed(error: unknown): void;
  /** Another connection of this client was accepted. */
  takenOver(): void;
  /** The way up of this connection. */
  source(): UpFlow;
}

export interface SessionParts {
  readonly path: Path;
  readonly report: Report;
  readonly peer: string;
  readonly number: number;
  readonly seat: Seat;
}

export class OpenSession {
  readonly #parts: SessionParts;
  readonly #calls: SessionCalls;
  readonly #subscriptions = new SubscribeAccess();
  /**
   * QoS 2 identifiers that the broker alone has: an embedded one is not asked of others, and they
   * count against the Receive Maximum.
   */
  readonly #brokersQos2 = new Set<number>();
  /** QoS 2 identifiers that this connection published and did not release (MQTT 5.0, 4.9). */
  readonly #unreleased = new Set<number>();
  readonly down: DownFlow;
  readonly acks = new AckQueue();
  readonly keepAlive = new KeepAlive();
  readonly #deliveries = new Deliveries();
  readonly aliases = new TopicAliases();
  #connect: ConnectPacket | null = null;
  #life: ClientLife | null = null;
  /** The Will is not wanted any more. */
  #clean = false;
  #deviceSaidDisconnect = false;
  #brokerSaidDisconnect = false;

  granted: Grants;
  nameBytes: Uint8Array = nothing;
  client: Uint8Array = nothing;
  deviceName = '';
  version = 0;
  allowGroups: number | null = null;

  constructor(device: Duplex, parts: SessionParts, calls: SessionCalls) {
    this.#parts = parts;
    this.#calls = calls;
    this.granted = parts.seat.grants;
    this.down = new DownFlow(device, parts.path, {
      connack: (bytes) => calls.connack(bytes),
      brokerAcknowledged: (ack, packetId, bytes) => this.#brokerAcknowledged(ack, packetId, bytes),
      acknowledge: () => calls.acknowledge(),
      ownPing: () => this.keepAlive.pingAnswered(),
      suback: (bytes, packetId) => this.#subscriptions.suback(bytes, packetId, this.version),
      authenticating: () => calls.authenticating(),
      malformed: (error) => calls.brokerMalformed(error),
      disconnected: () => {
        this.#brokerSaidDisconnect = true;
      },
      delivered: (publish) => this.#deliveries.sent(publish),
    });
  }

  get seen(): ReadonlyMap<number, unknown> | null {
    const ids = this.#life?.session.ids;
    return ids === undefined || ids.size === 0 ? null : ids;
  }

  get authenticates(): boolean {
    return this.#connect?.authenticates === true;
  }

  /** [MQTT-3.1.2-24] */
  mayHear(packet: Uint8Array): boolean {
    return packet.length <= (this.#connect?.maxPacketBytes ?? 0);
  }

  get sessionEnds(): boolean {
    return this.version === version5 && this.#connect?.sessionExpirySeconds === 0;
  }

  /** Either side said DISCONNECT: nobody is told again. */
  get saidGoodbye(): boolean {
    return this.#brokerSaidDisconnect || this.#deviceSaidDisconnect;
  }

  connect(connect: ConnectPacket): void {
    this.#connect = connect;
    this.version = connect.version;
    this.down.version = connect.version;
  }

  /** @param device as the log-in names it; empty: nobody has a name for it */
  admitted(device: string): void {
    const clientId = this.#connect?.clientId ?? '';
    this.#name(device === '' ? `anonymous-${this.#parts.number}` : device, clientId);
    const { seat, number } = this.#parts;
    if (clientId !== '') seat.sessions.connects(seat.scope, clientId, number);
  }

  /** The same client connected again [MQTT-3.1.4-3], 3.1.1: [MQTT-3.1.4-2]. */
  get takenOver(): boolean {
    const clientId = this.#connect?.clientId ?? '';
    const { seat, number } = this.#parts;
    return clientId !== '' && seat.sessions.takenOver(seat.scope, clientId, number);
  }

  #name(device: string, clientId: string): void {
    this.deviceName = device;
    this.nameBytes = Buffer.from(device);
    this.client = clientId === device || clientId === '' ? nothing : Buffer.from(clientId);
  }

  /** @returns the commit the CONNACK has to wait for, or −1 */
  accepted(connack: Connack): number {
    const connect = this.#connect as ConnectPacket;
    const { seat } = this.#parts;
    this.granted = connack.granted;
    const assigned = connack.assignedClientId;
    if (assigned !== null && connect.clientId === '' && this.deviceName.startsWith('anonymous-')) {
      this.#name(assigned, assigned);
    }
    this.keepAlive.start(
      connack.serverKeepAliveSeconds ?? connect.keepAliveSeconds, // [MQTT-3.2.2-21]
      Date.now(),
    );
    this.regroup();
    this.#life = new ClientLife(seat, this.#parts.number, connect, assigned);
    return this.#life.begin(connack.sessionPresent, this.#calls.source(), () =>
      this.#calls.takenOver(),
    );
  }

  /** Bytes of the Will that is kept. */
  get willBytes(): number {
    return this.#life?.will?.stored.packet.length ?? 0;
  }

  get hasWill(): boolean {
    return this.#connect?.will != null;
  }

  /** DISCONNECT was seen behind what a limit holds: the device is gone in peace. */
  disconnectSeen(): void {
    if (this.#deviceSaidDisconnect) return;
    this.#deviceSaidDisconnect = true;
    this.#clean = true;
    this.#toBroker(disconnectPacket);
  }

  /** Which allow rules hold for this device, as the core has them now. */
  regroup(): void {
    this.allowGroups = this.#parts.seat.access?.groupsFor(this.deviceName) ?? null;
  }

  /** [MQTT-3.3.4-7]: more than was granted is the device's error. */
  checkReceiveMaximum(): void {
    if (this.version !== version5) {
      if ((this.#life?.session.ids.size ?? 0) > unreleasedFrames) {
        this.#calls.refuse('unreleasedFrames', reasons.receiveMaximumExceeded);
      }
      return;
    }
    const qos2 = this.#unreleased.size + this.#brokersQos2.size;
    const unanswered = this.acks.pubacks + qos2;
    if (unanswered <= this.granted.receiveMaximum) return;
    this.#calls.refuse('receiveMaximum', reasons.receiveMaximumExceeded);
  }

  passed(packetType: number, packet: Buffer, packetId: number): void {
    if (!this.#deliveries.allows(packetType, packetId, packet[reasonCodeAt] ?? 0)) {
      this.#calls.refuse('acknowledgement', reasons.protocolError); // [MQTT-3.3.4-1]
      return;
    }
    if (packetType === type.pubrel) {
      this.#release(packet, packetId);
      return;
    }
    if (packetType === type.pingreq) {
      if (this.#calls.source().pingTaken()) return;
      this.keepAlive.devicePinged();
    }
    if (packetType === type.subscribe && this.#parts.seat.access !== null) {
      this.#subscribe(packet);
      return;
    }
    // [MQTT-3.14.4-3]; any other Reason Code leaves the Will to be published.
    const reason = packet.length > 2 ? packet[2] : 0;
    if (packetType === type.disconnect) {
      this.#deviceSaidDisconnect = true;
      this.#clean = reason === 0;
    }
    this.#toBroker(packet);
  }

  published(frame: CapturedFrame): void {
    this.#learn(frame);
    const { packetId, qos } = frame;
    if (qos === 2) this.#brokersQos2.add(packetId);
    if (qos > 0) this.acks.pushPassed(packetId, answerOf(qos));
    this.#toBroker(this.#packetOf(frame));
  }

  captured(frame: CapturedFrame): void {
    const { packetId, qos, verdict } = frame;
    this.#learn(frame);
    if (qos === 2) this.#unreleased.add(packetId);
    if (verdict === 'deny') this.#deny(frame);
    else if (verdict === 'repeat') this.#repeat(frame);
    else if (verdict === 'drop') this.#drop(frame);
    else {
      if (verdict === 'bury') this.#report('frameBuried', frame);
      const copy = frame.copy && this.#mayCopy;
      if (copy) this.#toBroker(this.#packetOf(frame));
      if (qos === 0) return;
      const { openCommit } = this.#parts.path;
      const commit = qos === 2 ? this.#capture(packetId, copy) : openCommit;
      this.acks.push(commit, packetId, answerOf(qos), copy);
    }
  }

  /** While the broker behind is away there is nobody to copy to. */
  get #mayCopy(): boolean {
    return this.#parts.seat.embedded || this.#calls.source().copiesAll;
  }

  #capture(packetId: number, copy: boolean): number {
    return (this.#life as ClientLife).session.capture(packetId, copy, this.#calls.source());
  }

  /** It is stored already, or on its way: answered again after that commit [MQTT-4.3.3-10]. */
  #repeat(frame: CapturedFrame): void {
    const known = this.#life?.session.ids.get(frame.packetId);
    if (known === undefined) return;
    if (known.copied) this.#toBroker(this.#packetOf(frame));
    const commit = this.#parts.path.awaits(known.commit, this.#calls.source());
    this.#oweAtOnce(frame, 0, commit, known.copied);
  }

  /** Version 5 hears why; 3.1.1 can only be told that it arrived (design, promise 1). */
  #drop(frame: CapturedFrame): void {
    this.#report('frameDropped', frame);
    const five = this.version === version5;
    if (frame.qos === 2 && !five) this.#life?.session.refuse(frame.packetId);
    this.#oweAtOnce(frame, five ? reasons.quotaExceeded : 0);
  }

  #deny(frame: CapturedFrame): void {
    this.#report('frameDenied', frame);
    if (frame.qos === 0) return;
    if (this.version === version5) this.#oweAtOnce(frame, reasons.notAuthorized);
    else this.#calls.refuse('notAuthorized', reasons.notAuthorized); // [MQTT-3.3.5-2]
  }

  #oweAtOnce(frame: CapturedFrame, reasonCode: number, commit = -1, copied = false): void {
    if (frame.qos === 0) return;
    if (reasonCode !== 0) this.#unreleased.delete(frame.packetId);
    this.acks.push(commit, frame.packetId, answerOf(frame.qos), copied, reasonCode);
    if (this.acks.length === 1) queueMicrotask(() => this.#calls.acknowledge());
  }

  #release(packet: Buffer, packetId: number): void {
    this.#unreleased.delete(packetId);
    const known = this.#life?.session.ids.get(packetId);
    if (known !== undefined) {
      const commit = (this.#life as ClientLife).session.release(packetId, this.#calls.source());
      if (known.copied) this.#toBroker(packet);
      this.acks.push(commit, packetId, ackTypes.pubcomp, known.copied);
      if (commit < 0) queueMicrotask(() => this.#calls.acknowledge());
      return;
    }
    if (!this.#brokersQos2.delete(packetId) && this.#parts.seat.embedded) {
      const reason = this.version === version5 ? reasons.identifierNotFound : 0;
      this.acks.push(-1, packetId, ackTypes.pubcomp, false, reason);
      queueMicrotask(() => this.#calls.acknowledge());
      return;
    }
    this.#toBroker(packet);
  }

  #brokerAcknowledged(ack: AckType, packetId: number, bytes: Buffer): boolean {
    if (ack === ackTypes.pubrec && (bytes[reasonCodeAt] ?? 0) >= errorReasons) {
      // The broker did not take the copy: it is not asked for the release.
      this.#life?.session.keptByUsAlone(packetId);
      this.#brokersQos2.delete(packetId);
    }
    return this.acks.brokerAcknowledged(ack, packetId, bytes);
  }

  #subscribe(packet: Buffer): void {
    const { access } = this.#parts.seat;
    const asked = this.#subscriptions.ask(
      packet,
      this.version,
      (filter) => access?.maySubscribe(this.deviceName, filter) !== false,
    );
    if (asked.forward !== null) this.#toBroker(asked.forward);
    if (asked.answer !== null) this.down.say(asked.answer);
    if (asked.forward !== packet) {
      this.#parts.report('subscribeDenied', { device: this.deviceName, peer: this.#parts.peer });
    }
  }

  #learn(frame: CapturedFrame): void {
    if (frame.alias > 0 && !frame.aliased) this.aliases.learn(frame.alias, frame.topicName());
  }

  /** As the broker is to get it: with a Topic Name of its own. */
  #packetOf(frame: CapturedFrame): Buffer {
    const bytes = this.#calls.source().chunk.subarray(frame.start, frame.end);
    return frame.aliased ? withTopicName(bytes, frame.topicName()) : bytes;
  }

  #report(name: 'frameDropped' | 'frameBuried' | 'frameDenied', frame: CapturedFrame): void {
    const topicName = Buffer.from(frame.topicName()).toString();
    this.#parts.report(name, { device: this.deviceName, topicName, qos: frame.qos });
  }

  #toBroker(bytes: Uint8Array): void {
    this.keepAlive.brokerGot(Date.now());
    this.#calls.toBroker(bytes);
  }

  /** The connection is gone. */
  close(): void {
    const { seat, number } = this.#parts;
    this.#life?.end(this.#clean);
    this.#life = null;
    seat.sessions.disconnected(seat.scope, this.#connect?.clientId ?? '', number);
  }
}

function answerOf(qos: number): AckType {
  return qos === 1 ? ackTypes.puback : ackTypes.pubrec;
}
