/**
 * The records an MQTT upstream holds, in the order they were submitted, and where each stands:
 *
 *   waiting ▶ sent ────────────PUBACK──▶ gone         QoS 1 (QoS 0: the write was flushed)
 *           ▶ sent ─PUBREC▶ released ─PUBCOMP▶ gone   QoS 2
 *
 * A connection that ends takes what was out back into waiting, at its old place. If the server kept
 * the session it goes out again as what it was: PUBLISH with DUP under its old Packet Identifier,
 * or PUBREL [MQTT-4.4.0-1]. If not, all of it is published anew: what a server had only on the
 * strength of a PUBREC died with the session.
 */
import { unacknowledgedFrames } from '../bounds.ts';
import type { EgressRecord } from './record.ts';

export interface Parcel {
  readonly record: EgressRecord;
  readonly order: number;
  /** 0: none yet. */
  packetId: number;
  state: 'waiting' | 'sent' | 'released';
  /** How often the lane had been narrowed when it was last sent. */
  narrowings: number;
}

const packetIdMax = 65_535;
/** What was taken from the front is cut off in pieces of this many. */
const cutParcels = 1_024;

export class Parcels {
  #waiting: Parcel[] = [];
  #front = 0;
  readonly #out = new Set<Parcel>();
  readonly #byId = new Map<number, Parcel>();
  #order = 0;
  #lastId = 0;

  get size(): number {
    return this.#waiting.length - this.#front + this.#out.size;
  }

  /** Sent on this connection and not answered. */
  get out(): number {
    return this.#out.size;
  }

  add(record: EgressRecord): void {
    this.#waiting.push({
      record,
      order: this.#order++,
      packetId: 0,
      state: 'waiting',
      narrowings: 0,
    });
  }

  /** The next to be sent; it is out from here on. */
  take(): Parcel | null {
    const parcel = this.#waiting[this.#front];
    if (parcel === undefined) return null;
    this.#front += 1;
    if (this.#front >= cutParcels) {
      this.#waiting = this.#waiting.slice(this.#front);
      this.#front = 0;
    }
    this.#out.add(parcel);
    return parcel;
  }

  /** [MQTT-2.2.1-3] one that is not in use, also not by what waits to be sent again. */
  identify(parcel: Parcel): number {
    if (parcel.packetId !== 0) return parcel.packetId;
    if (this.#byId.size >= unacknowledgedFrames) throw new RangeError('no Packet Identifier left');
    do {
      this.#lastId = (this.#lastId % packetIdMax) + 1;
    } while (this.#byId.has(this.#lastId));
    parcel.packetId = this.#lastId;
    this.#byId.set(parcel.packetId, parcel);
    return parcel.packetId;
  }

  /** Out on this connection under this Packet Identifier. */
  find(packetId: number): Parcel | null {
    const parcel = this.#byId.get(packetId);
    return parcel !== undefined && this.#out.has(parcel) ? parcel : null;
  }

  /** It has its outcome. */
  gone(parcel: Parcel): void {
    this.#out.delete(parcel);
    this.#forgetId(parcel);
  }

  /** It was refused for now: it waits again, before all that was submitted after it. */
  again(parcel: Parcel): void {
    this.gone(parcel);
    parcel.state = 'waiting';
    let at = this.#front;
    while ((this.#waiting[at]?.order ?? Number.POSITIVE_INFINITY) < parcel.order) at++;
    this.#waiting.splice(at, 0, parcel);
  }

  /** The connection ended. */
  allBack(): void {
    const waiting = [...this.#out, ...this.#waiting.slice(this.#front)];
    this.#waiting = waiting.sort((a, b) => a.order - b.order);
    this.#front = 0;
    this.#out.clear();
  }

  /** The server has forgotten us. */
  forgetSession(): void {
    for (const parcel of this.#waiting.slice(this.#front)) {
      parcel.state = 'waiting';
      this.#forgetId(parcel);
    }
  }

  /** @returns what was out */
  dropOut(): Parcel[] {
    const out = [...this.#out];
    for (const parcel of out) this.gone(parcel);
    return out;
  }

  clear(): void {
    this.#waiting = [];
    this.#front = 0;
    this.#out.clear();
    this.#byId.clear();
  }

  /** The only one that is out, if it is one. */
  get lone(): Parcel | null {
    const [first = null] = this.#out;
    return this.#out.size === 1 ? first : null;
  }

  #forgetId(parcel: Parcel): void {
    if (parcel.packetId === 0) return;
    this.#byId.delete(parcel.packetId);
    parcel.packetId = 0;
  }
}
