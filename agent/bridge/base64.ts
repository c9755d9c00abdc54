/**
 * Base64 as RFC 4648, section 4 has it, strictly. Node skips over what it does not know and makes
 * something of the rest: here that is refused, so that nobody stores other bytes than were meant.
 */
import { BridgeRefusal } from './answer.ts';

const alphabet = /^[A-Za-z0-9+/]*$/;
const groupCharacters = 4;

/** @throws BridgeRefusal 422 */
export function base64Of(value: unknown, where: string): Buffer {
  if (typeof value === 'string' && value.length % groupCharacters === 0) {
    const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0;
    if (alphabet.test(value.slice(0, value.length - padding))) return Buffer.from(value, 'base64');
  }
  throw new BridgeRefusal(422, `${where} is no base64`);
}
