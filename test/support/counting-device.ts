/**
 * A device that counts: it publishes `<name> <n>` at QoS 1 on `plant/<name>/telemetry`, and knows
 * what was acknowledged. What arrived somewhere is held against that.
 */
import assert from 'node:assert/strict';
import { connect as connectTcp } from 'node:net';
import mqttPacket, { type Packet } from 'mqtt-packet';

/** Publishes at QoS 1 until told to stop; what was acknowledged is kept. */
export class Device {
  readonly acknowledged: number[] = [];
  readonly #name: string;
  #next = 0;

  constructor(name: string) {
    this.#name = name;
  }

  /** One connection's worth; returns when all were acknowledged or the connection ended. */
  async publish(port: number, count: number): Promise<void> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
    socket.on('error', () => undefined);
    const parser = mqttPacket.parser();
    socket.on('data', (bytes) => parser.parse(bytes));
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const values = new Map<number, number>();
    const say = (packet: Packet) => socket.write(mqttPacket.generate(packet));
    parser.on('packet', ({ cmd, messageId = 0 }) => {
      if (cmd !== 'puback') return;
      this.acknowledged.push(values.get(messageId) as number);
      values.delete(messageId);
      if (values.size === 0) socket.end();
    });
    say({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clean: true,
      clientId: this.#name,
    });
    for (let i = 1; i <= count; i++) {
      const value = this.#next++;
      values.set(i, value);
      const payload = `${this.#name} ${value}`;
      const topic = `plant/${this.#name}/telemetry`;
      say({ cmd: 'publish', topic, payload, qos: 1, dup: false, retain: false, messageId: i });
    }
    await closed;
  }
}

export function assertHas(values: readonly string[], devices: readonly Device[]): void {
  for (const [i, device] of devices.entries()) {
    const own = [...new Set(values.filter((value) => value.startsWith(`d${i} `)))];
    const numbers = own.map((value) => Number(value.split(' ')[1]));
    assert.deepEqual(
      numbers,
      numbers.toSorted((a, b) => a - b),
      `d${i} in order`,
    );
    const missing = device.acknowledged.filter((one) => !numbers.includes(one));
    assert.deepEqual(missing, [], `d${i} misses nothing that was acknowledged`);
  }
}
