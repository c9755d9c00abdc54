/**
 * A sequence is what one device sends and, exactly, what it hears: bytes for bytes, then either the
 * close or service that goes on. Patterns are hex; a Mosquitto that says more than it must (no
 * matching subscribers) is allowed for by name, nothing else is.
 */

export type Version = 3 | 4 | 5;
export const versions: readonly Version[] = [3, 4, 5];

export interface Sequence {
  readonly name: string;
  readonly version: Version;
  /** Sent behind an accepted CONNECT; false: the sequence brings its own, or none. */
  readonly connected: boolean;
  /** What is sent, and the pattern of what is heard from then on, in hex. */
  readonly steps: readonly (readonly [send: string, hears: string])[];
  /** The server closes behind the last step; else it answers a PINGREQ. */
  readonly ends: boolean;
}

const byteOf = (value: number): string => value.toString(16).padStart(2, '0');
export const u16 = (value: number): string => value.toString(16).padStart(4, '0');
export const compact = (hex: string): string => hex.replaceAll(' ', '');

export function variableByte(value: number): string {
  const low = value % 128;
  return value < 128 ? byteOf(low) : byteOf(low + 128) + variableByte((value - low) / 128);
}

/** A packet of its first byte and its body. */
export function packet(first: string, body = ''): string {
  const bytes = compact(body);
  return first + variableByte(bytes.length / 2) + bytes;
}

/** A string or binary in hex, with its length. */
export function prefixed(hex: string): string {
  return u16(hex.length / 2) + hex;
}

export function text(value: string): string {
  return prefixed(Buffer.from(value).toString('hex'));
}

/** Properties with their length; nothing before version 5. */
export function properties(version: Version, hex = ''): string {
  const bytes = compact(hex);
  return version === 5 ? variableByte(bytes.length / 2) + bytes : '';
}

export const protocolOf: Readonly<Record<Version, string>> = {
  3: `${text('MQIsdp')}03`,
  4: `${text('MQTT')}04`,
  5: `${text('MQTT')}05`,
};

/** A CONNECT of these flags; `payload` without it begins with a Client Identifier of its own. */
export function connect(version: Version, flags: string, payload: string, props = ''): string {
  const head = `${protocolOf[version]}${flags}003c${properties(version, props)}`;
  return packet('10', head + payload);
}

/** No session, accepted; version 5 says what it grants. */
export const accepted = '20(?:020000|[0-9a-f]{2}0000(?:..)+?)';
/** A success, which may say that nobody has subscribed. */
export const puback = (id: string): string => `40(?:02${id}|03${id}(?:00|10))`;
export const pubrec = (id: string): string => `50(?:02${id}|03${id}(?:00|10))`;

/** @param code what DISCONNECT says in version 5; null: nothing. Before 5 nobody says anything. */
export function refused(
  name: string,
  version: Version,
  send: string,
  code: number | null,
): Sequence {
  const hears = version === 5 && code !== null ? `e001${byteOf(code)}` : '';
  return { name, version, connected: true, steps: [[compact(send), hears]], ends: true };
}

export function served(name: string, version: Version, send: string, hears = ''): Sequence {
  return { name, version, connected: true, steps: [[compact(send), hears]], ends: false };
}

/** @param hears the CONNACK, or nothing, before the close */
export function notAccepted(name: string, version: Version, send: string, hears: string): Sequence {
  return { name, version, connected: false, steps: [[compact(send), hears]], ends: true };
}
