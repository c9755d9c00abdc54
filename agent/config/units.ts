/**
 * Durations `ms s m h d`, sizes `B KiB MiB GiB`, rates `N/s N/m N/h` (`64KiB/s` for bytes), and
 * addresses `host:port`, each from its grammar:
 *
 *   duration  = number ( "ms" | "s" | "m" | "h" | "d" )
 *   size      = number ( "B" | "KiB" | "MiB" | "GiB" )
 *   rate      = number "/" ( "s" | "m" | "h" )
 *   byteRate  = size "/" ( "s" | "m" | "h" )
 *   number    = digits [ "." digits ]
 *   address   = ( hostname | IPv4 | "[" IPv6 "]" ) ":" port
 *
 * A bare number is refused: `5` is five of what? Only `0` as a word with its unit is zero.
 * Nothing is thrown here: what is wrong comes back with its remedy, for the list of problems.
 */
import { isIPv4, isIPv6 } from 'node:net';
import { GIB, KIB, MIB } from '../bounds.ts';
import type { Address } from './types.ts';

export interface Wrong {
  /** Reads on after the value: `5 has no unit`. */
  readonly wrong: string;
  readonly remedy: string;
}

export type Read<T> = { readonly value: T } | Wrong;

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const sizeUnits: Readonly<Record<string, number>> = { B: 1, KiB: KIB, MiB: MIB, GiB: GIB };
/** Per-second share of one of these. */
const perUnits: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

const number = '\\d+(?:\\.\\d+)?';
export const durationPattern = `^${number} ?(?:ms|s|m|h|d)$`;
export const sizePattern = `^${number} ?(?:B|KiB|MiB|GiB)$`;
export const ratePattern = `^${number} ?/ ?(?:s|m|h)$`;
export const byteRatePattern = `^${number} ?(?:B|KiB|MiB|GiB) ?/ ?(?:s|m|h)$`;
export const addressPattern = '^(?:\\[[0-9a-fA-F:.]+\\]|[^:\\s]+):\\d{1,5}$';

const durationRemedy = 'Write a number with its unit, as in 200ms, 5s, 15m, 1h or 7d.';
const sizeRemedy = 'Write a number with its unit, as in 512B, 64KiB, 8MiB or 1GiB.';
const rateRemedy = 'Write messages per second, minute or hour, as in 100/s, 30/m or 5/h.';
const byteRateRemedy = 'Write a size per second, minute or hour, as in 64KiB/s or 1MiB/m.';
const addressRemedy = 'Write host:port, as in 127.0.0.1:1883 or [::1]:1883.';

const portMax = 65_535;
const hostnameBytesMax = 253;
const hostnameShape = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/;

export function readDuration(value: unknown): Read<number> {
  return readUnit(value, durationUnits, 'a duration', durationRemedy);
}

export function readSize(value: unknown): Read<number> {
  const read = readUnit(value, sizeUnits, 'a size', sizeRemedy);
  return 'wrong' in read ? read : { value: Math.floor(read.value) };
}

/** Messages per second. */
export function readRate(value: unknown): Read<number> {
  if (isBare(value)) return { wrong: 'has no unit of time', remedy: rateRemedy };
  const match = typeof value === 'string' && /^(\d+(?:\.\d+)?) ?\/ ?([a-z]+)$/.exec(value.trim());
  const per = match ? perUnits[match[2] ?? ''] : undefined;
  if (!match || per === undefined) return { wrong: 'is not a rate', remedy: rateRemedy };
  return { value: Number(match[1]) / per };
}

/** Bytes per second. */
export function readByteRate(value: unknown): Read<number> {
  if (isBare(value)) return { wrong: 'has no unit', remedy: byteRateRemedy };
  const slash = typeof value === 'string' ? value.lastIndexOf('/') : -1;
  if (typeof value !== 'string' || slash < 0) {
    return { wrong: 'is not a rate of bytes', remedy: byteRateRemedy };
  }
  const per = perUnits[value.slice(slash + 1).trim()];
  const size = readUnit(value.slice(0, slash).trim(), sizeUnits, 'a size', byteRateRemedy);
  if (per === undefined || 'wrong' in size) {
    return { wrong: 'is not a rate of bytes', remedy: byteRateRemedy };
  }
  return { value: size.value / per };
}

export function readAddress(value: unknown): Read<Address> {
  const bad = { wrong: 'is not an address', remedy: addressRemedy };
  if (typeof value === 'number')
    return { wrong: 'is a port without a host', remedy: addressRemedy };
  if (typeof value !== 'string') return bad;
  const colon = value.lastIndexOf(':');
  if (colon < 0) return { wrong: 'has no port', remedy: addressRemedy };
  const written = value.slice(0, colon);
  const digits = value.slice(colon + 1);
  if (!/^\d{1,5}$/.test(digits) || Number(digits) > portMax) {
    return { wrong: `has no port between 0 and ${portMax}`, remedy: addressRemedy };
  }
  if (written === '') return { wrong: 'has no host', remedy: addressRemedy };
  const host = hostOf(written);
  return host === null ? bad : { value: { host, port: Number(digits) } };
}

function hostOf(written: string): string | null {
  if (written.startsWith('[') && written.endsWith(']')) {
    const inner = written.slice(1, -1);
    return isIPv6(inner) ? inner : null;
  }
  if (isIPv4(written)) return written;
  // Four dotted numbers that are no IPv4 address are a slip, not a name.
  if (/^[\d.]+$/.test(written)) return null;
  return written.length <= hostnameBytesMax && hostnameShape.test(written) ? written : null;
}

function readUnit(
  value: unknown,
  units: Readonly<Record<string, number>>,
  what: string,
  remedy: string,
): Read<number> {
  if (isBare(value)) return { wrong: 'has no unit', remedy };
  const match = typeof value === 'string' && /^(\d+(?:\.\d+)?) ?([A-Za-z]+)$/.exec(value.trim());
  if (!match) return { wrong: `is not ${what}`, remedy };
  const unit = Object.hasOwn(units, match[2] ?? '') ? units[match[2] ?? ''] : undefined;
  if (unit === undefined) {
    return {
      wrong: `has the unknown unit ${match[2]}; known are ${Object.keys(units).join(' ')}`,
      remedy,
    };
  }
  return { value: Number(match[1]) * unit };
}

function isBare(value: unknown): boolean {
  return typeof value === 'number' || (typeof value === 'string' && /^\d+(\.\d+)?$/.test(value));
}

/** 127.0.0.0/8, ::1 and localhost: reachable from this machine alone. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true;
  if (isIPv4(host)) return host.startsWith('127.');
  return /^(?:0*:)*:?0*1$/.test(host) && isIPv6(host) && host.includes('::')
    ? true
    : host === '::1';
}

export function showAddress(address: Address): string {
  return address.host.includes(':')
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}

/** `1GiB`, `64KiB`, `100B`: the largest unit that divides. */
export function showSize(bytes: number): string {
  for (const [unit, factor] of Object.entries(sizeUnits).reverse()) {
    if (bytes >= factor && bytes % factor === 0) return `${bytes / factor}${unit}`;
  }
  return `${bytes}B`;
}

export function showDuration(ms: number): string {
  for (const [unit, factor] of Object.entries(durationUnits).reverse()) {
    if (ms >= factor && ms % factor === 0) return `${ms / factor}${unit}`;
  }
  return `${ms}ms`;
}
