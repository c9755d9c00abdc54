/**
 * The MQTT filter: one device's connection, seen as a byte stream between the device and the broker
 * behind the listener.
 *
 *   device ──bytes──▶ path (core) ──not captured──▶ broker
 *          ◀─PUBACK── ack queue ◀── committed
 *          ◀──────────────── everything the broker says, less what is ours ──── broker
 *
 * States: `connecting` (waits for a whole CONNECT) → `connected` is known only from the broker's
 * CONNACK: `accepting` passes nothing behind CONNECT, so a pipelined PUBLISH is captured only once
 * the broker accepted the device → `open` → `closing` (one side ended; what was captured is still
 * committed and acknowledged) → `ending` (both sides are told) → `closed`. It refuses whatever the
 * core calls malformed by closing both sides, without DISCONNECT, so that the Will fires.
 */
import type { Duplex } from 'node:stream';
import {
  beforeConnectBytes,
  closeWithinMs,
  connectWithinMs,
  socketBacklogBytes,
  unacknowledgedFrames,
} from '../bounds.ts';
import type { Report } from '../events.ts';
import type { VerdictName } from '../frames/rows.ts';
import { AckQueue } from './ack-queue.ts';
import { DownFlow } from './down-flow.ts';
import { Inbox } from './inbox.ts';
import { KeepAlive } from './keep-alive.ts';
import type { PartialBudget } from './partials.ts';
import type { CapturedFrame, ConnectSeen, Path, Phase, Served, Source, Taken } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const pingreq = Buffer.from([0xc0, 0x00]); // [MQTT-3.12]
/** QoS 2 copies go to the broker as QoS 1: the filter itself keeps the exactly-once dialogue. */
const qosBits = 0x06;
const qosOneBit = 0x02;
const qosTwoBit = 0x04;
const type = { publish: 3, pubrel: 6, pingreq: 12 } as const;
const pubcompHeader = 0x70;
/** Reason Code of a PUBLISH that a limit dropped: Quota exceeded [MQTT 5.0 table 3-4]. */
const quotaExceeded = 0x97;

export type FilterState = 'connecting' | 'accepting' | 'open' | 'closing' | 'ending' | 'closed';

export interface FilterParts {
  readonly path: Path;
  readonly partials: PartialBudget;
  readonly report: Report;
  readonly maxPacketBytes: number;
  readonly peer: string;
  readonly number: number;
  readonly faultName: (fault: number) => string;
  readonly openBroker: () => Duplex;
  readonly onClosed: (filter: MqttFilter) => void;
}

export class MqttFilter implements Source {
  readonly #parts: FilterParts;
  readonly #device: Duplex;
  readonly #broker: Duplex;
  readonly #down: DownFlow;
  readonly #acks = new AckQueue();
  readonly #keepAlive = new KeepAlive();
  /** Identifiers of QoS 2 PUBLISHes that went to the broker: their PUBREL is its business. */
  readonly #brokersQos2 = new Set<number>();
  readonly #aliases = new Map<number, Uint8Array>();
  #state: FilterState = 'connecting';
  readonly #inbox = new Inbox();
  #deviceEnded = false;
  #waits = false;
  #taking = false;
  #chunk: Buffer = nothing;
  #connectTimer: NodeJS.Timeout;
  #lastOwed = -1;

  name: Uint8Array = nothing;
  deviceName = '';
  version = 0;
  phase: Phase = 'first';
  aliasName: Uint8Array | null = null;

  constructor(device: Duplex, parts: FilterParts) {
    this.#device = device;
    this.#parts = parts;
    this.#broker = parts.openBroker();
    this.#down = new DownFlow(device, parts.path, {
      connack: (code) => this.#connack(code),
      brokerAcknowledged: (packetId) => this.#acks.brokerAcknowledged(packetId),
      acknowledge: () => this.#acknowledge(),
      ownPing: () => this.#keepAlive.pingAnswered(),
    });
    this.#connectTimer = setTimeout(() => this.refuse('connectTimeout'), connectWithinMs);
    this.#listen();
  }

  get state(): FilterState {
    return this.#state;
  }

  get maxPacketBytes(): number {
    const { maxPacketBytes } = this.#parts;
    return this.phase === 'first' ? Math.min(maxPacketBytes, beforeConnectBytes) : maxPacketBytes;
  }

  #listen(): void {
    this.#device.on('data', (chunk: Buffer) => {
      this.#inbox.push(chunk);
      this.#takeOn(unbounded);
    });
    this.#device.on('end', () => {
      this.#deviceEnded = true;
      this.#takeOn(unbounded);
    });
    this.#device.on('error', () => this.#destroy('deviceError'));
    this.#device.on('close', () => this.#destroy('deviceClosed'));
    this.#device.on('drain', () => {
      this.#broker.resume();
      this.#takeOn(unbounded);
    });
    this.#broker.on('data', (chunk: Buffer) => {
      if (!this.#down.take(chunk)) this.#broker.pause();
    });
    this.#broker.on('end', () => this.#ended());
    this.#broker.on('error', (error) => {
      this.#parts.report('brokerFailed', { peer: this.#parts.peer, reason: error.message });
      this.#ended();
    });
    this.#broker.on('close', () => this.#ended());
    this.#broker.on('drain', () => this.#takeOn(unbounded));
  }

  wake(budget = unbounded): Served {
    this.#waits = false;
    return this.#takeOn(budget);
  }

  /** Takes what is in hand as far as it may; the one loop of the upward flow. */
  #takeOn(budget: number): Served {
    if (this.#taking) return 'more';
    this.#taking = true;
    let served: Served = 'served';
    while (this.#inbox.ready && !this.#mustWait()) {
      this.#chunk = this.#inbox.bytes;
      const taken = this.#parts.path.take(this, this.#chunk, budget);
      this.aliasName = null;
      this.#chunk = nothing;
      // Only whole packets are signs of life.
      if (taken.consumed > 0) this.#keepAlive.deviceSent(Date.now());
      this.#inbox.consume(taken.consumed, taken.reason === 'partial' ? taken.needed : 0);
      const next = this.#after(taken);
      if (next === 'again') continue;
      served = next;
      break;
    }
    this.#taking = false;
    this.#flow();
    if (this.#deviceEnded && !this.#mustWait()) this.#ended();
    return served;
  }

  #after(taken: Taken): Served | 'again' {
    switch (taken.reason) {
      case 'end':
      case 'partial':
        this.#inbox.settle();
        return 'served';
      case 'tableFull':
      case 'afterConnect':
        return 'again';
      case 'budget':
        this.#waits = true;
        return 'more';
      case 'held':
        this.#parts.report('frameHeld', { device: this.deviceName, peer: this.#parts.peer });
        this.#waits = true;
        return 'held';
      case 'segmentFull':
        this.#waits = true;
        return 'held';
      case 'alias':
        return this.#useAlias(taken.alias);
      case 'fault':
        this.refuse(this.#parts.faultName(taken.fault), true);
        return 'served';
    }
  }

  #useAlias(alias: number): Served | 'again' {
    const topicName = this.#aliases.get(alias);
    if (topicName === undefined) {
      this.refuse('topicAliasInvalid', true); // [MQTT-3.3.2-8]
      return 'served';
    }
    this.aliasName = topicName;
    return 'again';
  }

  #mustWait(): boolean {
    return (
      this.#waits ||
      (this.#state !== 'connecting' && this.#state !== 'open') ||
      this.#broker.writableNeedDrain ||
      this.#device.writableLength > socketBacklogBytes ||
      this.#acks.length > unacknowledgedFrames
    );
  }

  /** Backpressure: we read exactly while we could take. */
  #flow(): void {
    if (this.#state === 'closed') return;
    this.#parts.partials.set(this, this.#inbox.heldBytes);
    const wait = this.#mustWait();
    if (wait && !this.#device.isPaused()) {
      this.#device.pause();
      this.#keepAlive.stoppedReading();
    } else if (!wait && this.#device.isPaused()) {
      this.#keepAlive.readsAgain(Date.now());
      this.#device.resume();
    }
  }

  connect(seen: ConnectSeen, start: number, end: number): void {
    clearTimeout(this.#connectTimer);
    this.version = seen.version;
    this.phase = 'open';
    this.deviceName = seen.clientId === '' ? `anonymous-${this.#parts.number}` : seen.clientId;
    this.name = Buffer.from(this.deviceName);
    this.#keepAlive.start(seen.keepAliveSeconds, Date.now());
    this.#state = 'accepting';
    this.#down.version = seen.version;
    this.#broker.write(this.#chunk.subarray(start, end));
  }

  passed(packetType: number, start: number, end: number, packetId: number): void {
    if (packetType === type.pubrel && !this.#brokersQos2.delete(packetId)) {
      this.#device.write(Buffer.from([pubcompHeader, 2, packetId >> 8, packetId & 0xff]));
      return;
    }
    if (packetType === type.publish && ((this.#chunk[start] as number) & qosTwoBit) !== 0) {
      this.#brokersQos2.add(packetId);
    }
    if (packetType === type.pingreq) this.#keepAlive.devicePinged();
    this.#toBroker(this.#chunk.subarray(start, end));
  }

  captured(frame: CapturedFrame): void {
    const { packetId, qos, copy, verdict } = frame;
    if (frame.alias > 0) this.#aliases.set(frame.alias, Uint8Array.from(frame.topicName()));
    if (copy && verdict !== 'drop') this.#copy(frame);
    if (verdict !== 'admit') this.#reportUnusual(verdict, frame);
    if (qos === 0) return;
    if (verdict === 'drop') {
      const reason = this.version === 5 ? quotaExceeded : 0;
      this.#acks.push(this.#acks.length === 0 ? -1 : this.#lastOwed, packetId, qos, false, reason);
      if (this.#acks.length === 1) queueMicrotask(() => this.#acknowledge());
      return;
    }
    this.#lastOwed = this.#parts.path.openSegment;
    this.#acks.push(this.#lastOwed, packetId, qos, copy);
  }

  #reportUnusual(verdict: VerdictName, frame: CapturedFrame): void {
    const topicName = Buffer.from(frame.topicName()).toString();
    const name = verdict === 'drop' ? 'frameDropped' : 'frameBuried';
    this.#parts.report(name, { device: this.deviceName, topicName, qos: frame.qos });
  }

  committed(sequence: number): void {
    this.#acks.committed(sequence);
    this.#acknowledge();
  }

  /** Ends this connection because of what it sent, or did not send. */
  refuse(reason: string, malformed = false): void {
    if (this.#state === 'ending' || this.#state === 'closed') return;
    const fields = { peer: this.#parts.peer, device: this.deviceName, reason };
    this.#parts.report(malformed ? 'frameRefused' : 'connectionRefused', fields);
    this.#state = 'closing';
    this.#inbox.clear();
    this.#broker.destroy();
    this.#endWhenAcknowledged();
  }

  /** Keep Alive, both ways [MQTT-3.1.2-22]; called about once a second. */
  tick(nowMs: number): void {
    if (this.#state !== 'open') return;
    const due = this.#keepAlive.due(nowMs);
    if (due === 'expired') this.refuse('keepAliveTimeout');
    if (due === 'ping') {
      this.#keepAlive.pinged(nowMs);
      this.#broker.write(pingreq);
    }
  }

  /** No more bytes are taken; both sides end once everything owed was written. */
  end(): void {
    this.#ended();
  }

  #copy(frame: CapturedFrame): void {
    const bytes = this.#chunk.subarray(frame.start, frame.end);
    const copy = frame.qos < 2 ? bytes : Buffer.from(bytes);
    if (frame.qos > 1) copy[0] = ((copy[0] as number) & ~qosBits) | qosOneBit;
    this.#toBroker(copy);
  }

  #toBroker(bytes: Buffer): void {
    this.#keepAlive.brokerGot(Date.now());
    this.#broker.write(bytes);
  }

  #connack(code: number): void {
    if (this.#state !== 'accepting') return;
    const fields = { peer: this.#parts.peer, device: this.deviceName, version: this.version };
    // What follows waits until the CONNACK itself was written to the device.
    if (code === 0) {
      this.#state = 'open';
      this.#parts.report('connectionOpened', fields);
      queueMicrotask(() => this.#takeOn(unbounded));
    } else {
      this.#parts.report('connectionRefused', { ...fields, reason: `connack ${code}` });
      queueMicrotask(() => this.#ended()); // [MQTT-3.2.2-5]
    }
  }

  #acknowledge(): void {
    this.#writeAcks();
    if (this.#state === 'closing') this.#endWhenAcknowledged();
    else if (this.#device.isPaused()) this.#takeOn(unbounded);
  }

  #ended(): void {
    if (this.#state === 'ending' || this.#state === 'closed') return;
    this.#state = 'closing';
    this.#endWhenAcknowledged();
  }

  #endWhenAcknowledged(): void {
    this.#writeAcks();
    const brokerGone = this.#broker.destroyed || this.#broker.readableEnded;
    const stuck = this.#acks.waitsForBroker && brokerGone;
    if (this.#acks.length > 0 && !stuck && !this.#device.destroyed) return;
    this.#state = 'ending';
    this.#broker.end();
    this.#device.end(() => this.#destroy('ended'));
    // A device that does not read what it is owed is not waited for.
    setTimeout(() => this.#destroy('ended'), closeWithinMs).unref();
  }

  #writeAcks(): void {
    const bytes = this.#acks.take();
    if (bytes !== null && !this.#device.destroyed) this.#device.write(bytes);
  }

  #destroy(reason: string): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    clearTimeout(this.#connectTimer);
    this.#inbox.clear();
    this.#parts.partials.set(this, 0);
    this.#parts.path.leave(this);
    this.#parts.report('connectionClosed', { peer: this.#parts.peer, reason });
    this.#device.destroy();
    if (!this.#broker.writableEnded) this.#broker.end();
    setImmediate(() => this.#broker.destroy());
    this.#parts.onClosed(this);
  }
}
