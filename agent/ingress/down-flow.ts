/**
 * The way down: what the broker says to the device passes untouched and in order, less what is
 * ours: the acknowledgement of a copy (the device's own leaves after the commit) and the PINGRESP
 * of a PINGREQ that we sent in the device's place. CONNACK is handed over and comes back as the
 * device is to see it; until then the flow is stopped. Large packets are streamed, never collected.
 */
import type { Duplex } from 'node:stream';
import { lookedBytes } from '../bounds.ts';
import { type AckType, ackTypes } from './ack-queue.ts';
import { PlainSource } from './plain-source.ts';
import type { CapturedFrame, Path, Phase, Served, Source } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const typeShift = 4;
const publishType = 3;
const type = { connack: 2, puback: 4, pubrec: 5, pubcomp: 7, suback: 9, pingresp: 13 } as const;
const disconnectType = 14;
const authType = 15;
const ackOf: Readonly<Record<number, AckType>> = {
  [type.puback]: ackTypes.puback,
  [type.pubrec]: ackTypes.pubrec,
  [type.pubcomp]: ackTypes.pubcomp,
};
/** These are looked at whole; everything else may be streamed. */
const looked = new Set<number>(Object.values(type));

export interface DownCalls {
  /** @returns what the device gets, or null: it comes later, by `release` */
  connack(bytes: Buffer): Buffer | null;
  brokerAcknowledged(type: AckType, packetId: number, bytes: Buffer): boolean;
  acknowledge(): void;
  ownPing(): boolean;
  /** @returns what the device gets instead */
  suback(bytes: Buffer, packetId: number): Buffer;
  authenticating(): void;
  /** What the broker said cannot be read. */
  malformed(error: unknown): void;
  disconnected(): void;
  /** @param publish at least its beginning */
  delivered(publish: Uint8Array): void;
}

export class DownFlow extends PlainSource implements Source {
  readonly #device: Duplex;
  readonly #path: Path;
  readonly #calls: DownCalls;
  #rest: Buffer = nothing;
  #chunk: Buffer = nothing;
  /** Bytes of a streamed packet that are still to come. */
  #streaming = 0;
  /** Start of the run of packets that pass as they are. */
  #runStart = 0;
  #acknowledged = false;
  #ended = false;
  /** What came behind a CONNACK that waits. */
  #waiting: Buffer[] | null = null;

  readonly name: Uint8Array = nothing;
  readonly client: Uint8Array = nothing;
  readonly deviceName = '';
  readonly phase: Phase = 'down';
  readonly deviceRule = 0;
  version = 0;

  constructor(device: Duplex, path: Path, calls: DownCalls) {
    super();
    this.#device = device;
    this.#path = path;
    this.#calls = calls;
  }

  /** False: the device reads slower than the broker writes, or waits; wait for its drain. */
  take(bytes: Buffer): boolean {
    let chunk = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#rest = nothing;
    this.#acknowledged = false;
    while (chunk.length > 0) {
      if (this.#streaming > 0) {
        const part = chunk.subarray(0, this.#streaming);
        this.#streaming -= part.length;
        chunk = chunk.subarray(part.length);
        this.#write(part);
        continue;
      }
      this.#chunk = chunk;
      this.#runStart = 0;
      const taken = this.#path.take(this, chunk, unbounded);
      this.#pass(taken.consumed);
      chunk = chunk.subarray(taken.consumed);
      if (taken.reason === 'partial' && !this.#stream(chunk, taken.needed)) {
        this.#rest = Buffer.from(chunk);
        break;
      }
      // What the broker says that the core does not know is the broker's business.
      if (taken.reason === 'fault') this.#streaming = chunk.length;
      if (taken.reason === 'end') break;
    }
    this.#chunk = nothing;
    if (this.#acknowledged) this.#calls.acknowledge();
    return this.#waiting === null && !this.#device.writableNeedDrain;
  }

  /** The CONNACK, and what waited behind it. */
  release(connack: Buffer): void {
    const behind = this.#waiting ?? [];
    this.#waiting = null;
    if (this.#device.destroyed) return;
    this.#device.write(connack);
    for (const bytes of behind) this.#device.write(bytes);
  }

  /** Something of ours, in its place among what the broker says. */
  say(bytes: Buffer): void {
    this.#write(bytes);
  }

  override passed(packetType: number, start: number, end: number, packetId: number): void {
    if (packetType === disconnectType) this.#calls.disconnected();
    if (packetType === authType) this.#calls.authenticating();
    if (packetType === publishType) this.#calls.delivered(this.#chunk.subarray(start, end));
    if (!looked.has(packetType)) return;
    const bytes = this.#chunk.subarray(start, end);
    let instead: Buffer | null = null;
    try {
      instead = this.#instead(packetType, bytes, packetId);
    } catch (error) {
      // Its bodies are measured, not checked: it costs this connection, and no other.
      this.#ended = true;
      this.#calls.malformed(error);
    }
    if (instead === bytes) return;
    this.#pass(start);
    this.#runStart = end;
    if (instead !== null && instead.length > 0) this.#write(instead);
  }

  /** @returns the bytes themselves, others in their place, or nothing */
  #instead(packetType: number, bytes: Buffer, packetId: number): Buffer | null {
    if (packetType === type.connack) {
      const connack = this.#calls.connack(bytes);
      // Written before us is nothing: CONNACK is the first packet.
      if (connack === null) this.#waiting ??= [];
      return connack;
    }
    if (packetType === type.pingresp) return this.#calls.ownPing() ? null : bytes;
    if (packetType === type.suback) return this.#calls.suback(bytes, packetId);
    const ack = ackOf[packetType];
    if (ack === undefined || !this.#calls.brokerAcknowledged(ack, packetId, bytes)) return bytes;
    this.#acknowledged = true;
    return null;
  }

  /** Writes the packets since the run began. */
  #pass(end: number): void {
    if (end > this.#runStart) this.#write(this.#chunk.subarray(this.#runStart, end));
    this.#runStart = end;
  }

  #write(bytes: Buffer): void {
    if (this.#ended) return;
    if (this.#waiting !== null) this.#waiting.push(Buffer.from(bytes));
    else this.#device.write(bytes);
  }

  #stream(partial: Buffer, needed: number): boolean {
    const packetType = (partial[0] ?? 0) >> typeShift;
    const isLooked = looked.has(packetType) && needed <= lookedBytes;
    if (isLooked || needed === 0) return false;
    if (packetType === publishType) this.#calls.delivered(partial);
    this.#streaming = needed;
    return true;
  }

  published(_frame: CapturedFrame): void {}
  captured(_frame: CapturedFrame): void {}
  committed(_commit: number): void {}
  wake(): Served {
    return 'served';
  }
}
