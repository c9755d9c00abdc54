/**
 * Devices on raw sockets for the ledger tests: each sends numbered QoS 1 messages, keeps a window
 * in flight, writes every PUBACK into the ledger, and after a lost connection connects again and
 * sends what is not acknowledged once more, in order, with DUP [MQTT-4.4.0-1].
 *
 * A message's payload is `device:number:` padded to its size; `readNumbered` is its inverse.
 * States of a device: down → connecting → up → down …; stopped is final.
 */
import { connect, type Socket } from 'node:net';
import type { Ledger } from '../../agent/cli/demo/ledger.ts';
import {
  AckScanner,
  connectPacket,
  disconnect,
  identifierMax,
  packetTypes,
  publishPacket,
} from './packets.ts';

const reconnectMs = 60;
const tickMs = 5;

export interface FleetOptions {
  readonly port: number;
  readonly devices: number;
  /** Unacknowledged messages a device keeps in flight. */
  readonly window: number;
  /** Messages a second of all devices together. */
  readonly perSecond: number;
  readonly payloadBytes: number;
  readonly ledger: Ledger;
}

type State = 'down' | 'connecting' | 'up' | 'stopped';

class Device {
  readonly name: string;
  readonly topicName: string;
  readonly #fleet: Fleet;
  readonly #unacknowledged = new Map<number, number>();
  #socket: Socket | null = null;
  state: State = 'down';

  constructor(fleet: Fleet, index: number) {
    this.#fleet = fleet;
    this.name = `device-${index}`;
    this.topicName = `plant/line-${index % 3}/${this.name}/telemetry`;
  }

  get inFlight(): number {
    return this.#unacknowledged.size;
  }

  connect(): void {
    if (this.state !== 'down') return;
    this.state = 'connecting';
    const socket = connect({ host: '127.0.0.1', port: this.#fleet.options.port, noDelay: true });
    const scanner = new AckScanner();
    this.#socket = socket;
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      if (this.state === 'stopped') return;
      this.#fleet.drops += 1;
      this.state = 'down';
      setTimeout(() => this.connect(), reconnectMs);
    });
    socket.on('connect', () => {
      socket.write(connectPacket({ clientId: this.name, clean: false }));
    });
    socket.on('data', (chunk: Buffer) => {
      scanner.push(chunk, (type, identifier) => {
        if (type === packetTypes.connack) this.#up();
        else if (type === packetTypes.puback) this.#acknowledged(identifier);
      });
    });
  }

  #up(): void {
    this.state = 'up';
    const again = [...this.#unacknowledged.values()];
    this.#fleet.resent += again.length;
    for (const number of again) this.#write(number, true);
  }

  #acknowledged(identifier: number): void {
    const number = this.#unacknowledged.get(identifier);
    if (number === undefined) {
      this.#fleet.strayAcknowledgements += 1;
      return;
    }
    this.#unacknowledged.delete(identifier);
    this.#fleet.options.ledger.acknowledge(this.name, number);
  }

  publish(): void {
    if (this.state !== 'up' || this.inFlight >= this.#fleet.options.window) return;
    const number = this.#fleet.options.ledger.nextNumber(this.name);
    this.#unacknowledged.set(identifierOf(number), number);
    this.#write(number, false);
  }

  #write(number: number, dup: boolean): void {
    const payload = `${this.name}:${number}:`.padEnd(this.#fleet.options.payloadBytes, '.');
    const identifier = identifierOf(number);
    this.#socket?.write(publishPacket({ topicName: this.topicName, payload, identifier, dup }));
  }

  stop(): void {
    const wasUp = this.state === 'up';
    this.state = 'stopped';
    if (wasUp) this.#socket?.end(disconnect);
    else this.#socket?.destroy();
  }
}

export class Fleet {
  readonly options: FleetOptions;
  readonly #devices: Device[];
  /** Messages sent again after a reconnect. */
  resent = 0;
  /** Connections that ended without being asked to. */
  drops = 0;
  /** PUBACKs for what was not in flight: always a fault of the server. */
  strayAcknowledgements = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: FleetOptions) {
    this.options = options;
    this.#devices = Array.from({ length: options.devices }, (_, index) => new Device(this, index));
  }

  get inFlight(): number {
    return this.#devices.reduce((sum, device) => sum + device.inFlight, 0);
  }

  get up(): number {
    return this.#devices.filter((device) => device.state === 'up').length;
  }

  connect(): void {
    for (const device of this.#devices) device.connect();
  }

  publish(): void {
    const began = performance.now();
    const { perSecond, devices } = this.options;
    let due = 0;
    this.#timer = setInterval(() => {
      const target = ((performance.now() - began) / 1000) * perSecond;
      for (; due < target; due++) this.#devices[due % devices]?.publish();
    }, tickMs);
  }

  pausePublishing(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  close(): void {
    this.pausePublishing();
    for (const device of this.#devices) device.stop();
  }
}

function identifierOf(number: number): number {
  return ((number - 1) % identifierMax) + 1;
}

/** Device and number of a payload; null for anything else. */
export function readNumbered(
  value: Buffer | string | null,
): { device: string; number: number } | null {
  const match = /^(device-\d+):(\d+):/.exec(value === null ? '' : value.toString('latin1'));
  return match === null ? null : { device: match[1] ?? '', number: Number(match[2]) };
}
