/**
 * What a held device sends while it waits: it is read ahead within a bound, and a PINGREQ found
 * there is answered at once, so that the device does not give the connection up [MQTT-3.12.4-1].
 * When the packet's turn comes it is not sent on: its answer has left. Only the fixed headers are
 * looked at; everything else is checked by the core in its turn.
 */
import type { Inbox } from './inbox.ts';

const pingreqFirstByte = 0xc0;
const disconnectFirstByte = 0xe0;
/** A packet of its fixed header alone. */
const shortBytes = 2;
const lengthBytesMost = 4;
const lengthBits = 7;
const lengthMore = 0x80;

export class ReadAhead {
  /** Of the inbox: what was looked at, from a packet's begin to another's. */
  #looked = 0;
  /** PINGREQs that were answered and are still to be taken. */
  answered = 0;
  /** A DISCONNECT with Normal disconnection came whole [MQTT-3.14.4-3]. */
  disconnected = false;

  /** The bytes at the front are done with. */
  consumed(bytes: number): void {
    this.#looked = Math.max(0, this.#looked - bytes);
  }

  /** @returns PINGREQs that came whole since, and whether any packet did */
  look(inbox: Inbox): { pings: number; packets: number } {
    const { bytes } = inbox;
    let [pings, packets] = [0, 0];
    for (;;) {
      const length = packetLength(bytes, this.#looked);
      if (length === 0 || this.#looked + length > bytes.length) break;
      const first = bytes[this.#looked];
      if (first === pingreqFirstByte) pings += 1;
      if (first === disconnectFirstByte) {
        const reason = length > shortBytes ? bytes[this.#looked + shortBytes] : 0;
        this.disconnected = reason === 0;
      }
      packets += 1;
      this.#looked += length;
    }
    this.answered += pings;
    return { pings, packets };
  }

  /** A PINGREQ's turn has come. @returns whether it was answered ahead */
  pingTaken(): boolean {
    if (this.answered === 0) return false;
    this.answered -= 1;
    return true;
  }
}

/** Whole size of the packet at `at`; 0 while its length has not come, or is malformed. */
export function packetLength(bytes: Buffer, at: number): number {
  let value = 0;
  for (let i = 0; i < lengthBytesMost; i++) {
    const byte = bytes[at + 1 + i];
    if (byte === undefined) return 0;
    value |= (byte & (lengthMore - 1)) << (lengthBits * i);
    if (byte < lengthMore) return value + i + 2;
  }
  return 0;
}
