/**
 * Messages of another protocol, written for the core one behind another (the layout is in
 * `wasm-core/message.ts`): one call of it takes them all. The bytes lie in one store, made once; a
 * header becomes an MQTT 5 User Property, since frames know one form of it (2.2.2.2):
 *
 *   0x26 | u16 length, name | u16 length, value        both big endian, UTF-8
 *
 * What is longer than two bytes of length can say is the caller's to refuse.
 */
import { chunkRegionBytes } from '../bounds.ts';

const fixedBytes = 32;
const nameBytesAt = 4;
const eventIdBytesAt = 6;
const propertiesBytesAt = 8;
const payloadBytesAt = 12;
const keyBytesAt = 16;
const partitionAt = 20;
const timestampAt = 24;
const partitionNone = -1;
const userProperty = 0x26;
/** Identifier and two lengths. */
const propertyFixedBytes = 5;
const stringBytesMost = 65_535;

export interface MessageForm {
  readonly topicName: string;
  /** '' is none of its own. */
  readonly eventId: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly payload: Uint8Array;
  /** Its publisher's own choices, in the place of the route's. */
  readonly key?: Uint8Array | null | undefined;
  readonly partition?: number | null | undefined;
  /** Of the event, ms since 1970. */
  readonly timestampMs?: number | null | undefined;
}

const nothing = new Uint8Array(0);

export class MessageChunk {
  readonly #store = Buffer.allocUnsafeSlow(chunkRegionBytes);
  #from = 0;
  #to = 0;

  get isEmpty(): boolean {
    return this.#from === this.#to;
  }

  get bytes(): Buffer {
    return this.#store.subarray(this.#from, this.#to);
  }

  /** Bytes of the message at the front. */
  get firstBytes(): number {
    return this.#store.readUInt32LE(this.#from);
  }

  consume(bytes: number): void {
    this.#from += bytes;
    if (this.isEmpty) this.clear();
  }

  clear(): void {
    this.#from = 0;
    this.#to = 0;
  }

  /**
   * @param bytes `messageBytes` of it
   * @returns false: it does not fit behind the others now
   */
  add(message: MessageForm, bytes: number): boolean {
    if (this.#to + bytes > this.#store.length) {
      if (bytes > this.#store.length - (this.#to - this.#from)) return false;
      this.#store.copy(this.#store, 0, this.#from, this.#to);
      this.#to -= this.#from;
      this.#from = 0;
    }
    this.#write(message, bytes);
    return true;
  }

  #write(message: MessageForm, bytes: number): void {
    const { topicName, eventId, headers, payload } = message;
    const key = message.key ?? nothing;
    const store = this.#store;
    const begin = this.#to;
    let at = begin + fixedBytes;
    at += store.write(topicName, at);
    const nameEnd = at;
    at += store.write(eventId, at);
    const idEnd = at;
    for (const [name, value] of headers) {
      store[at] = userProperty;
      at = writeText(store, value, writeText(store, name, at + 1));
    }
    store.writeUInt32LE(bytes, begin);
    store.writeUInt16LE(nameEnd - begin - fixedBytes, begin + nameBytesAt);
    store.writeUInt16LE(idEnd - nameEnd, begin + eventIdBytesAt);
    store.writeUInt32LE(at - idEnd, begin + propertiesBytesAt);
    store.writeUInt32LE(payload.length, begin + payloadBytesAt);
    store.writeUInt16LE(key.length, begin + keyBytesAt);
    store.writeInt32LE(message.partition ?? partitionNone, begin + partitionAt);
    store.writeDoubleLE(message.timestampMs ?? 0, begin + timestampAt);
    store.set(payload, at);
    store.set(key, at + payload.length);
    this.#to = begin + bytes;
  }
}

function writeText(store: Buffer, text: string, at: number): number {
  const bytes = store.write(text, at + 2);
  store.writeUInt16BE(bytes, at);
  return at + 2 + bytes;
}

/** What it takes in the chunk. */
export function messageBytes(message: MessageForm): number {
  const { topicName, eventId, headers, payload, key } = message;
  let bytes = fixedBytes + Buffer.byteLength(topicName) + Buffer.byteLength(eventId);
  for (const [name, value] of headers) {
    bytes += propertyFixedBytes + Buffer.byteLength(name) + Buffer.byteLength(value);
  }
  return bytes + payload.length + (key?.length ?? 0);
}

/**
 * Whether two bytes of length cannot say one of its texts.
 * @param bytes `messageBytes` of it
 */
export function hasLongText(message: MessageForm, bytes: number): boolean {
  if (bytes <= stringBytesMost) return false;
  const { topicName, eventId, headers, key } = message;
  const texts = [topicName, eventId, ...headers.flat()];
  const isLong = (text: string): boolean => Buffer.byteLength(text) > stringBytesMost;
  return texts.some(isLong) || (key?.length ?? 0) > stringBytesMost;
}
