/**
 * The filter in the source seat: it stands in the byte stream between an existing broker and the
 * MQTT client that subscribed there.
 *
 *   broker ──bytes──▶ path (core) ──all but PUBLISH──▶ MQTT client
 *          ◀─PUBACK── ack queue ◀── committed
 *          ◀──────────────── what the client says, packet by packet ──
 *
 * The client does CONNECT, SUBSCRIBE and Keep Alive; the flow of PUBLISHes never reaches it. Those
 * that a route captures are acknowledged after the commit and not one by one; those that none
 * wants are acknowledged in their place. QoS 2 is taken exactly once, as in the listener seat.
 * When a route holds, nothing is read beyond a bound; the client's PINGREQ still goes out and is
 * answered to it here, so that it does not take our waiting for a dead broker: whether the broker
 * is alive is watched here, while we read.
 */
import { Duplex } from 'node:stream';
import { readAheadBytes, socketBacklogBytes, unacknowledgedFrames } from '../bounds.ts';
import type { Report } from '../events.ts';
import { AckQueue, ackTypes } from './ack-queue.ts';
import { Inbox } from './inbox.ts';
import { packetLength } from './read-ahead.ts';
import type { ClientSession } from './sessions.ts';
import type { CapturedFrame, Path, Phase, Served, Source, Taken } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const pingresp = Buffer.from([0xd0, 0x00]);
const types = { connack: 2, pubrel: 6, pingreq: 12, pingresp: 13 } as const;
const typeShift = 4;
/** Where CONNACK says whether there is a session, and its code. */
const connackFlagsAt = 2;
const connackCodeAt = 3;
const sessionPresentBit = 1;
const graceFactor = 1.5;

export interface SourceFilterParts {
  readonly path: Path;
  readonly report: Report;
  readonly session: ClientSession;
  readonly version: 4 | 5;
  readonly name: Uint8Array;
  readonly deviceRule: number;
  readonly maxPacketBytes: number;
  readonly keepAliveMs: number;
  readonly broker: string;
  readonly faultName: (fault: number) => string;
  /** We wrote something that the client knows nothing of. */
  readonly said: () => void;
}

export class SourceFilter extends Duplex implements Source {
  readonly #parts: SourceFilterParts;
  readonly #socket: Duplex;
  readonly #inbox = new Inbox();
  readonly #acks = new AckQueue();
  #outgoing: Buffer = nothing;
  #chunk: Buffer = nothing;
  #waits = false;
  #taking = false;
  #gone = false;
  #stopped = false;
  #pingedMs = 0;
  #connack: { readonly commit: number; readonly bytes: Buffer } | null = null;

  readonly version: number;
  readonly phase: Phase = 'source';
  readonly name: Uint8Array;
  readonly client: Uint8Array = nothing;
  readonly deviceName: string;
  readonly maxPacketBytes: number;
  readonly aliasName = null;
  readonly aliasMaximum = 0;
  readonly allowGroups = null;
  readonly copiesAll = false;
  readonly authenticates = true;
  readonly sessionEnds = false;
  readonly deviceRule: number;

  constructor(socket: Duplex, parts: SourceFilterParts) {
    super({ allowHalfOpen: false });
    this.#socket = socket;
    this.#parts = parts;
    this.version = parts.version;
    this.name = parts.name;
    this.deviceRule = parts.deviceRule;
    this.deviceName = parts.broker;
    this.maxPacketBytes = parts.maxPacketBytes;
    socket.on('data', (chunk: Buffer) => {
      if (this.#stopped) return;
      this.#pingedMs = 0;
      this.#inbox.push(chunk);
      this.#takeOn(unbounded);
    });
    socket.on('drain', () => this.#takeOn(unbounded));
    socket.on('end', () => this.destroy());
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  get seen(): ReadonlyMap<number, unknown> | null {
    const { ids } = this.#parts.session;
    return ids.size === 0 ? null : ids;
  }

  get held(): boolean {
    return this.#waits && !this.#gone;
  }

  /** What is in hand is still acknowledged; nothing more comes. */
  stopReading(): void {
    this.#stopped = true;
    this.#inbox.clear();
    this.#socket.pause();
  }

  override _read(): void {}

  /** What the client says goes out packet by packet, so that ours may stand between two. */
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    let rest = this.#outgoing.length === 0 ? chunk : Buffer.concat([this.#outgoing, chunk]);
    for (;;) {
      const length = packetLength(rest, 0);
      if (length === 0 || length > rest.length) break;
      this.#say(rest.subarray(0, length));
      rest = rest.subarray(length);
    }
    this.#outgoing = Buffer.from(rest);
    done();
  }

  #say(packet: Buffer): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(packet);
    if ((packet[0] as number) >> typeShift !== types.pingreq) return;
    if (!this.#socket.isPaused()) this.#watch();
    this.push(pingresp);
  }

  /** Two Keep Alives without a byte while we read: the broker is gone. */
  #watch(): void {
    const now = performance.now();
    if (this.#pingedMs === 0) this.#pingedMs = now;
    else if (now - this.#pingedMs > this.#parts.keepAliveMs * (graceFactor - 1)) {
      this.destroy(new Error('the broker does not answer'));
    }
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#gone = true;
    this.#inbox.clear();
    this.#parts.path.leave(this);
    this.#socket.destroy();
    done(error);
  }

  wake(budget = unbounded): Served {
    this.#waits = false;
    return this.#takeOn(budget);
  }

  #takeOn(budget: number): Served {
    if (this.#taking || this.#gone) return 'served';
    this.#taking = true;
    let served: Served = 'served';
    while (this.#inbox.ready && !this.#mustWait()) {
      this.#chunk = this.#inbox.bytes;
      const taken = this.#parts.path.take(this, this.#chunk, budget);
      this.#chunk = nothing;
      this.#inbox.consume(taken.consumed, taken.reason === 'partial' ? taken.needed : 0);
      const next = this.#after(taken);
      if (next === 'again') continue;
      served = next;
      break;
    }
    this.#taking = false;
    this.#flow();
    return served;
  }

  #after(taken: Taken): Served | 'again' {
    const { reason } = taken;
    if (reason === 'end' || reason === 'partial') {
      this.#inbox.settle();
      return 'served';
    }
    if (reason === 'tableFull') return 'again';
    if (reason === 'fault' || reason === 'alias' || reason === 'afterConnect') {
      this.#refuse(reason === 'fault' ? this.#parts.faultName(taken.fault) : reason);
      return 'served';
    }
    this.#waits = true;
    if (reason === 'held') this.#parts.report('frameHeld', { device: this.deviceName });
    return reason === 'budget' ? 'more' : 'held';
  }

  #refuse(reason: string): void {
    this.#parts.report('frameRefused', { peer: this.#parts.broker, device: '', reason });
    this.destroy(new Error(`the broker sent a malformed packet: ${reason}`));
  }

  #mustWait(): boolean {
    return (
      this.#waits ||
      this.#stopped ||
      this.#connack !== null ||
      this.#socket.writableLength > socketBacklogBytes ||
      this.#acks.length > unacknowledgedFrames
    );
  }

  #flow(): void {
    if (this.#gone || this.#stopped) return;
    const wait = this.#mustWait() && this.#inbox.length >= readAheadBytes;
    if (wait && !this.#socket.isPaused()) this.#socket.pause();
    else if (!wait && this.#socket.isPaused()) this.#socket.resume();
  }

  connect(_start: number, _end: number): void {}

  passed(packetType: number, start: number, end: number, packetId: number): void {
    const packet = Buffer.from(this.#chunk.subarray(start, end));
    if (packetType === types.pingresp) return;
    if (packetType === types.pubrel) this.#release(packetId);
    else if (packetType === types.connack) this.#accept(packet);
    else this.push(packet);
  }

  /** What was released, or is gone with the session, is so on disk before the client goes on. */
  #accept(packet: Buffer): void {
    const { session } = this.#parts;
    const accepted = packet[connackCodeAt] === 0;
    const present = ((packet[connackFlagsAt] as number) & sessionPresentBit) !== 0;
    const kept = () => (present ? session.resume(this) : session.clear(this));
    const commit = accepted ? kept() : -1;
    if (commit < 0) this.push(packet);
    else this.#connack = { commit, bytes: packet };
  }

  /** No route wants it: acknowledged in its place, and the client never sees it. */
  published(frame: CapturedFrame): void {
    if (frame.qos === 2) this.#parts.session.refuse(frame.packetId);
    this.#owe(frame, -1);
  }

  captured(frame: CapturedFrame): void {
    const { verdict, packetId, qos } = frame;
    const { path, session } = this.#parts;
    if (verdict === 'drop' || verdict === 'bury') this.#reportUnusual(frame);
    if (verdict === 'repeat') {
      this.#owe(frame, path.awaits(session.ids.get(packetId)?.commit ?? -1, this));
    } else if (verdict === 'drop' || verdict === 'deny') this.published(frame);
    else this.#owe(frame, qos === 2 ? session.capture(packetId, false, this) : path.openCommit);
  }

  #owe({ packetId, qos }: CapturedFrame, commit: number): void {
    if (qos === 0) return;
    this.#acks.push(commit, packetId, qos === 1 ? ackTypes.puback : ackTypes.pubrec, false);
    if (commit < 0 && this.#acks.length === 1) queueMicrotask(() => this.#acknowledge());
  }

  #release(packetId: number): void {
    const commit = this.#parts.session.release(packetId, this);
    this.#acks.push(commit, packetId, ackTypes.pubcomp, false);
    if (commit < 0) queueMicrotask(() => this.#acknowledge());
  }

  #reportUnusual(frame: CapturedFrame): void {
    const topicName = Buffer.from(frame.topicName()).toString();
    const name = frame.verdict === 'drop' ? 'frameDropped' : 'frameBuried';
    this.#parts.report(name, { device: this.deviceName, topicName, qos: frame.qos });
  }

  committed(commit: number): void {
    this.#acks.committed(commit);
    const waiting = this.#connack;
    if (waiting !== null && commit >= waiting.commit) {
      this.#connack = null;
      this.push(waiting.bytes);
    }
    this.#acknowledge();
    if (this.#socket.isPaused() || waiting !== null) this.#takeOn(unbounded);
  }

  #acknowledge(): void {
    const bytes = this.#acks.take();
    if (bytes === null || this.#socket.destroyed) return;
    this.#socket.write(bytes);
    this.#parts.said(); // Only what we send counts for the broker [MQTT-3.1.2-22].
  }
}
