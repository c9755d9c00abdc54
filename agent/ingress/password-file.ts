/**
 * The password file: who may log in, and what a password must hash to.
 *
 *   line     = user | comment | ""
 *   comment  = "#" anything
 *   user     = name ":$scrypt$ln=" log2N ",r=" r ",p=" p "$" salt "$" hash     (salt, hash: base64)
 *   name     = any characters but ":" and control characters; no "#" first, no space at its ends
 *
 * scrypt (RFC 7914) with N = 2^15, r = 8, p = 1 unless the line says otherwise; what a line may ask
 * for is bounded. A file with one bad line is no password file: the line is named.
 */
import { randomBytes, scrypt } from 'node:crypto';
import { scryptMemoryBytes } from '../bounds.ts';
import { TidegateError } from '../errors.ts';

export interface ScryptCost {
  /** log2 of N. */
  readonly ln: number;
  readonly r: number;
  readonly p: number;
}

export interface PasswordHash extends ScryptCost {
  readonly salt: Buffer;
  readonly hash: Buffer;
  /** As it stands in the file. */
  readonly written: string;
}

export type Users = ReadonlyMap<string, PasswordHash>;

export const defaultCost: ScryptCost = { ln: 15, r: 8, p: 1 };
const saltBytes = 16;
const hashBytes = 32;
const leastHashBytes = 16;
const mostHashBytes = 64;
const costMost = { ln: 20, r: 32, p: 16 } as const;
const nameBytesMost = 65_535;
const shape = /^\$scrypt\$ln=(\d{1,2}),r=(\d{1,2}),p=(\d{1,2})\$([\w+/]+=*)\$([\w+/]+=*)$/;

/** What is wrong with a name; null: nothing. */
export function nameFault(name: string): string | null {
  if (name === '') return 'the name is empty';
  if (Buffer.byteLength(name) > nameBytesMost) return 'the name is too long for MQTT';
  if (name.startsWith('#')) return 'the name begins with #, as a comment does';
  if (name !== name.trim()) return 'the name begins or ends with a space';
  if (/[:\p{Cc}]/u.test(name)) return 'the name has a : or a control character';
  return null;
}

/** @throws TidegateError usersInvalid: names the file and the line */
export function readUsers(text: string, file: string): Users {
  const users = new Map<string, PasswordHash>();
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.replace(/\r$/, '');
    if (line === '' || line.startsWith('#')) continue;
    const wrong = (what: string) =>
      new TidegateError('usersInvalid', `${file}:${index + 1}: ${what}`);
    const name = nameOf(line);
    if (name === null) throw wrong('there is no : behind a name');
    const fault = nameFault(name) ?? (users.has(name) ? `${name} stands there twice` : null);
    if (fault !== null) throw wrong(fault);
    const hash = readHash(line.slice(name.length + 1));
    if (typeof hash === 'string') throw wrong(hash);
    users.set(name, hash);
  }
  return users;
}

/** The name a line is about; null: it is about none. */
export function nameOf(line: string): string | null {
  const colon = line.indexOf(':');
  return line.startsWith('#') || colon < 0 ? null : line.slice(0, colon);
}

function readHash(written: string): PasswordHash | string {
  const match = shape.exec(written);
  if (!match) return 'behind the name stands no $scrypt$ln=…,r=…,p=…$salt$hash';
  const [ln = 0, r = 0, p = 0] = match.slice(1, 4).map(Number);
  const [salt = Buffer.alloc(0), hash = salt] = match.slice(4).map((b) => Buffer.from(b, 'base64'));
  const inBounds = ln >= 1 && r >= 1 && p >= 1 && ln <= costMost.ln && r <= costMost.r;
  if (!inBounds || p > costMost.p || memoryOf({ ln, r, p }) > scryptMemoryBytes) {
    return `scrypt would cost more than ${scryptMemoryBytes} bytes, or nothing`;
  }
  if (hash.length < leastHashBytes || hash.length > mostHashBytes) {
    return `the hash has ${hash.length} bytes`;
  }
  return { ln, r, p, salt, hash, written };
}

function memoryOf({ ln, r, p }: ScryptCost): number {
  const blockBytes = 128 * r; // RFC 7914, section 2
  return blockBytes * (2 ** ln + p);
}

export function runScrypt(
  password: Uint8Array,
  salt: Buffer,
  length: number,
  cost: ScryptCost,
): Promise<Buffer> {
  const { ln, r, p } = cost;
  const options = { N: 2 ** ln, r, p, maxmem: 2 * memoryOf(cost) };
  return new Promise((resolve, reject) => {
    scrypt(password, salt, length, options, (error, hash) =>
      error ? reject(error) : resolve(hash),
    );
  });
}

/** A line of the file for this user. */
export async function writeUser(
  name: string,
  password: Uint8Array,
  cost: ScryptCost = defaultCost,
): Promise<string> {
  const salt = randomBytes(saltBytes);
  const hash = await runScrypt(password, salt, hashBytes, cost);
  const { ln, r, p } = cost;
  const parameters = `$scrypt$ln=${ln},r=${r},p=${p}`;
  return `${name}:${parameters}$${salt.toString('base64')}$${hash.toString('base64')}`;
}
