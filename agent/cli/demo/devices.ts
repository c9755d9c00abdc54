/**
 * The demo's devices: MQTT.js clients, as a real fleet has them. Each publishes numbered messages
 * with QoS 1 and tells the ledger what it sent and what was acknowledged to it.
 *
 * A device publishes only while it is connected and has less than `inFlightMax` unacknowledged;
 * what was in flight when the agent died is sent again by MQTT.js itself after the reconnect (a
 * session is asked for: clean = false). So a device never skips a number, and never sends one twice
 * under a new number.
 *
 * MQTT.js is imported here and nowhere else.
 */
import { connect, type MqttClient } from 'mqtt';
import type { Ledger } from './ledger.ts';

const inFlightMax = 500;
const reconnectMs = 200;
const connectTimeoutMs = 4_000;
const keepAliveSeconds = 30;
const tickMs = 25;
const lines = 5;

interface Device {
  readonly name: string;
  readonly topicName: string;
  readonly client: MqttClient;
  inFlight: number;
}

export class Devices {
  readonly #ledger: Ledger;
  readonly #run: string;
  readonly #devices: Device[] = [];
  #timer: NodeJS.Timeout | null = null;

  /**
   * @param run names this run in every payload, so that older ones on the same topic are ignored
   */
  constructor(ledger: Ledger, run: string) {
    this.#ledger = ledger;
    this.#run = run;
  }

  connect(port: number, count: number): void {
    for (let i = 0; i < count; i++) {
      const name = `press-${String(i + 1).padStart(2, '0')}`;
      const client = connect({
        host: '127.0.0.1',
        port,
        clientId: name,
        clean: false,
        keepalive: keepAliveSeconds,
        reconnectPeriod: reconnectMs,
        connectTimeout: connectTimeoutMs,
      });
      // A refused or reset connection is expected here: MQTT.js connects again.
      client.on('error', () => undefined);
      const topicName = `plant/line-${(i % lines) + 1}/${name}/telemetry`;
      this.#devices.push({ name, topicName, client, inFlight: 0 });
    }
  }

  get connected(): number {
    return this.#devices.filter((device) => device.client.connected).length;
  }

  get inFlight(): number {
    return this.#devices.reduce((sum, device) => sum + device.inFlight, 0);
  }

  /** @param perSecond messages of each device */
  start(perSecond: number): void {
    const began = performance.now();
    let due = 0;
    this.#timer = setInterval(() => {
      const target = ((performance.now() - began) / 1000) * perSecond;
      for (; due + 1 <= target; due++) {
        for (const device of this.#devices) this.#publish(device);
      }
    }, tickMs);
  }

  stopPublishing(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  async close(): Promise<void> {
    this.stopPublishing();
    await Promise.all(
      this.#devices.map(({ client }) => client.endAsync(true).catch(() => undefined)),
    );
  }

  #publish(device: Device): void {
    if (!device.client.connected || device.inFlight >= inFlightMax) return;
    const number = this.#ledger.nextNumber(device.name);
    const celsius = 60 + Math.round(Math.sin(number / 40) * 80) / 10;
    const payload = JSON.stringify({ run: this.#run, device: device.name, number, celsius });
    device.inFlight += 1;
    device.client.publish(device.topicName, payload, { qos: 1 }, (error) => {
      device.inFlight -= 1;
      if (error === undefined || error === null) this.#ledger.acknowledge(device.name, number);
    });
  }
}

/** Device and number of a payload of this run; null for anything else. */
export function readPayload(
  value: Buffer | null,
  run: string,
): { device: string; number: number } | null {
  if (value === null) return null;
  try {
    const read: unknown = JSON.parse(value.toString('utf8'));
    if (typeof read !== 'object' || read === null) return null;
    const { run: of, device, number } = read as Record<string, unknown>;
    if (of !== run || typeof device !== 'string' || typeof number !== 'number') return null;
    return { device, number };
  } catch {
    return null;
  }
}
