/**
 * The way down: what the broker says to the device passes untouched and in order, less what is
 * ours: the PUBACK of a copy (the device's own leaves after the commit) and the PINGRESP of a
 * PINGREQ that we sent in the device's place. Large packets are streamed, never collected.
 */
import type { Duplex } from 'node:stream';
import type { CapturedFrame, ConnectSeen, Path, Phase, Served, Source } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const connack = 2;
const puback = 4;
const pingresp = 13;
const typeShift = 4;

export interface DownCalls {
  connack(code: number): void;
  brokerAcknowledged(packetId: number): boolean;
  acknowledge(): void;
  ownPing(): boolean;
}

export class DownFlow implements Source {
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

  readonly name: Uint8Array = nothing;
  readonly phase: Phase = 'down';
  readonly maxPacketBytes = 0;
  readonly aliasName = null;
  version = 0;

  constructor(device: Duplex, path: Path, calls: DownCalls) {
    this.#device = device;
    this.#path = path;
    this.#calls = calls;
  }

  /** False: the device reads slower than the broker writes; wait for its drain. */
  take(bytes: Buffer): boolean {
    let chunk = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    this.#rest = nothing;
    this.#acknowledged = false;
    while (chunk.length > 0) {
      if (this.#streaming > 0) {
        const part = chunk.subarray(0, this.#streaming);
        this.#streaming -= part.length;
        chunk = chunk.subarray(part.length);
        this.#device.write(part);
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
    return !this.#device.writableNeedDrain;
  }

  passed(type: number, start: number, end: number, packetId: number): void {
    if (type === connack) this.#calls.connack(packetId);
    const ours =
      (type === puback && this.#calls.brokerAcknowledged(packetId)) ||
      (type === pingresp && this.#calls.ownPing());
    if (!ours) return;
    this.#pass(start);
    this.#runStart = end;
    if (type === puback) this.#acknowledged = true;
  }

  /** Writes the packets since the run began. */
  #pass(end: number): void {
    if (end > this.#runStart) this.#device.write(this.#chunk.subarray(this.#runStart, end));
    this.#runStart = end;
  }

  #stream(partial: Buffer, needed: number): boolean {
    const type = (partial[0] ?? 0) >> typeShift;
    const ours = type === connack || type === puback || type === pingresp;
    if (ours || needed === 0) return false;
    this.#streaming = needed;
    return true;
  }

  connect(_seen: ConnectSeen, _start: number, _end: number): void {}
  captured(_frame: CapturedFrame): void {}
  committed(_sequence: number): void {}
  wake(): Served {
    return 'served';
  }
}
