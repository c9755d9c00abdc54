/**
 * The data representations of MQTT 5 (section 1.5), measured and written: integers, Variable Byte
 * Integers, UTF-8 strings, User Properties.
 *
 * Refuses with recordInvalid what MQTT cannot say: strings of more than 65,535 bytes, and those
 * with NUL, other control characters or noncharacters: a server may close the connection for one
 * (1.5.4), and Mosquitto does, each time that the record is sent.
 */
import { TidegateError } from '../errors.ts';
import type { Header } from './envelope.ts';
import { mqttUnsaid } from './unsaid.ts';

const stringBytesMax = 65_535;
export const lengthBytes = 2;
export const idBytes = 1;

export const property = {
  payloadFormat: 0x01,
  expiry: 0x02,
  contentType: 0x03,
  responseTopic: 0x08,
  correlationData: 0x09,
  user: 0x26,
} as const;

function textOf(value: Header[1]): string {
  return typeof value === 'string' ? value : Buffer.from(value).toString('base64');
}

/** Two bytes of length, then the bytes. [MQTT-1.5.4-2] */
export function stringBytes(text: string): number {
  const bytes = Buffer.byteLength(text);
  if (bytes > stringBytesMax || mqttUnsaid.test(text)) {
    const detail = `MQTT has no string of ${bytes} bytes ${JSON.stringify(text.slice(0, 40))}`;
    throw new TidegateError('recordInvalid', detail);
  }
  return lengthBytes + bytes;
}

export function userPropertyBytes(headers: readonly Header[]): number {
  let bytes = 0;
  for (const [name, value] of headers) {
    bytes += idBytes + stringBytes(name) + stringBytes(textOf(value));
  }
  return bytes;
}

export class Writer {
  readonly buffer: Buffer;
  #at = 0;

  constructor(bytes: number) {
    this.buffer = Buffer.allocUnsafe(bytes);
  }

  u8(value: number): void {
    this.buffer[this.#at++] = value;
  }
  u16(value: number): void {
    this.#at = this.buffer.writeUInt16BE(value, this.#at);
  }
  u32(value: number): void {
    this.#at = this.buffer.writeUInt32BE(value, this.#at);
  }
  /** Variable Byte Integer. [MQTT-1.5.5-1] */
  varint(value: number): void {
    let rest = value;
    for (; rest > 0x7f; rest >>>= 7) this.u8((rest & 0x7f) | 0x80);
    this.u8(rest);
  }
  raw(bytes: Uint8Array): void {
    this.buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }
  text(text: string): void {
    const bytes = this.buffer.write(text, this.#at + lengthBytes);
    this.u16(bytes);
    this.#at += bytes;
  }
  userProperties(headers: readonly Header[]): void {
    for (const [name, value] of headers) {
      this.u8(property.user);
      this.text(name);
      this.text(textOf(value));
    }
  }
}

export function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) bytes++;
  return bytes;
}
