/**
 * Who asks, and for what: the device behind a token (RFC 6750) or an address, the Idempotency-Key,
 * names in the path. Web pages are refused: a browser says where a request comes from (Origin).
 */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { BridgeConfig } from '../config/types.ts';
import { BridgeRefusal } from './answer.ts';

const bearer = /^Bearer +([^\s]+)$/i;
const keyShape = /^[\x21-\x7e]{1,255}$/;
/** Every answer of version 3 repeats it. */
const nameBytesMost = 512;

/** @throws BridgeRefusal 401, 403 */
export function deviceOf(request: IncomingMessage, { clients }: BridgeConfig): string {
  if (request.headers.origin !== undefined) {
    throw new BridgeRefusal(403, 'requests of web pages are not taken');
  }
  if (clients.length === 0) return request.socket.remoteAddress ?? 'unknown';
  const [, token] = bearer.exec(request.headers.authorization ?? '') ?? [];
  const client = clients.find((one) => token !== undefined && isSame(one.token, token));
  if (client !== undefined) return client.device;
  const challenge = { 'www-authenticate': 'Bearer realm="tidegate"' };
  const why = token === undefined ? 'send Authorization: Bearer TOKEN' : 'this token is not known';
  throw new BridgeRefusal(401, why, challenge);
}

/** In a time that says nothing about where they differ. */
function isSame(known: string, given: string): boolean {
  const [one, other] = [Buffer.from(known), Buffer.from(given)];
  return one.length === other.length && timingSafeEqual(one, other);
}

/** @throws BridgeRefusal 400 */
export function keyOf({ headers }: IncomingMessage): string | null {
  const written = headers['idempotency-key'];
  if (written === undefined) return null;
  const key = String(written);
  if (keyShape.test(key)) return key;
  throw new BridgeRefusal(400, 'Idempotency-Key: write 1 to 255 printable characters of ASCII');
}

/** Of all that the request says; what of its headers makes a record is part of it. */
export function fingerprintOf({ url, headers }: IncomingMessage, body: Buffer): string {
  const attributes = Object.entries(headers).filter(([name]) => name.startsWith('ce-'));
  const said = JSON.stringify([url, headers['content-type'], attributes]);
  return createHash('sha256').update(said).update(body).digest('base64url');
}

/** A segment of the path. @throws BridgeRefusal 400, 422 */
export function nameOf(written = ''): string {
  let name: string;
  try {
    name = decodeURIComponent(written);
  } catch {
    throw new BridgeRefusal(400, 'the path is not percent-encoded UTF-8');
  }
  if (Buffer.byteLength(name) <= nameBytesMost) return name;
  throw new BridgeRefusal(422, `a topic has at most ${nameBytesMost} bytes`);
}
