/**
 * One device with a session, on a raw socket: QoS 1 or QoS 2, MQTT 3.1.1 or 5, Clean Session 0. It
 * uses few Packet Identifiers (so that each is used again soon) and keeps a window in flight.
 *
 *   QoS 1   published ──PUBACK──▶ done
 *   QoS 2   published ──PUBREC──▶ received (PUBREL is sent) ──PUBCOMP──▶ done
 *
 * After a lost connection, Session Present 1: what is published is sent again with DUP, what is
 * received has its PUBREL sent again, both in order and under the same identifiers [MQTT-4.4.0-1].
 *
 * Session Present 0: the server has forgotten the session, and the device has to forget it too
 * [MQTT-3.2.2-5 of version 5; 3.1.1 has no other sense]. Nothing may be sent "again" then. What was
 * received is the server's by its PUBREC. What was published and not answered may have arrived or
 * not, nobody can tell any more: exactly once ended with the session. A device that will not lose
 * it publishes it as a new message, which may stand beside the first: `renewals` counts that for
 * each message, and a message may be in the buffer once and once more for each of these.
 */
import { connect, type Socket } from 'node:net';
import type { Ledger } from '../../agent/cli/demo/ledger.ts';
import {
  AckScanner,
  connectPacket,
  disconnect,
  packetTypes,
  publishPacket,
  pubrelPacket,
  type Version,
} from './packets.ts';

const reconnectMs = 60;
const sessionExpirySeconds = 600;
const errorReasons = 0x80;
const payloadBytes = 48;

export interface DeviceOptions {
  readonly name: string;
  readonly topicName: string;
  readonly qos: 1 | 2;
  readonly version: Version;
}

/** What the devices of a fleet have in common. */
export interface FleetTerms {
  readonly port: number;
  /** Unfinished messages a device keeps in flight. */
  readonly window: number;
  /** Packet Identifiers go from 1 to this, and again; more than `window`. */
  readonly identifiers: number;
  /** What makes a QoS 2 message the server's: the agent's PUBREC follows its COMMIT. */
  readonly acknowledgedBy: 'pubrec' | 'pubcomp';
  readonly ledger: Ledger;
}

/** What happened to them, all together. */
export interface Tally {
  /** Packets sent again into a session that was there. */
  resent: number;
  /** Messages published as new ones into a session that was not. */
  renewed: number;
  /** CONNACKs that found messages in flight and no session. */
  sessionsLost: number;
  /** CONNACKs that refused. */
  refusals: number;
  /** Connections that ended without being asked to. */
  drops: number;
  /** Answers to nothing that was asked, or with an error: always a fault of the server. */
  readonly strays: string[];
}

interface Flight {
  readonly number: number;
  identifier: number;
  stage: 'published' | 'received';
}

export class SessionDevice {
  readonly options: DeviceOptions;
  readonly renewals = new Map<number, number>();
  readonly #terms: FleetTerms;
  readonly #tally: Tally;
  /** By Packet Identifier, in the order of sending. */
  #flights = new Map<number, Flight>();
  #socket: Socket | null = null;
  #lastIdentifier = 0;
  state: 'down' | 'connecting' | 'up' | 'stopped' = 'down';

  constructor(options: DeviceOptions, terms: FleetTerms, tally: Tally) {
    this.#terms = terms;
    this.#tally = tally;
    this.options = options;
  }

  get inFlight(): number {
    return this.#flights.size;
  }

  connect(): void {
    if (this.state !== 'down') return;
    this.state = 'connecting';
    const { name: clientId, version } = this.options;
    const socket = connect({ host: '127.0.0.1', port: this.#terms.port, noDelay: true });
    const scanner = new AckScanner();
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('end', () => socket.destroy());
    socket.on('close', () => {
      if (this.state === 'stopped') return;
      this.#tally.drops += 1;
      this.state = 'down';
      setTimeout(() => this.connect(), reconnectMs);
    });
    socket.on('connect', () => {
      socket.write(connectPacket({ clientId, version, clean: false, sessionExpirySeconds }));
    });
    socket.on('data', (chunk: Buffer) => {
      scanner.push(chunk, (type, identifier, reason, sessionPresent) => {
        if (type === packetTypes.connack) this.#connack(reason, sessionPresent);
        // A server of version 5 says why it ends the connection; the end itself is what counts.
        else if (type !== packetTypes.disconnect) this.#answered(type, identifier, reason);
      });
    });
  }

  #connack(reason: number, sessionPresent: boolean): void {
    if (reason !== 0) {
      this.#tally.refusals += 1;
      this.#socket?.destroy();
      return;
    }
    this.state = 'up';
    if (sessionPresent) {
      this.#tally.resent += this.#flights.size;
      for (const flight of this.#flights.values()) this.#send(flight, true);
    } else if (this.#flights.size > 0) this.#beginAgain();
  }

  #beginAgain(): void {
    this.#tally.sessionsLost += 1;
    const unanswered = [...this.#flights.values()].filter(({ stage }) => stage === 'published');
    this.#flights = new Map();
    for (const { number } of unanswered) {
      this.renewals.set(number, (this.renewals.get(number) ?? 0) + 1);
      this.#tally.renewed += 1;
      this.#begin(number);
    }
  }

  publish(): void {
    if (this.state !== 'up' || this.inFlight >= this.#terms.window) return;
    this.#begin(this.#terms.ledger.nextNumber(this.options.name));
  }

  #begin(number: number): void {
    const flight: Flight = { number, identifier: this.#freeIdentifier(), stage: 'published' };
    this.#flights.set(flight.identifier, flight);
    this.#send(flight, false);
  }

  #freeIdentifier(): number {
    do this.#lastIdentifier = (this.#lastIdentifier % this.#terms.identifiers) + 1;
    while (this.#flights.has(this.#lastIdentifier));
    return this.#lastIdentifier;
  }

  #send({ number, identifier, stage }: Flight, dup: boolean): void {
    if (stage === 'received') {
      this.#socket?.write(pubrelPacket(identifier));
      return;
    }
    const { name, topicName, qos, version } = this.options;
    const payload = `${name}:${number}:`.padEnd(payloadBytes, '.');
    this.#socket?.write(publishPacket({ topicName, payload, identifier, qos, version, dup }));
  }

  #answered(type: number, identifier: number, reason: number): void {
    const { acknowledgedBy, ledger } = this.#terms;
    const flight = this.#flights.get(identifier);
    const expected = this.#expected(flight);
    if (flight === undefined || type !== expected || reason >= errorReasons) {
      this.#tally.strays.push(`${this.options.name} type ${type} id ${identifier} (${reason})`);
      return;
    }
    if (type === packetTypes.pubrec) {
      flight.stage = 'received';
      if (acknowledgedBy === 'pubrec') ledger.acknowledge(this.options.name, flight.number);
      this.#socket?.write(pubrelPacket(identifier));
      return;
    }
    this.#flights.delete(identifier);
    ledger.acknowledge(this.options.name, flight.number);
  }

  #expected(flight: Flight | undefined): number {
    if (this.options.qos === 1) return packetTypes.puback;
    return flight?.stage === 'received' ? packetTypes.pubcomp : packetTypes.pubrec;
  }

  stop(): void {
    const wasUp = this.state === 'up';
    this.state = 'stopped';
    if (wasUp) this.#socket?.end(disconnect);
    else this.#socket?.destroy();
  }
}
