/**
 * The MQTT filter: one device's connection, seen as a byte stream between the device and the broker
 * behind the listener.
 *
 *   device ──bytes──▶ path (core) ──not captured──▶ broker
 *          ◀─PUBACK── ack queue ◀── committed
 *          ◀──────────────── everything the broker says, less what is ours ──── broker
 *
 * States: `connecting` (waits for a whole CONNECT) → `admitting` (log-in) → `accepting` (the broker
 * has the CONNECT; nothing behind it is taken, so a pipelined PUBLISH is captured only once the
 * broker accepted the device) → `open` → `closing` (one side ended; what was captured is still
 * committed and acknowledged) → `ending` (both sides are told) → `closed`. What the core calls
 * malformed is answered as the standard says and ends both sides, the broker's without DISCONNECT,
 * so that the Will fires. Packets of the open state are in `open-session.ts`.
 */
import type { Duplex } from 'node:stream';
import { brokerConnectWithinMs, closeWithinMs, connectWithinMs } from '../bounds.ts';
import { messageOf } from '../errors.ts';
import type { Report } from '../events.ts';
import { AbsentBroker } from './absent-broker.ts';
import { type Admission, admit, type Refusal, refusals } from './admission.ts';
import { connackRefusal, disconnectOf, readConnack, readConnect } from './connect-packet.ts';
import type { CertificateNames } from './login.ts';
import { OpenSession } from './open-session.ts';
import type { PartialBudget } from './partials.ts';
import { connectedEvent, partWays } from './parting.ts';
import type { Seat } from './seat.ts';
import type { Path } from './source.ts';
import { UpFlow } from './up-flow.ts';

const nothing = Buffer.alloc(0);
const pingreq = Buffer.from([0xc0, 0x00]); // [MQTT-3.12]
const version5 = 5;
const silent = 'no answer in time';

/** Reason Codes of a DISCONNECT by the server [MQTT 5.0 table 3-13]. */
const reasons = {
  unspecified: 0x80,
  shuttingDown: 0x8b,
  keepAliveTimeout: 0x8d,
  takenOver: 0x8e,
  topicAliasInvalid: 0x94,
  quotaExceeded: 0x97,
} as const;

export type FilterState =
  | 'connecting'
  | 'admitting'
  | 'accepting'
  | 'open'
  | 'closing'
  | 'ending'
  | 'closed';

export interface FilterParts {
  readonly path: Path;
  readonly partials: PartialBudget;
  readonly report: Report;
  readonly peer: string;
  readonly number: number;
  readonly seat: Seat;
  readonly certificate: CertificateNames | null;
  readonly onClosed: (filter: MqttFilter) => void;
}

export class MqttFilter {
  readonly #parts: FilterParts;
  readonly #device: Duplex;
  readonly #session: OpenSession;
  readonly #up: UpFlow;
  #broker: Duplex | null = null;
  #state: FilterState = 'connecting';
  #timer: NodeJS.Timeout;
  /** A CONNACK that waits for its commit. */
  #connack: { readonly commit: number; readonly bytes: Buffer } | null = null;
  /** What the device is told at the end. */
  #lastWords: Buffer = nothing;
  /** The CONNECT as it came, until the broker has answered it. */
  #connectBytes: Buffer = nothing;
  /** The broker behind took the connection: what it does from then on is its answer. */
  #reached = false;
  /** Its CONNACK was success: there is no second one. */
  #accepted = false;
  /** We are closing, and have waited for the broker's answers long enough. */
  #late = false;
  /** The broker behind is away: only what routes capture is taken. */
  captureOnly = false;

  constructor(device: Duplex, parts: FilterParts) {
    this.#device = device;
    this.#parts = parts;
    const up = (): UpFlow => this.#up;
    this.#session = new OpenSession(device, parts, {
      toBroker: (bytes) => this.#broker?.write(bytes),
      refuse: (reason, reasonCode) => this.refuse(reason, reasonCode),
      acknowledge: () => this.#acknowledge(),
      connack: (bytes) => this.#takeConnack(bytes),
      authenticating: () => this.#authenticating(),
      brokerMalformed: (error) => {
        parts.report('brokerFailed', { peer: parts.peer, reason: messageOf(error) });
        this.refuse('brokerMalformed', reasons.unspecified);
      },
      takenOver: () => this.refuse('takenOver', reasons.takenOver),
      source: up,
    });
    this.#up = new UpFlow(device, parts, this.#session, this, {
      mayTake: () =>
        (this.#state === 'connecting' || this.#state === 'open' || this.#up.phase === 'auth') &&
        this.#broker?.writableNeedDrain !== true,
      isOpen: () => this.#state === 'open',
      isClosed: () => this.#state === 'closed',
      connect: (packet) => this.#connect(packet),
      committed: (commit) => this.#committed(commit),
      fault: (fault) => this.#refuseFault(fault),
      // 3.3.2.3.4
      aliasUnknown: () => this.refuse('topicAliasInvalid', reasons.topicAliasInvalid, true),
      ended: () => this.#ended(),
    });
    this.#timer = setTimeout(() => this.refuse('connectTimeout'), connectWithinMs);
    device.on('error', () => this.#destroy('deviceError'));
    device.on('close', () => this.#destroy('deviceClosed'));
    device.on('drain', () => {
      this.#broker?.resume();
      this.#up.takeOn();
    });
  }

  get held(): boolean {
    return this.#up.held;
  }
  get deviceName(): string {
    return this.#session.deviceName;
  }

  #listenToBroker(broker: Duplex): void {
    const ours = (): boolean => this.#broker === broker;
    this.#reached = this.#parts.seat.embedded || broker instanceof AbsentBroker;
    broker.once(connectedEvent(broker), () => {
      this.#reached = true;
    });
    broker.on('data', (chunk: Buffer) => {
      if (ours() && !this.#session.down.take(chunk)) broker.pause();
    });
    broker.on('end', () => ours() && this.#brokerGone('ended'));
    broker.on('error', (error) => ours() && this.#brokerGone(error));
    broker.on('close', () => ours() && this.#brokerGone('closed'));
    broker.on('drain', () => this.#up.takeOn());
  }

  #connect(packet: Buffer): void {
    clearTimeout(this.#timer);
    this.#connectBytes = packet;
    const connect = readConnect(packet);
    this.#session.connect(connect);
    this.#state = 'admitting';
    const answer = admit(this.#parts.seat, connect, this.#parts.certificate);
    if (!(answer instanceof Promise)) this.#admitted(answer);
    else void answer.then((admission) => this.#admitted(admission));
  }

  #admitted(admission: Admission): void {
    if (this.#state !== 'admitting') return;
    if (!admission.admitted) {
      this.#refuseConnect(admission);
      return;
    }
    this.#session.admitted(admission.device);
    if (this.#session.hasWill && this.#parts.path.crowded) {
      this.#refuseConnect(refusals.busy);
      return;
    }
    this.#state = 'accepting';
    this.#up.copiesAll = !this.#parts.seat.embedded;
    this.#timer = setTimeout(() => this.#brokerGone(silent), brokerConnectWithinMs);
    this.#connectTo(this.#parts.seat.openBroker());
  }

  #connectTo(broker: Duplex): void {
    this.#broker = broker;
    this.#listenToBroker(broker);
    broker.write(this.#connectBytes);
  }

  #committed(commit: number): void {
    this.#session.acks.committed(commit);
    const waiting = this.#connack;
    if (waiting !== null && commit >= waiting.commit) {
      this.#connack = null;
      this.#session.down.release(waiting.bytes);
      this.#broker?.resume();
      this.#open();
    }
    this.#acknowledge();
  }

  #refuseFault(fault: number): void {
    const { faults } = this.#parts.seat;
    const name = faults.name(fault);
    if (this.#state !== 'connecting') {
      this.refuse(name, faults.reasonCode(fault, 'open'), true);
      return;
    }
    const version = faults.connectVersion();
    const returnCode = faults.returnCode(fault);
    if (version >= version5) {
      const reasonCode = faults.reasonCode(fault, 'connect');
      if (reasonCode !== null) this.#lastWords = connackRefusal(version5, reasonCode, 0);
    } else if (version > 0 && returnCode !== null) {
      this.#lastWords = connackRefusal(version, 0, returnCode);
    }
    this.refuse(name, 0, true);
  }

  #refuseConnect({ reason, reasonCode, returnCode }: Omit<Refusal, 'admitted'>): void {
    // [MQTT-3.2.2-6]
    this.#lastWords = connackRefusal(this.#session.version, reasonCode, returnCode);
    this.refuse(reason);
  }

  /**
   * Ends this connection because of what it sent, or did not send.
   * @param reasonCode of the DISCONNECT that version 5 gets once it is connected; null: none
   */
  refuse(
    reason: string,
    reasonCode: number | null = reasons.quotaExceeded,
    malformed = false,
  ): void {
    if (this.#state === 'ending' || this.#state === 'closed') return;
    const fields = { peer: this.#parts.peer, device: this.deviceName, reason };
    this.#parts.report(malformed ? 'frameRefused' : 'connectionRefused', fields);
    if (this.#state === 'open') this.#lastWords = this.#farewell(reasonCode);
    this.#close();
    this.#up.clear();
    this.#broker?.destroy();
    this.#endWhenAcknowledged();
  }

  /** Keep Alive, both ways [MQTT-3.1.2-22]; called about once a second. */
  tick(nowMs: number): void {
    if (this.#state !== 'open') return;
    const { keepAlive } = this.#session;
    const due = keepAlive.due(nowMs);
    if (due === 'expired') this.refuse('keepAliveTimeout', reasons.keepAliveTimeout);
    if (due === 'ping') {
      keepAlive.pinged(nowMs);
      this.#broker?.write(pingreq);
    }
  }

  regroup(): void {
    this.#session.regroup();
  }

  /** No more bytes are taken; both sides end once everything owed was written. */
  end(): void {
    if (this.#state === 'open') this.#lastWords = this.#farewell(reasons.shuttingDown);
    this.#ended();
  }

  #farewell(reasonCode: number | null): Buffer {
    return this.#session.version === version5 && reasonCode !== null
      ? disconnectOf(reasonCode)
      : nothing;
  }

  /** @returns what the device gets now, or null: it comes with a commit */
  #takeConnack(bytes: Buffer): Buffer | null {
    if (this.#state !== 'accepting' || this.#accepted) return bytes;
    clearTimeout(this.#timer);
    const connack = readConnack(bytes, this.#session.version, this.#parts.seat.grants);
    const fields = {
      peer: this.#parts.peer,
      device: this.deviceName,
      version: this.#session.version,
    };
    if (connack.code !== 0) {
      this.#parts.report('connectionRefused', { ...fields, reason: `connack ${connack.code}` });
      queueMicrotask(() => this.#ended()); // [MQTT-3.2.2-5]
      return bytes;
    }
    if (!this.#session.mayHear(connack.bytes)) {
      this.refuse('connackTooLarge');
      return null;
    }
    this.#connectBytes = nothing;
    this.#accepted = true;
    const commit = this.#session.accepted(connack);
    this.#parts.report('connectionOpened', fields);
    if (commit >= 0) {
      this.#connack = { commit, bytes: connack.bytes };
      return null;
    }
    // What follows waits until the CONNACK itself was written to the device.
    queueMicrotask(() => this.#open());
    return connack.bytes;
  }

  /** Enhanced authentication [MQTT-4.12]: between CONNECT and CONNACK only AUTH goes to and fro. */
  #authenticating(): void {
    if (this.#state !== 'accepting') return;
    this.#up.phase = 'auth';
    queueMicrotask(() => this.#up.takeOn());
  }

  #open(): void {
    if (this.#state !== 'accepting') return;
    this.#up.phase = 'open';
    this.#state = 'open';
    this.#up.takeOn();
  }

  #brokerGone(why: string | Error): void {
    if (this.#state !== 'accepting') {
      if (this.#state === 'open' && !this.#session.saidGoodbye) {
        const { takenOver } = this.#session;
        this.#lastWords = this.#farewell(takenOver ? reasons.takenOver : reasons.shuttingDown);
      }
      this.#ended();
      return;
    }
    clearTimeout(this.#timer);
    if (this.#reached && why !== silent) {
      // It closed without a CONNACK, as it may: the device gets the same.
      this.refuse('refusedByBroker');
      return;
    }
    const { peer, seat } = this.#parts;
    const fault = typeof why === 'string' ? null : seat.brokerFault(why);
    const told = { reason: fault?.message ?? String(why), remedy: fault?.remedy };
    this.#parts.report('brokerFailed', { peer, ...told });
    this.#broker?.destroy();
    if (seat.whenBrokerDown === 'capture' && !this.captureOnly) {
      this.captureOnly = true;
      this.#up.copiesAll = false;
      this.#connectTo(new AbsentBroker());
    } else this.#refuseConnect(refusals.brokerDown);
  }

  #acknowledge(): void {
    this.#writeAcks();
    if (this.#state === 'closing') this.#endWhenAcknowledged();
    else if (this.#device.isPaused()) this.#up.takeOn();
  }

  #ended(): void {
    if (this.#state === 'ending' || this.#state === 'closed') return;
    this.#close();
    this.#endWhenAcknowledged();
  }

  /** The disk is waited for, the broker's answers only for a while. */
  #close(): void {
    if (this.#state === 'closing') return;
    this.#state = 'closing';
    const late = (): void => {
      this.#late = true;
      if (this.#state === 'closing') this.#endWhenAcknowledged();
    };
    setTimeout(late, closeWithinMs).unref();
  }

  #endWhenAcknowledged(): void {
    this.#writeAcks();
    const { acks } = this.#session;
    const broker = this.#broker;
    const brokerGone = broker === null || broker.destroyed || broker.readableEnded;
    const stuck = acks.waitsForBroker && (brokerGone || this.#late);
    if (acks.length > 0 && !stuck && !this.#device.destroyed) return;
    this.#state = 'ending';
    broker?.end();
    const waits = this.#lastWords.length > 0 && !this.#device.destroyed;
    if (waits) this.#device.write(this.#lastWords);
    if (waits) this.#up.discard();
    partWays(this.#device, waits, () => this.#destroy('ended'));
  }

  #writeAcks(): void {
    const bytes = this.#session.acks.take();
    if (bytes !== null && !this.#device.destroyed) this.#device.write(bytes);
  }

  #destroy(reason: string): void {
    if (this.#state === 'closed') return;
    if (this.#up.disconnectAhead) this.#session.disconnectSeen();
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#up.clear();
    this.#parts.path.leave(this.#up);
    this.#session.close();
    this.#parts.report('connectionClosed', { peer: this.#parts.peer, reason });
    this.#device.destroy();
    const broker = this.#broker;
    if (broker !== null && !broker.writableEnded) broker.end();
    setImmediate(() => broker?.destroy());
    this.#parts.onClosed(this);
  }
}
