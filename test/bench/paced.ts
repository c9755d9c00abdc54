/**
 * Devices that publish at a rate: so many messages a second from so many connections, QoS 1, each
 * message different, as a plant's would be. In a process of its own; argv[2] is a `Pace` as JSON,
 * stdout one `Paced`. It holds the rate by the clock and never more than `backlogMost` unanswered.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectPacket, publishPacket } from '../support/packets.ts';

export interface Pace {
  readonly port: number;
  readonly connections: number;
  readonly perSecond: number;
  readonly seconds: number;
}

export interface Paced {
  readonly acknowledged: number;
  readonly payloadBytes: number;
  readonly seconds: number;
}

const beatMs = 10;
const msPerSecond = 1_000;
const backlogMost = 20_000;
const answerWithinMs = 30_000;
const connackBytes = 4;
const pubackBytes = 4;
const identifiersMost = 65_535;

/** About 128 bytes, as a sensor says it. */
export function reading(device: number, sequence: number): Buffer {
  const value = (20 + 5 * Math.sin(sequence / 60 + device)).toFixed(3);
  const pressure = (1013 + 3 * Math.cos(sequence / 90 + device)).toFixed(2);
  return Buffer.from(
    `{"device":"line-${device}","sequence":${sequence},"temperature":${value},` +
      `"pressure":${pressure},"status":"running","unit":"metric"}`,
  );
}

class Device {
  readonly #socket: Socket;
  readonly #index: number;
  #received = 0;
  #sent = 0;
  payloadBytes = 0;

  constructor(port: number, index: number) {
    this.#index = index;
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.#socket.write(connectPacket({ clientId: `paced-${index}`, keepAliveSeconds: 0 }));
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.length;
    });
  }

  get acknowledged(): number {
    return Math.max(0, Math.floor((this.#received - connackBytes) / pubackBytes));
  }

  get unanswered(): number {
    return this.#sent - this.acknowledged;
  }

  publish(): void {
    const payload = reading(this.#index, this.#sent);
    const topicName = `plant/line/device-${this.#index}/telemetry`;
    const identifier = (this.#sent % identifiersMost) + 1;
    this.#socket.write(publishPacket({ topicName, payload, identifier }));
    this.#sent += 1;
    this.payloadBytes += payload.length;
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function publishAt(pace: Pace): Promise<Paced> {
  const devices = Array.from({ length: pace.connections }, (_, i) => new Device(pace.port, i));
  const unanswered = (): number => devices.reduce((sum, device) => sum + device.unanswered, 0);
  const began = performance.now();
  const until = began + pace.seconds * msPerSecond;
  for (let sent = 0; performance.now() < until; await sleep(beatMs)) {
    const due = ((performance.now() - began) / msPerSecond) * pace.perSecond;
    for (; sent < due && unanswered() < backlogMost; sent++)
      devices[sent % devices.length]?.publish();
  }
  const seconds = (performance.now() - began) / msPerSecond;
  const deadline = performance.now() + answerWithinMs;
  while (unanswered() > 0 && performance.now() < deadline) await sleep(beatMs);
  const acknowledged = devices.reduce((sum, device) => sum + device.acknowledged, 0);
  const payloadBytes = devices.reduce((sum, device) => sum + device.payloadBytes, 0);
  for (const device of devices) device.close();
  return { acknowledged, payloadBytes, seconds };
}

if (import.meta.main) {
  const pace = JSON.parse(process.argv[2] ?? '{}') as Pace;
  process.stdout.write(`${JSON.stringify(await publishAt(pace))}\n`);
}
