/**
 * JSON that is read and written again without a change of its numbers: what a double cannot hold
 * (RFC 8259, section 6) keeps its digits, so that an identifier of 19 digits arrives as it was
 * sent. Only texts in which such a number may stand pay for it.
 */
import { BridgeRefusal } from './answer.ts';

const mayHoldLongNumber = /[0-9.]{16}|[0-9][eE]/;

interface WithRaw {
  rawJSON(text: string): unknown;
}
type Reviver = (key: string, value: unknown, context: { readonly source?: string }) => unknown;

const { rawJSON } = JSON as unknown as WithRaw;

const keepNumber: Reviver = (_key, value, { source }) => {
  if (typeof value !== 'number' || source === undefined || String(value) === source) return value;
  return rawJSON(source);
};

/** @throws BridgeRefusal 400 */
export function parseExact(bytes: Buffer): unknown {
  const text = decode(bytes);
  try {
    if (!mayHoldLongNumber.test(text)) return JSON.parse(text);
    return JSON.parse(text, keepNumber as Parameters<typeof JSON.parse>[1]);
  } catch (error) {
    throw new BridgeRefusal(400, `the body is no JSON: ${(error as Error).message}`);
  }
}

/** Throws at what is none; a byte order mark is text. */
export const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function decode(bytes: Buffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new BridgeRefusal(400, 'the body is no UTF-8');
  }
}

/** @throws BridgeRefusal 422 what is nested too deep cannot be written again */
export function jsonBytes(value: unknown, where: string): Buffer {
  try {
    return Buffer.from(JSON.stringify(value));
  } catch {
    throw new BridgeRefusal(422, `${where} is nested too deep`);
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
