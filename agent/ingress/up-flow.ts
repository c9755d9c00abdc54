/**
 * The way up: the device's bytes, as far as they may be taken, through the path; the counterpart of
 * `down-flow.ts`, and the source that the path knows.
 *
 * It reads exactly while it could take (backpressure goes to the socket), and a bound ahead of a
 * device that waits for a limit or for the disk: there a PINGREQ is answered at once. Whether the
 * connection may be taken from at all, and what a fault means, is for `mqtt-filter.ts`.
 */
import type { Duplex } from 'node:stream';
import {
  beforeConnectBytes,
  lingerBytes,
  readAheadBytes,
  readAheadTotalBytes,
  socketBacklogBytes,
  unacknowledgedFrames,
} from '../bounds.ts';
import type { Report } from '../events.ts';
import { Inbox } from './inbox.ts';
import type { OpenSession } from './open-session.ts';
import type { Holder, PartialBudget } from './partials.ts';
import { ReadAhead } from './read-ahead.ts';
import type { CapturedFrame, Path, Phase, Served, Source, Taken } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const pingresp = Buffer.from([0xd0, 0x00]); // [MQTT-3.13]

export interface UpCalls {
  /** The state allows it, and the broker behind takes what passes. */
  mayTake(): boolean;
  isOpen(): boolean;
  isClosed(): boolean;
  connect(packet: Buffer): void;
  committed(commit: number): void;
  fault(fault: number): void;
  aliasUnknown(): void;
  /** The device ended its side, and everything of it was taken. */
  ended(): void;
}

export interface UpParts {
  readonly path: Path;
  readonly partials: PartialBudget;
  readonly report: Report;
  readonly peer: string;
}

export class UpFlow implements Source {
  readonly #device: Duplex;
  readonly #parts: UpParts;
  readonly #calls: UpCalls;
  readonly #holder: Holder;
  readonly #session: OpenSession;
  readonly #inbox = new Inbox();
  readonly #ahead = new ReadAhead();
  #deviceEnded = false;
  #waits = false;
  #taking = false;
  /** Bytes read and thrown away; −1 while they are taken. */
  #discarded = -1;

  /** The chunk whose packets are told. */
  chunk: Buffer = nothing;
  phase: Phase = 'first';
  aliasName: Uint8Array | null = null;
  /** Copies go to the broker behind. */
  copiesAll = false;
  readonly deviceRule = 0;

  constructor(
    device: Duplex,
    parts: UpParts,
    session: OpenSession,
    holder: Holder,
    calls: UpCalls,
  ) {
    this.#device = device;
    this.#parts = parts;
    this.#session = session;
    this.#holder = holder;
    this.#calls = calls;
    device.on('data', (chunk: Buffer) => {
      if (this.#discarded >= 0) {
        this.#discarded += chunk.length;
        if (this.#discarded > lingerBytes) device.destroy();
        return;
      }
      this.#inbox.push(chunk);
      if (this.#waits) this.#lookAhead();
      this.takeOn(unbounded);
    });
    device.on('end', () => {
      this.#deviceEnded = true;
      this.takeOn(unbounded);
    });
  }

  /** A limit, or a full buffer, lets it wait. */
  get held(): boolean {
    return this.#waits && this.#calls.isOpen();
  }
  /** A whole DISCONNECT stands behind what is held, and it is a normal one. */
  get disconnectAhead(): boolean {
    return this.#ahead.disconnected;
  }
  get name(): Uint8Array {
    return this.#session.nameBytes;
  }
  get client(): Uint8Array {
    return this.#session.client;
  }
  get deviceName(): string {
    return this.#session.deviceName;
  }
  get version(): number {
    return this.#session.version;
  }
  get aliasMaximum(): number {
    return this.#session.granted.topicAliasMaximum;
  }
  get seen(): ReadonlyMap<number, unknown> | null {
    return this.#session.seen;
  }
  get allowGroups(): number | null {
    return this.#session.allowGroups;
  }
  get authenticates(): boolean {
    return this.#session.authenticates;
  }
  get sessionEnds(): boolean {
    return this.#session.sessionEnds;
  }
  get maxPacketBytes(): number {
    const { maxPacketBytes } = this.#session.granted;
    return this.phase === 'first' ? Math.min(maxPacketBytes, beforeConnectBytes) : maxPacketBytes;
  }

  wake(budget = unbounded): Served {
    this.#waits = false;
    return this.takeOn(budget);
  }

  /** Takes what is in hand as far as it may; the one loop of the upward flow. */
  takeOn(budget = unbounded): Served {
    if (this.#taking) return 'more';
    this.#taking = true;
    let served: Served = 'served';
    while (this.#inbox.ready && !this.#mustWait()) {
      this.chunk = this.#inbox.bytes;
      const taken = this.#parts.path.take(this, this.chunk, budget);
      this.aliasName = null;
      this.chunk = nothing;
      // Only whole packets are signs of life.
      if (taken.consumed > 0) this.#session.keepAlive.deviceSent(Date.now());
      this.#inbox.consume(taken.consumed, taken.reason === 'partial' ? taken.needed : 0);
      this.#ahead.consumed(taken.consumed);
      const next = this.#after(taken);
      if (next === 'again') continue;
      served = next;
      break;
    }
    this.#taking = false;
    this.#session.checkReceiveMaximum();
    this.#flow();
    if (this.#deviceEnded && !this.#mustWait()) this.#calls.ended();
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
        this.#wait();
        return 'more';
      case 'held':
        this.#parts.report('frameHeld', { device: this.deviceName, peer: this.#parts.peer });
        this.#wait();
        return 'held';
      case 'segmentFull':
        this.#wait();
        return 'held';
      case 'alias':
        return this.#useAlias(taken.alias);
      case 'fault':
        this.#calls.fault(taken.fault);
        return 'served';
    }
  }

  #wait(): void {
    this.#waits = true;
    this.#lookAhead();
  }

  #useAlias(alias: number): Served | 'again' {
    const topicName = this.#session.aliases.get(alias);
    if (topicName === undefined) {
      this.#calls.aliasUnknown();
      return 'served';
    }
    this.aliasName = topicName;
    return 'again';
  }

  #mustWait(): boolean {
    return (
      this.#waits ||
      !this.#calls.mayTake() ||
      this.#device.writableLength > socketBacklogBytes ||
      this.#session.acks.length > unacknowledgedFrames
    );
  }

  /** A device that waits still gets its PINGRESP. */
  #lookAhead(): void {
    const { pings, packets } = this.#ahead.look(this.#inbox);
    if (packets > 0) this.#session.keepAlive.deviceSent(Date.now());
    for (let i = 0; i < pings; i++) this.#device.write(pingresp);
  }

  /** Backpressure: we read while we could take, and a bound ahead of a device that waits. */
  #flow(): void {
    if (this.#calls.isClosed() || this.#discarded >= 0) return;
    const { partials } = this.#parts;
    partials.set(this.#holder, this.#heldBytes);
    const ahead = this.held && this.#inbox.length < readAheadBytes;
    const wait = this.#mustWait() && !(ahead && partials.totalBytes < readAheadTotalBytes);
    if (wait && !this.#device.isPaused()) {
      this.#device.pause();
      this.#session.keepAlive.stoppedReading();
    } else if (!wait && this.#device.isPaused()) {
      this.#session.keepAlive.readsAgain(Date.now());
      this.#device.resume();
    }
  }

  get #heldBytes(): number {
    const { aliases, willBytes } = this.#session;
    return this.#inbox.heldBytes + aliases.bytes + willBytes;
  }

  /** What still comes is read and thrown away, within a bound. */
  discard(): void {
    this.#discarded = 0;
    this.clear();
    this.#device.resume();
  }

  /** Nothing more is taken. */
  clear(): void {
    this.#inbox.clear();
    this.#parts.partials.set(this.#holder, 0);
  }

  connect(start: number, end: number): void {
    this.phase = 'open';
    this.#calls.connect(Buffer.from(this.chunk.subarray(start, end)));
  }

  pingTaken(): boolean {
    return this.#ahead.pingTaken();
  }

  passed(packetType: number, start: number, end: number, packetId: number): void {
    this.#session.passed(packetType, this.chunk.subarray(start, end), packetId);
  }

  published(frame: CapturedFrame): void {
    this.#session.published(frame);
  }

  captured(frame: CapturedFrame): void {
    this.#session.captured(frame);
  }

  committed(commit: number): void {
    this.#calls.committed(commit);
  }
}
