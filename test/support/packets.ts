/**
 * MQTT bytes for tests and the bench, written by hand from the standard: what drives the agent from
 * outside must not share code with it, nor with its oracle.
 *
 * Only what the drivers need: CONNECT, PUBLISH, PUBREL, acknowledgements as they come back,
 * DISCONNECT. `AckScanner` cuts what a server sends into packets and tells their type, Packet
 * Identifier and reason, and of a CONNACK whether there was a session.
 */

export const packetTypes = {
  connack: 2,
  puback: 4,
  pubrec: 5,
  pubrel: 6,
  pubcomp: 7,
  suback: 9,
  pingresp: 13,
  disconnect: 14,
} as const;
export const pingreq = Buffer.from([0xc0, 0]);
export const disconnect = Buffer.from([0xe0, 0]);
export const identifierMax = 65_535;

const varintContinues = 0x80;
const bitsPerVarintByte = 7;
const maxVarintBytes = 4;
const nothing = Buffer.alloc(0);
const identifiedTypes: readonly number[] = [4, 5, 6, 7];

export type Version = 4 | 5;

export function remainingLength(length: number): Buffer {
  const bytes: number[] = [];
  let rest = length;
  do {
    const low = rest % varintContinues;
    rest = Math.floor(rest / varintContinues);
    bytes.push(rest > 0 ? low | varintContinues : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}

export function text(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value;
  const length = Buffer.alloc(2);
  length.writeUInt16BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

export function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function packet(firstByte: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([firstByte]), remainingLength(body.length), body]);
}

export interface ConnectOptions {
  readonly clientId: string;
  readonly version?: Version;
  readonly keepAliveSeconds?: number;
  readonly clean?: boolean;
  /** Version 5; 0 unless given. */
  readonly sessionExpirySeconds?: number;
}

export function connectPacket(options: ConnectOptions): Buffer {
  const version = options.version ?? 4;
  const head = Buffer.from([version, (options.clean ?? true) ? 0x02 : 0]);
  const properties = version === 5 ? sessionExpiry(options.sessionExpirySeconds ?? 0) : nothing;
  return packet(
    0x10,
    text('MQTT'),
    head,
    u16(options.keepAliveSeconds ?? 60),
    properties,
    text(options.clientId),
  );
}

function sessionExpiry(seconds: number): Buffer {
  const property = Buffer.from([0x11, 0, 0, 0, 0]);
  property.writeUInt32BE(seconds, 1);
  return Buffer.concat([Buffer.from([property.length]), property]);
}

export function pubrelPacket(identifier: number): Buffer {
  return packet(0x62, u16(identifier));
}

export interface PublishOptions {
  readonly topicName: string | Buffer;
  readonly payload: string | Buffer;
  readonly identifier?: number;
  readonly qos?: 0 | 1 | 2;
  readonly dup?: boolean;
  readonly retain?: boolean;
  readonly version?: Version;
}

export function publishPacket(options: PublishOptions): Buffer {
  const qos = options.qos ?? 1;
  const flags = (options.dup === true ? 8 : 0) | (qos << 1) | (options.retain === true ? 1 : 0);
  const parts = [text(options.topicName)];
  if (qos > 0) parts.push(u16(options.identifier ?? 1));
  if (options.version === 5) parts.push(Buffer.from([0]));
  return packet(0x30 | flags, ...parts, Buffer.from(options.payload));
}

export type OnPacket = (
  type: number,
  identifier: number,
  reason: number,
  sessionPresent: boolean,
) => void;

/**
 * Cuts server bytes into packets; `identifier` is 0 and `reason` the second body byte elsewhere.
 */
export class AckScanner {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer, onPacket: OnPacket): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const body = bodyOf(bytes, at);
      if (body === null) break;
      const type = (bytes[at] ?? 0) >> 4;
      const identified = identifiedTypes.includes(type) && body.end - body.start >= 2;
      const identifier = identified ? bytes.readUInt16BE(body.start) : 0;
      const reason = bytes[body.start + (identified ? 2 : 1)] ?? 0;
      const said = body.end - body.start > (identified ? 2 : 1) ? reason : 0;
      const sessionPresent = type === packetTypes.connack && bytes[body.start] === 1;
      onPacket(type, identifier, said, sessionPresent);
      at = body.end;
    }
    this.#rest = bytes.subarray(at);
  }
}

function bodyOf(bytes: Buffer, at: number): { start: number; end: number } | null {
  let length = 0;
  for (let i = 0; i < maxVarintBytes; i++) {
    const byte = bytes[at + 1 + i];
    if (byte === undefined) return null;
    length += (byte & (varintContinues - 1)) * 2 ** (bitsPerVarintByte * i);
    if ((byte & varintContinues) !== 0) continue;
    const start = at + 2 + i;
    return start + length <= bytes.length ? { start, end: start + length } : null;
  }
  throw new RangeError('server sent a Remaining Length of more than four bytes');
}
