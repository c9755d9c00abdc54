/**
 * What outlives one connection of a client: its session and its Will, from the broker's CONNACK
 * to the end of the connection. Who has no Client Identifier shares nothing: the broker assigns
 * one, or the connection is a client of its own.
 */
import type { ConnectPacket } from './connect-packet.ts';
import type { Seat } from './seat.ts';
import type { ClientSession } from './sessions.ts';
import type { Source } from './source.ts';
import type { ArmedWill } from './wills.ts';

export class ClientLife {
  readonly #seat: Seat;
  readonly #number: number;
  readonly #connect: ConnectPacket;
  readonly session: ClientSession;
  will: ArmedWill | null = null;

  /** @param assigned Client Identifier that the broker gave, if it gave one */
  constructor(seat: Seat, number: number, connect: ConnectPacket, assigned: string | null) {
    this.#seat = seat;
    this.#number = number;
    this.#connect = connect;
    const client = connect.clientId === '' ? assigned : connect.clientId;
    const scope = client === null ? `${seat.scope} without Client Identifier` : seat.scope;
    this.session = seat.sessions.join(scope, client ?? String(number));
  }

  /**
   * @param takenOver called when another connection of this client is accepted
   * @returns the commit the CONNACK has to wait for, or −1
   */
  begin(sessionPresent: boolean, source: Source, takenOver: () => void): number {
    const { sessions, wills } = this.#seat;
    const { scope, client } = this.session;
    const { cleanStart, clientId, will } = this.#connect;
    const resumed = sessionPresent && !cleanStart;
    sessions.holds(scope, client, this.#number, takenOver);
    const commit = resumed ? this.session.resume(source) : this.session.clear(source);
    wills.connected(scope, client, resumed);
    if (will === null) return commit;
    const device = source.deviceName;
    const named = clientId === device ? '' : clientId;
    const whose = { scope, client, device, clientId: named };
    const armed = wills.arm(whose, will, this.#connect, source);
    this.will = armed?.will ?? null;
    return Math.max(commit, armed?.commit ?? -1);
  }

  /** @param clean the device said DISCONNECT with Normal disconnection */
  end(clean: boolean): void {
    const { sessions, wills } = this.#seat;
    const { scope, client } = this.session;
    const held = sessions.disconnected(scope, client, this.#number);
    // A session that ends with its connection leaves nothing [MQTT 5.0 section 3.1.2.11.2]; one
    // that was taken over is another's.
    if (held && this.#connect.sessionExpirySeconds === 0) this.session.end();
    wills.disconnected(scope, client, this.will, clean);
    sessions.leave(this.session);
  }
}
