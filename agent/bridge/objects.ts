/**
 * JSON objects that stand one behind another (concatenated JSON), out of bytes that come in pieces:
 *
 *   between ──{──▶ in an object ⇄ in a string (its quotes and braces are its own)
 *      ▲──────────────── } of the first ────┘
 *
 * Each byte is looked at once. An object has a bound, since it is kept until it is whole.
 */
import { bridgeBodyBytes } from '../bounds.ts';
import { BridgeRefusal } from './answer.ts';

const [quote, backslash, open, close] = [0x22, 0x5c, 0x7b, 0x7d];
const blank = new Set([0x20, 0x09, 0x0a, 0x0d]);
const nothing = Buffer.alloc(0);

export class ObjectSplitter {
  /** From the first byte of the object in hand. */
  #rest: Buffer = nothing;
  /** Up to where it was looked at. */
  #at = 0;
  #depth = 0;
  #inString = false;

  /** Something begins that is not whole yet. */
  get isBetween(): boolean {
    return this.#rest.length === 0;
  }

  /** @returns objects that are whole now @throws BridgeRefusal 400, 413 */
  push(chunk: Buffer): Buffer[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const found: Buffer[] = [];
    for (;;) {
      if (this.#depth === 0 && !this.#begin()) break;
      const end = this.#end();
      if (end < 0) break;
      found.push(this.#rest.subarray(0, end));
      this.#rest = this.#rest.subarray(end);
      this.#at = 0;
    }
    if (this.#rest.length > bridgeBodyBytes) {
      throw new BridgeRefusal(413, `a record has at most ${bridgeBodyBytes} bytes`);
    }
    return found;
  }

  /** @returns false: nothing but blanks is left */
  #begin(): boolean {
    let at = 0;
    while (at < this.#rest.length && blank.has(this.#rest[at] ?? 0)) at += 1;
    this.#rest = this.#rest.subarray(at);
    if (this.#rest.length === 0) return false;
    if (this.#rest[0] !== open) throw new BridgeRefusal(400, 'what is sent is no object');
    this.#depth = 1;
    this.#at = 1;
    return true;
  }

  /** @returns where the object in hand ends; −1: it is not whole */
  #end(): number {
    const rest = this.#rest;
    for (let at = this.#at; at < rest.length; at++) {
      const byte = rest[at];
      if (this.#inString) {
        if (byte === quote) this.#inString = false;
        else if (byte === backslash) {
          // The byte behind it is the string's own, also when it is still to come.
          if (at + 1 === rest.length) {
            this.#at = at;
            return -1;
          }
          at += 1;
        }
      } else if (byte === quote) this.#inString = true;
      else if (byte === open) this.#depth += 1;
      else if (byte === close && --this.#depth === 0) return at + 1;
    }
    this.#at = rest.length;
    return -1;
  }
}
