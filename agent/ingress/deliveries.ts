/**
 * What the broker delivers to one device and the device has not acknowledged to its end, by Packet
 * Identifier: so that an acknowledgement of the wrong kind is answered as the standard says,
 * whatever broker stands behind, and never reaches it.
 *
 *   QoS 1   PUBLISH ─▶ puback                                          [MQTT-4.3.2-4]
 *   QoS 2   PUBLISH ─▶ pubrec ─▶ pubcomp (PUBREC again is allowed)     [MQTT-4.3.3-8, -11]
 *
 * An identifier that is not known here is not judged: its PUBLISH may be an earlier connection's,
 * or one too large to be seen whole. The broker knows.
 */
import { ackTypes } from './ack-queue.ts';

type Awaited = 'puback' | 'pubrec' | 'pubcomp';

const typeShift = 4;
const qosMask = 6;
const qos1 = 2;
const dup = 8;
const more = 0x80;
const identifierBytes = 2;
const refusals = 0x80;
const [puback, pubrec] = [ackTypes.puback >> typeShift, ackTypes.pubrec >> typeShift];
const acknowledging = new Set<number>([puback, pubrec, ackTypes.pubcomp >> typeShift]);

export class Deliveries {
  readonly #awaited = new Map<number, Awaited>();

  /** @param publish a PUBLISH of the broker, at least its beginning */
  sent(publish: Uint8Array): void {
    const first = publish[0] ?? 0;
    if ((first & qosMask) === 0) return;
    const id = identifierOf(publish);
    if (id === null || ((first & dup) !== 0 && this.#awaited.has(id))) return;
    this.#awaited.set(id, (first & qosMask) === qos1 ? 'puback' : 'pubrec');
  }

  /** @returns false: the device acknowledges as another QoS would be, or out of order */
  allows(packetType: number, id: number, reasonCode: number): boolean {
    if (!acknowledging.has(packetType)) return true;
    const awaited = this.#awaited.get(id);
    if (awaited === undefined) return true;
    if (packetType === pubrec) {
      if (awaited === 'puback') return false;
      if (reasonCode >= refusals) this.#awaited.delete(id);
      else this.#awaited.set(id, 'pubcomp');
      return true;
    }
    if (awaited !== (packetType === puback ? 'puback' : 'pubcomp')) return false;
    return this.#awaited.delete(id);
  }
}

function identifierOf(publish: Uint8Array): number | null {
  let at = 1;
  while (at < publish.length && (publish[at] as number) >= more) at += 1;
  const [high = 0, low = 0] = publish.subarray(at + 1, at + 1 + identifierBytes);
  at += 1 + identifierBytes + ((high << 8) | low);
  if (at + identifierBytes > publish.length) return null;
  return ((publish[at] as number) << 8) | (publish[at + 1] as number);
}
