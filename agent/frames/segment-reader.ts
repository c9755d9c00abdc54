/**
 * Reads segment bodies (layout: `wasm-core/segment.ts`). The core checks a body whole, checksum and
 * every length, before a frame of it is handed out; after that nothing here can read outside it.
 *
 * A view decodes what is asked for and nothing else. Device names and Topic Names repeat, so their
 * strings are kept in a small table by their bytes: a hit costs a comparison, not an allocation.
 */
import type { Core } from './core.ts';
import { type FaultName, faultName } from './faults.ts';

const headerBytes = 64;
const frameFixedBytes = 64;
const expiryNone = 0xffffffff;
const partitionNone = -1;
const timestampNone = 0;
const stringSlots = 2_048;
/** Longer strings are decoded each time. */
const stringKeptBytes = 128;

export interface SegmentFault {
  readonly fault: FaultName | 'unknown';
}

export interface FrameView {
  /** Within the segment. */
  readonly index: number;
  /** Within the log: `firstFrame + index`. */
  readonly number: number;
  readonly routeId: number;
  /** 1 MQTT, 2 NATS, 3 HTTP, 4 AMQP, 5 the agent. */
  readonly protocol: number;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  /** 0 none, 1 limit, 2 payload too large. */
  readonly buryReason: number;
  readonly clockUnsynced: boolean;
  readonly arrivalMs: number;
  readonly livedMs: number;
  readonly expirySeconds: number | null;
  /** The publisher's own choice. */
  readonly partition: number | null;
  /** Time of the event as its publisher gave it, ms since 1970. */
  readonly timestampMs: number | null;
  readonly device: string;
  /** The Client Identifier: the device unless identity was proven otherwise. */
  readonly client: string;
  readonly topicName: string;
  /** MQTT 5 properties as sent, without their length. */
  readonly properties: Uint8Array;
  /** A view into the body. */
  readonly payload: Uint8Array;
  readonly key: Uint8Array | null;
  readonly eventId: string | null;
  readonly trace: string | null;
  /** The whole frame, as dead letters keep it. */
  readonly raw: Uint8Array;
}

class StringTable {
  readonly #strings: (string | undefined)[] = new Array(stringSlots).fill(undefined);
  readonly #keys: (Uint8Array | undefined)[] = new Array(stringSlots).fill(undefined);

  /** UTF-8 that the core has found well-formed. */
  read(body: Buffer, at: number, bytes: number): string {
    if (bytes === 0) return '';
    if (bytes > stringKeptBytes) return body.toString('utf8', at, at + bytes);
    let hash = bytes;
    for (let i = at; i < at + bytes; i++) hash = Math.imul(hash ^ (body[i] as number), 0x01000193);
    const slot = (hash ^ (hash >>> 15)) & (stringSlots - 1);
    const key = this.#keys[slot];
    if (key?.length === bytes && equalAt(key, body, at)) return this.#strings[slot] as string;
    const text = body.toString('utf8', at, at + bytes);
    this.#keys[slot] = Uint8Array.prototype.slice.call(body, at, at + bytes);
    this.#strings[slot] = text;
    return text;
  }
}

function equalAt(key: Uint8Array, body: Buffer, at: number): boolean {
  for (let i = 0; i < key.length; i++) if (key[i] !== body[at + i]) return false;
  return true;
}

const nothing = new Uint8Array(0);

class Frame implements FrameView {
  readonly index: number;
  readonly number: number;
  readonly #body: Buffer;
  readonly #view: DataView;
  readonly #at: number;
  readonly #strings: StringTable;

  constructor(segment: OpenSegment, index: number, at: number, strings: StringTable) {
    this.index = index;
    this.number = segment.firstFrame + index;
    this.#body = segment.body;
    this.#view = segment.view;
    this.#at = at;
    this.#strings = strings;
  }

  get routeId(): number {
    return this.#view.getUint32(this.#at + 4, true);
  }
  get protocol(): number {
    return this.#body[this.#at + 8] as number;
  }
  get qos(): number {
    return (this.#body[this.#at + 9] as number) & 3;
  }
  get retain(): boolean {
    return ((this.#body[this.#at + 9] as number) & 4) !== 0;
  }
  get dup(): boolean {
    return ((this.#body[this.#at + 9] as number) & 8) !== 0;
  }
  get buryReason(): number {
    return this.#body[this.#at + 10] as number;
  }
  get clockUnsynced(): boolean {
    return ((this.#body[this.#at + 11] as number) & 1) !== 0;
  }
  get arrivalMs(): number {
    return this.#view.getFloat64(this.#at + 12, true);
  }
  get livedMs(): number {
    return this.#view.getFloat64(this.#at + 20, true);
  }
  get expirySeconds(): number | null {
    const seconds = this.#view.getUint32(this.#at + 28, true);
    return seconds === expiryNone ? null : seconds;
  }
  get partition(): number | null {
    const partition = this.#view.getInt32(this.#at + 52, true);
    return partition === partitionNone ? null : partition;
  }
  get timestampMs(): number | null {
    const timestamp = this.#view.getFloat64(this.#at + 56, true);
    return timestamp === timestampNone ? null : timestamp;
  }
  get device(): string {
    return this.#strings.read(this.#body, this.#deviceAt, this.#u16(32));
  }
  get client(): string {
    const bytes = this.#u16(50);
    return bytes === 0 ? this.device : this.#strings.read(this.#body, this.#traceEnd, bytes);
  }
  get topicName(): string {
    return this.#strings.read(this.#body, this.#deviceAt + this.#u16(32), this.#u16(34));
  }
  get properties(): Uint8Array {
    const bytes = this.#u32(36);
    if (bytes === 0) return nothing;
    const at = this.#propertiesAt;
    return this.#body.subarray(at, at + bytes);
  }
  get payload(): Uint8Array {
    const at = this.#payloadAt;
    return this.#body.subarray(at, at + this.#u32(40));
  }
  get key(): Uint8Array | null {
    const bytes = this.#u16(44);
    if (bytes === 0) return null;
    const at = this.#payloadEnd;
    return this.#body.subarray(at, at + bytes);
  }
  get eventId(): string | null {
    const bytes = this.#u16(46);
    if (bytes === 0) return null;
    const at = this.#payloadEnd + this.#u16(44);
    return this.#body.toString('utf8', at, at + bytes);
  }
  get trace(): string | null {
    const bytes = this.#u16(48);
    if (bytes === 0) return null;
    const end = this.#traceEnd;
    return this.#body.toString('utf8', end - bytes, end);
  }
  get raw(): Uint8Array {
    return this.#body.subarray(this.#at, this.#at + this.#u32(0));
  }

  get #deviceAt(): number {
    return this.#at + frameFixedBytes;
  }
  get #propertiesAt(): number {
    return this.#deviceAt + this.#u16(32) + this.#u16(34);
  }
  get #payloadAt(): number {
    return this.#propertiesAt + this.#u32(36);
  }
  get #payloadEnd(): number {
    return this.#payloadAt + this.#u32(40);
  }
  get #traceEnd(): number {
    return this.#payloadEnd + this.#u16(44) + this.#u16(46) + this.#u16(48);
  }
  #u16(field: number): number {
    return this.#view.getUint16(this.#at + field, true);
  }
  #u32(field: number): number {
    return this.#view.getUint32(this.#at + field, true);
  }
}

export class OpenSegment {
  /** 16 hex digits. */
  readonly epoch: string;
  readonly sequence: number;
  readonly firstFrame: number;
  readonly frames: number;
  readonly createdMs: number;
  readonly livedMs: number;
  readonly body: Buffer;
  readonly view: DataView;
  readonly #offsets: Uint32Array;
  readonly #strings: StringTable;

  /** @param body verified; it is kept, not copied */
  constructor(body: Uint8Array, strings: StringTable) {
    this.body = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    this.view = new DataView(body.buffer, body.byteOffset, body.byteLength);
    const low = this.view.getUint32(16, true);
    const high = this.view.getUint32(20, true);
    this.epoch = high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
    this.sequence = this.view.getFloat64(24, true);
    this.firstFrame = this.view.getFloat64(32, true);
    this.frames = this.view.getUint32(40, true);
    this.createdMs = this.view.getFloat64(48, true);
    this.livedMs = this.view.getFloat64(56, true);
    this.#strings = strings;
    this.#offsets = new Uint32Array(this.frames);
    let at = headerBytes;
    for (let i = 0; i < this.frames; i++) {
      this.#offsets[i] = at;
      at += this.view.getUint32(at, true);
    }
  }

  /** @param index 0 ≤ index < frames */
  frame(index: number): FrameView {
    const at = this.#offsets[index];
    if (at === undefined) throw new RangeError(`frame ${index} of a segment of ${this.frames}`);
    return new Frame(this, index, at, this.#strings);
  }
}

export class SegmentReader {
  readonly #core: Core;
  readonly #strings = new StringTable();

  /** @param core an instance with no open segment of its own: bodies are copied over it */
  constructor(core: Core) {
    this.#core = core;
  }

  open(body: Uint8Array): OpenSegment | SegmentFault {
    const core = this.#core;
    if (body.byteLength > core.SEGMENT_BYTES) return { fault: 'segmentLength' };
    core.memory.set(body, core.SEGMENT_OFFSET);
    const found = core.verify(body.byteLength);
    if (found !== 0) return { fault: faultName(found) };
    return new OpenSegment(body, this.#strings);
  }
}
