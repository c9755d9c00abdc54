/**
 * How we log in to Kafka: PLAIN (RFC 4616), SCRAM-SHA-256 and -512 (RFC 5802, RFC 7677) and
 * OAUTHBEARER (RFC 7628), each as an exchange of bytes that kafka.ts carries as SaslAuthenticate.
 *
 * It is our own because the library's breaks what depends on it: a malformed SCRAM message ends the
 * thread, a network error within SCRAM looks like a wrong password, a refused token looks like an
 * accepted one, and a user name with two commas is sent wrong.
 *
 * In SCRAM the broker proves that it knows the password, too; one that does not is refused.
 */
import { createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { scramIterationsLeast, scramIterationsMost } from '../bounds.ts';
import type { KafkaSasl } from '../config/types.ts';
import { messageOf, TidegateError } from '../errors.ts';

/** Sends bytes, resolves with the answer; rejects when the broker refuses or is gone. */
export type Exchange = (bytes: Buffer) => Promise<Buffer>;

export const mechanismNames = {
  plain: 'PLAIN',
  'scram-sha-256': 'SCRAM-SHA-256',
  'scram-sha-512': 'SCRAM-SHA-512',
  oauthbearer: 'OAUTHBEARER',
} as const;

const derive = promisify(pbkdf2);
const nonceBytes = 24;
const noChannelBinding = 'n,,';
const separator = '\u0001';

export async function logIn(sasl: KafkaSasl, exchange: Exchange): Promise<void> {
  if (sasl.mechanism === 'oauthbearer') return await withToken(tokenOf(sasl), exchange);
  const { mechanism, username, password } = sasl;
  if (mechanism === 'plain') {
    if (`${username}${password}`.includes('\0')) throw refused('PLAIN takes no NUL in a name');
    await exchange(Buffer.from(`\0${username}\0${password}`));
    return;
  }
  const hash = mechanism === 'scram-sha-256' ? 'sha256' : 'sha512';
  await withScram(hash, username, password, exchange);
}

function refused(detail: string): TidegateError {
  return new TidegateError('upstreamUnauthorized', detail);
}

type Oauth = Extract<KafkaSasl, { mechanism: 'oauthbearer' }>;

/** A token file is read at each log-in, so that a renewed token is taken by itself. */
function tokenOf({ token, tokenFile }: Oauth): string {
  if (tokenFile === null) return token ?? '';
  try {
    return readFileSync(tokenFile, 'utf8').trim();
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? messageOf(error);
    const detail = `sasl.tokenFile: ${tokenFile} cannot be read (${reason})`;
    throw new TidegateError('secretUnreadable', detail, { cause: error });
  }
}

async function withToken(token: string, exchange: Exchange): Promise<void> {
  // RFC 6750, section 2.1: what a token is made of.
  if (!/^[\w.~+/-]+=*$/.test(token)) throw refused('the token is empty or no bearer token');
  const start = `${noChannelBinding}${separator}auth=Bearer ${token}${separator}${separator}`;
  const answer = await exchange(Buffer.from(start));
  if (answer.length === 0) return;
  // RFC 7628, section 3.2.3: the refusal comes as a challenge, and is to be acknowledged.
  const reason = refusalOf(answer.toString());
  await exchange(Buffer.from(separator)).catch(() => {});
  throw refused(`the token is refused: ${reason}`);
}

function refusalOf(challenge: string): string {
  try {
    const { status } = JSON.parse(challenge) as { status?: unknown };
    return typeof status === 'string' ? status : 'no reason given';
  } catch {
    return 'no reason given';
  }
}

/** RFC 5802, section 5.1: the two characters that would end or begin an attribute. */
function escaped(name: string): string {
  return name.replaceAll('=', '=3D').replaceAll(',', '=2C');
}

async function withScram(
  hash: 'sha256' | 'sha512',
  username: string,
  password: string,
  exchange: Exchange,
  nonce: string = randomBytes(nonceBytes).toString('base64'),
): Promise<void> {
  const hmac = (key: Buffer, text: string) => createHmac(hash, key).update(text).digest();
  const clientFirst = `n=${escaped(username)},r=${nonce}`;
  const serverFirst = (await exchange(Buffer.from(noChannelBinding + clientFirst))).toString();
  const [, both = '', salt = '', count = ''] =
    /^r=([^,]+),s=([A-Za-z0-9+/]+=*),i=(\d{1,9})(?:,|$)/.exec(serverFirst) ?? [];
  if (!both.startsWith(nonce) || both.length === nonce.length) {
    throw refused('the broker does not answer as SCRAM says');
  }
  const iterations = Number(count);
  if (iterations < scramIterationsLeast || iterations > scramIterationsMost) {
    throw refused(`the broker asks for ${iterations} iterations of SCRAM`);
  }
  const length = createHash(hash).digest().length;
  const salted = await derive(password, Buffer.from(salt, 'base64'), iterations, length, hash);
  const binding = Buffer.from(noChannelBinding).toString('base64');
  const withoutProof = `c=${binding},r=${both}`;
  const messages = `${clientFirst},${serverFirst},${withoutProof}`;
  const clientKey = hmac(salted, 'Client Key');
  const storedKey = createHash(hash).update(clientKey).digest();
  const signature = hmac(storedKey, messages);
  const proof = clientKey.map((byte, index) => byte ^ (signature[index] as number));
  const final = `${withoutProof},p=${Buffer.from(proof).toString('base64')}`;
  const serverFinal = (await exchange(Buffer.from(final))).toString();
  const [, kind = '', value = ''] = /^([ev])=([^,]*)/.exec(serverFinal) ?? [];
  if (kind === 'e') throw refused(`SCRAM: ${value}`);
  const expected = hmac(hmac(salted, 'Server Key'), messages);
  const given = Buffer.from(kind === 'v' ? value : '', 'base64');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    throw refused('the broker does not know the password it asks for');
  }
}
