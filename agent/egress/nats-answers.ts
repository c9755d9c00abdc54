/**
 * What came back for one message, and what follows from it:
 *
 *   {"stream": …, "seq": …, "duplicate"?}    confirmed: a stream has it, or had it already
 *   {"error": {code, err_code, description}} retry, or bury: by err_code (nats-server, errors.json)
 *   status 503, no body                      no responders: no stream takes this subject
 *   anything else                            somebody else who is subscribed: not an answer to us
 *
 * A code that is not named is tried again: a record is never given up on a guess.
 */
import { type ErrorCode, TidegateError } from '../errors.ts';
import type { NatsMessage } from '../nats-client.ts';

/** JetStream codes that say the record will never be taken as it is. */
const buried: Readonly<Record<number, ErrorCode>> = {
  10054: 'recordTooLarge', // message size exceeds maximum allowed
  10097: 'recordTooLarge', // header size exceeds maximum allowed of 64k
  10165: 'recordInvalid', // invalid per-message TTL
};
const noResponders = 503;

export type Answer =
  | { readonly kind: 'confirmed' }
  | { readonly kind: 'foreign' }
  | { readonly kind: 'refused'; readonly error: TidegateError; readonly isFinal: boolean }
  | { readonly kind: 'noStream'; readonly error: TidegateError };

interface PubAck {
  readonly stream?: unknown;
  readonly seq?: unknown;
  readonly error?: { readonly code?: number; readonly err_code?: number; description?: string };
}

const confirmed: Answer = { kind: 'confirmed' };
const foreign: Answer = { kind: 'foreign' };

export function judge(message: Pick<NatsMessage, 'data' | 'headers'>, subject: string): Answer {
  const { data } = message;
  if (data.length === 0) return isNobody(message) ? noStream(subject) : foreign;
  const ack = parsed(data);
  if (ack?.error !== undefined) return refused(ack.error, subject);
  return typeof ack?.stream === 'string' && typeof ack.seq === 'number' ? confirmed : foreign;
}

/** Somebody else's reply may have headers that the library cannot read. */
function isNobody(message: Pick<NatsMessage, 'headers'>): boolean {
  try {
    return message.headers?.code === noResponders;
  } catch {
    return false;
  }
}

function noStream(subject: string): Answer {
  return { kind: 'noStream', error: new TidegateError('natsNoStream', `no stream has ${subject}`) };
}

function refused(error: NonNullable<PubAck['error']>, subject: string): Answer {
  const { code, err_code: errCode = 0, description = '' } = error;
  const detail = `${subject}: the server answered ${description} (${code}, ${errCode})`;
  const why = buried[errCode];
  const judged = new TidegateError(why ?? 'upstreamRejected', detail);
  return { kind: 'refused', error: judged, isFinal: why !== undefined };
}

function parsed(data: Uint8Array): PubAck | null {
  try {
    const text = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString();
    const ack: unknown = JSON.parse(text);
    return typeof ack === 'object' && ack !== null ? (ack as PubAck) : null;
  } catch {
    return null;
  }
}
