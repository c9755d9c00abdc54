/**
 * What one connection is owed, in the order of its packets [MQTT-4.6.0-2] [MQTT-4.6.0-3].
 *
 * An entry is one PUBACK, PUBREC or PUBCOMP. It leaves when its commit is on disk and, if the
 * broker behind has the packet too, when the broker answered that. What only the broker has (it
 * passed) stands here as well, and leaves as the broker wrote it: so acknowledgements of captured
 * and of passed PUBLISHes keep one order, and one form: what the broker says with its success (no
 * matching subscribers, a Reason String) it says of a copy too. Layout: parallel arrays with a
 * head, nothing allocated a frame; the broker's own bytes are kept beside, by place.
 *
 *   entry  Packet Identifier 16 | waits for the broker 1 | kind 2 | verbatim 1 | Reason Code 8
 */

/** First byte of the fixed header [MQTT 3.1.1 and 5.0, sections 3.4, 3.5, 3.7]. */
export const ackTypes = { puback: 0x40, pubrec: 0x50, pubcomp: 0x70 } as const;
export type AckType = (typeof ackTypes)[keyof typeof ackTypes];

const shortAckBytes = 4;
const reasonAckBytes = 5;
const idMask = 0xffff;
const waitsForBroker = 1 << 16;
const kindShift = 17;
const kindMask = 3 << kindShift;
const verbatim = 1 << 19;
const reasonShift = 20;
/** From here on a Reason Code is a refusal [MQTT 5.0 section 2.4]. */
const refusals = 0x80;
const kinds: readonly AckType[] = [ackTypes.puback, ackTypes.pubrec, ackTypes.pubcomp];
/** Arrays are cut when so many entries at their front are done. */
const compactAt = 1024;

export class AckQueue {
  #entries: number[] = [];
  #commits: number[] = [];
  #head = 0;
  /** Entries that were cut from the front. */
  #cut = 0;
  #ready = -1;
  readonly #verbatim = new Map<number, Buffer>();
  /** PUBLISHes of QoS 1 that wait here: they count against the Receive Maximum. */
  pubacks = 0;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** The next acknowledgement cannot leave before the broker's. */
  get waitsForBroker(): boolean {
    return this.length > 0 && ((this.#entries[this.#head] as number) & waitsForBroker) !== 0;
  }

  /**
   * @param commit the batch whose COMMIT releases it; −1 is none
   * @param copied the broker has the packet too, and must have answered
   * @param reasonCode version 5 only; 0 is success and is not written
   */
  push(commit: number, packetId: number, type: AckType, copied: boolean, reasonCode = 0): void {
    const kind = kinds.indexOf(type) << kindShift;
    const waits = copied ? waitsForBroker : 0;
    this.#add(commit, packetId | waits | kind | (reasonCode << reasonShift), type);
  }

  /** A PUBLISH that only the broker has: its answer takes this place, as it comes. */
  pushPassed(packetId: number, type: AckType): void {
    const kind = kinds.indexOf(type) << kindShift;
    this.#add(-1, packetId | waitsForBroker | kind | verbatim, type);
  }

  #add(commit: number, entry: number, type: AckType): void {
    this.#entries.push(entry);
    this.#commits.push(commit);
    if (type === ackTypes.puback) this.pubacks += 1;
  }

  /** The broker answered with `bytes`. False: nobody waits for it. */
  brokerAcknowledged(type: AckType, packetId: number, bytes: Uint8Array): boolean {
    const kind = kinds.indexOf(type) << kindShift;
    for (let at = this.#head; at < this.#entries.length; at++) {
      const entry = this.#entries[at] as number;
      if ((entry & idMask) !== packetId || (entry & waitsForBroker) === 0) continue;
      if ((entry & kindMask) !== kind) continue;
      this.#entries[at] = this.#answered(at, entry & ~waitsForBroker, bytes);
      return true;
    }
    return false;
  }

  /**
   * Stored is stored: a broker that refuses its copy does not make that a failure to the device.
   * @returns the entry, with the broker's words for it
   */
  #answered(at: number, entry: number, bytes: Uint8Array): number {
    const reason = bytes[shortAckBytes] ?? 0;
    if ((entry & verbatim) === 0) {
      if (bytes.length <= shortAckBytes || reason >= refusals) return entry;
      if (bytes.length === reasonAckBytes) return entry | (reason << reasonShift);
    }
    this.#verbatim.set(this.#cut + at, Buffer.from(bytes));
    return entry | verbatim;
  }

  committed(commit: number): void {
    if (commit > this.#ready) this.#ready = commit;
  }

  /** The bytes of every acknowledgement that may leave now, or null. */
  take(): Buffer | null {
    const first = this.#head;
    let at = first;
    let bytes = 0;
    for (; at < this.#entries.length; at++) {
      const entry = this.#entries[at] as number;
      if ((entry & waitsForBroker) !== 0 || (this.#commits[at] as number) > this.#ready) break;
      bytes += this.#bytesOf(at, entry);
    }
    if (at === first) return null;
    const out = Buffer.allocUnsafe(bytes);
    for (let i = first, to = 0; i < at; i++) to = this.#write(out, to, i);
    this.#head = at;
    this.#compact();
    return out;
  }

  #bytesOf(at: number, entry: number): number {
    if ((entry & verbatim) !== 0) return this.#verbatim.get(this.#cut + at)?.length ?? 0;
    return entry >>> reasonShift === 0 ? shortAckBytes : reasonAckBytes;
  }

  #write(out: Buffer, to: number, at: number): number {
    const entry = this.#entries[at] as number;
    const kind = (entry & kindMask) >> kindShift;
    if (kind === 0) this.pubacks -= 1;
    if ((entry & verbatim) !== 0) {
      const own = this.#verbatim.get(this.#cut + at) as Buffer;
      this.#verbatim.delete(this.#cut + at);
      return to + own.copy(out, to);
    }
    const reason = entry >>> reasonShift;
    const bytes = reason === 0 ? shortAckBytes : reasonAckBytes;
    out[to] = kinds[kind] as number;
    out[to + 1] = bytes - 2;
    out[to + 2] = (entry & idMask) >> 8;
    out[to + 3] = entry & 0xff;
    if (reason !== 0) out[to + shortAckBytes] = reason;
    return to + bytes;
  }

  #compact(): void {
    if (this.#head === this.#entries.length) {
      this.#cut += this.#head;
      this.#entries = [];
      this.#commits = [];
      this.#head = 0;
    } else if (this.#head > compactAt) {
      this.#cut += this.#head;
      this.#entries.splice(0, this.#head);
      this.#commits.splice(0, this.#head);
      this.#head = 0;
    }
  }
}
