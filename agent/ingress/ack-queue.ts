/**
 * What one connection is owed, in the order of its PUBLISHes.
 *
 * An entry leaves when its segment is on disk and, if the broker got a copy, when the broker
 * acknowledged that copy too. Entries behind one that cannot leave wait, so acknowledgements keep
 * the order of the PUBLISHes [MQTT-4.6.0-2]. Layout: parallel arrays used as a ring of growing
 * arrays with a head; nothing is allocated per frame.
 */

/** MQTT fixed headers [MQTT 3.1.1 section 3.4, 3.5]. */
const pubackHeader = 0x40;
const pubrecHeader = 0x50;
const shortAckBytes = 4;
const reasonAckBytes = 5;
const idMask = 0xffff;
const waitsForBroker = 1 << 16;
const isPubrec = 1 << 17;
const reasonShift = 20;
/** Arrays are cut when so many entries at their front are done. */
const compactAt = 1024;

export class AckQueue {
  #entries: number[] = [];
  #segments: number[] = [];
  #head = 0;
  #ready = -1;

  get length(): number {
    return this.#entries.length - this.#head;
  }

  /** The next acknowledgement cannot leave before the broker's. */
  get waitsForBroker(): boolean {
    return this.length > 0 && ((this.#entries[this.#head] as number) & waitsForBroker) !== 0;
  }

  /**
   * @param segment the sequence whose commit releases it
   * @param reasonCode version 5 only; 0 is success and is not written
   */
  push(segment: number, packetId: number, qos: number, copied: boolean, reasonCode = 0): void {
    const entry =
      packetId |
      (copied ? waitsForBroker : 0) |
      (qos > 1 ? isPubrec : 0) |
      (reasonCode << reasonShift);
    this.#entries.push(entry);
    this.#segments.push(segment);
  }

  /** The broker acknowledged the copy of this PUBLISH. False: nobody waits for it. */
  brokerAcknowledged(packetId: number): boolean {
    for (let at = this.#head; at < this.#entries.length; at++) {
      const entry = this.#entries[at] as number;
      if ((entry & idMask) === packetId && (entry & waitsForBroker) !== 0) {
        this.#entries[at] = entry & ~waitsForBroker;
        return true;
      }
    }
    return false;
  }

  committed(segment: number): void {
    if (segment > this.#ready) this.#ready = segment;
  }

  /** The bytes of every acknowledgement that may leave now, or null. */
  take(): Buffer | null {
    const first = this.#head;
    let at = first;
    let bytes = 0;
    for (; at < this.#entries.length; at++) {
      const entry = this.#entries[at] as number;
      if ((entry & waitsForBroker) !== 0 || (this.#segments[at] as number) > this.#ready) break;
      bytes += entry >>> reasonShift === 0 ? shortAckBytes : reasonAckBytes;
    }
    if (at === first) return null;
    const out = Buffer.allocUnsafe(bytes);
    for (let i = first, to = 0; i < at; i++) to = writeAck(out, to, this.#entries[i] as number);
    this.#head = at;
    this.#compact();
    return out;
  }

  #compact(): void {
    if (this.#head === this.#entries.length) {
      this.#entries = [];
      this.#segments = [];
      this.#head = 0;
    } else if (this.#head > compactAt) {
      this.#entries.splice(0, this.#head);
      this.#segments.splice(0, this.#head);
      this.#head = 0;
    }
  }
}

function writeAck(out: Buffer, to: number, entry: number): number {
  const reason = entry >>> reasonShift;
  const bytes = reason === 0 ? shortAckBytes : reasonAckBytes;
  out[to] = (entry & isPubrec) !== 0 ? pubrecHeader : pubackHeader;
  out[to + 1] = bytes - 2;
  out[to + 2] = (entry & idMask) >> 8;
  out[to + 3] = entry & 0xff;
  if (reason !== 0) out[to + shortAckBytes] = reason;
  return to + bytes;
}
