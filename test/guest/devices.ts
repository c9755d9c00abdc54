/**
 * Devices that never give up: each publishes its numbered messages at QoS 1 over a connection of
 * its own, connects again when that ends, and then sends what was not acknowledged first, in its
 * order. So the ledger's law holds through every restart: acknowledged ⊆ arrived, first arrivals in
 * rising numbers.
 *
 *   resting ──resume──▶ publishing ◀──▶ connecting (the agent is away)
 *
 * Acknowledgements come in the order of the PUBLISHes, so that one number says all of a device's.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Ledger } from '../../agent/cli/demo/ledger.ts';
import { AckScanner, connectPacket, packetTypes, publishPacket } from '../support/packets.ts';

const mqttPort = 1883;
const connectAgainMs = 250;
const identifiers = 60_000;
const inFlightMost = 32;
const paceMs = 20;
const msPerSecond = 1_000;
const pollMs = 20;

class Device {
  readonly name: string;
  /** Up to and with this one. */
  acknowledged = 0;
  perPace = 1;
  publishing = false;
  connections = 0;
  readonly #ledger: Ledger;
  readonly #waiting: number[] = [];
  readonly #padding: string;
  #socket: Socket | null = null;
  #credit = 0;
  #heardAt = 0;

  constructor(name: string, ledger: Ledger, payloadBytes: number) {
    this.name = name;
    this.#ledger = ledger;
    this.#padding = ' '.repeat(payloadBytes);
    this.#connect();
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** How long it waits for an acknowledgement by now; 0 when it does not. */
  get silentMs(): number {
    return this.#waiting.length === 0 ? 0 : performance.now() - this.#heardAt;
  }

  /** A pace's worth. */
  publish(): void {
    if (this.#socket === null) return;
    this.#credit = Math.min(this.#credit + this.perPace, inFlightMost);
    while (this.#credit >= 1 && this.#waiting.length < inFlightMost) {
      const number = this.#ledger.nextNumber(this.name);
      if (this.#waiting.length === 0) this.#heardAt = performance.now();
      this.#waiting.push(number);
      this.#send(number, false);
      this.#credit -= 1;
    }
  }

  close(): void {
    this.publishing = false;
    this.#socket?.destroy();
  }

  #connect(): void {
    const socket = connect({ host: '127.0.0.1', port: mqttPort, noDelay: true });
    const scanner = new AckScanner();
    socket.on('error', () => undefined);
    socket.once('connect', () => socket.write(connectPacket({ clientId: this.name })));
    socket.on('data', (chunk) => {
      scanner.push(chunk, (type, identifier, reason) => {
        if (type === packetTypes.connack && reason === 0) this.#begin(socket);
        if (type === packetTypes.puback) this.#acknowledge(identifier);
      });
    });
    socket.once('close', () => {
      this.#socket = null;
      setTimeout(() => this.#connect(), connectAgainMs).unref();
    });
  }

  #begin(socket: Socket): void {
    this.#socket = socket;
    this.connections += 1;
    for (const number of this.#waiting) this.#send(number, true);
  }

  #send(number: number, dup: boolean): void {
    const identifier = (number % identifiers) + 1;
    const topicName = `plant/${this.name}/telemetry`;
    const payload = `${this.name} ${number}${this.#padding}`;
    this.#socket?.write(publishPacket({ topicName, payload, identifier, dup }));
  }

  #acknowledge(identifier: number): void {
    const number = this.#waiting[0];
    if (number === undefined || (number % identifiers) + 1 !== identifier) {
      throw new Error(`${this.name} waits for ${number}, and ${identifier} was acknowledged`);
    }
    this.#waiting.shift();
    this.#heardAt = performance.now();
    this.acknowledged = number;
    this.#ledger.acknowledge(this.name, number);
  }
}

export class Devices {
  readonly ledger = new Ledger();
  /** Set it to 0 to begin; devices that rest wait for nothing. */
  longestSilenceMs = 0;
  readonly #devices: Device[] = [];
  readonly #timer: NodeJS.Timeout;

  constructor(names: readonly string[], payloadBytes = 64) {
    for (const name of names) this.#devices.push(new Device(name, this.ledger, payloadBytes));
    this.#timer = setInterval(() => {
      for (const device of this.#devices) {
        if (device.publishing) device.publish();
        this.longestSilenceMs = Math.max(this.longestSilenceMs, device.silentMs);
      }
    }, paceMs);
    this.#timer.unref();
  }

  /** Together so many messages a second, until `rest`. */
  publish(perSecond: number): void {
    for (const device of this.#devices) {
      device.perPace = (perSecond * paceMs) / msPerSecond / this.#devices.length;
      device.publishing = true;
    }
  }

  /** What was sent is acknowledged by the end of it. */
  async rest(withinMs: number): Promise<void> {
    for (const device of this.#devices) device.publishing = false;
    const started = performance.now();
    while (this.#devices.some((device) => device.waiting > 0)) {
      if (performance.now() - started > withinMs) {
        const waits = this.#devices.map(({ name, waiting }) => `${name} for ${waiting}`);
        throw new Error(`not acknowledged within ${withinMs} ms: ${waits.join(', ')}`);
      }
      await sleep(pollMs);
    }
  }

  /** Waits until so many more are acknowledged. */
  async acknowledgedMore(count: number, withinMs: number): Promise<void> {
    const [wanted, started] = [this.ledger.acknowledged + count, performance.now()];
    while (this.ledger.acknowledged < wanted) {
      if (performance.now() - started > withinMs) {
        const found = this.ledger.acknowledged - wanted + count;
        throw new Error(`${found} of ${count} messages acknowledged within ${withinMs} ms`);
      }
      await sleep(pollMs);
    }
  }

  get upTo(): Record<string, number> {
    return Object.fromEntries(this.#devices.map((one) => [one.name, one.acknowledged]));
  }

  get connections(): number {
    return this.#devices.reduce((sum, { connections }) => sum + connections, 0);
  }

  close(): void {
    clearInterval(this.#timer);
    for (const device of this.#devices) device.close();
  }
}
