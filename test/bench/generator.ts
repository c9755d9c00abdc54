/**
 * The load: raw sockets and PUBLISHes encoded beforehand, in a process of its own, so that the
 * generator's work is neither measured nor in the way of the code that is.
 *
 * Each connection keeps `inFlight` QoS 1 messages on their way: as many as were acknowledged are
 * sent again, as one write. Packet Identifiers run 1 … `identifiers` round and round over one
 * encoded block a connection; servers acknowledge in order [MQTT-4.6.0-2], which is checked on
 * every PUBACK.
 *
 * argv[2] is a `Load` as JSON; stdout is one `Measured` as JSON.
 */
import { connect, type Socket } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import { connectPacket, publishPacket } from '../support/packets.ts';
import { type Load, type Measured, measure } from './generator-clock.ts';

const identifiers = 4_000;
const pubackBytes = 4;
const pubackFirstByte = 0x40;
const connackBytes = 4;
const microsPerMs = 1_000;

class Line {
  readonly #socket: Socket;
  readonly #block: Buffer;
  readonly #packetBytes: number;
  readonly #sentAt = new Float64Array(identifiers);
  readonly #latency: ReturnType<typeof createHistogram>;
  #next = 0;
  #awaited = 0;
  #rest: Buffer = Buffer.alloc(0);
  #connected = false;
  inFlight = 0;
  acknowledged = 0;
  running = true;
  measuring = false;

  constructor(load: Load, index: number, latency: ReturnType<typeof createHistogram>) {
    const topicName = `bench/line/device-${String(index).padStart(4, '0')}/telemetry`;
    const payload = Buffer.alloc(load.payloadBytes, 0x61);
    const packets: Buffer[] = [];
    for (let identifier = 1; identifier <= identifiers; identifier++) {
      packets.push(publishPacket({ topicName, payload, identifier }));
    }
    this.#block = Buffer.concat(packets);
    this.#packetBytes = this.#block.length / identifiers;
    this.#latency = latency;
    this.#socket = connect({ host: '127.0.0.1', port: load.port, noDelay: true });
    this.#socket.write(connectPacket({ clientId: `bench-${index}`, keepAliveSeconds: 0 }));
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk, load.inFlight));
    this.#socket.on('close', () => {
      if (this.running) throw new Error('the server closed a connection');
    });
  }

  #read(chunk: Buffer, window: number): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    if (!this.#connected) {
      if (bytes.length < connackBytes) {
        this.#rest = bytes;
        return;
      }
      this.#connected = true;
      bytes = bytes.subarray(connackBytes);
      this.#rest = bytes;
      this.#send(window);
    }
    const now = performance.now();
    const whole = Math.floor(bytes.length / pubackBytes);
    for (let i = 0; i < whole; i++) this.#puback(bytes, i * pubackBytes, now);
    this.#rest = bytes.subarray(whole * pubackBytes);
    this.inFlight -= whole;
    this.acknowledged += whole;
    if (this.running && whole > 0) this.#send(whole);
  }

  #puback(bytes: Buffer, at: number, now: number): void {
    const identifier = ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0);
    if (bytes[at] !== pubackFirstByte || identifier !== this.#awaited + 1) {
      throw new Error(
        `PUBACK of ${this.#awaited + 1} expected, ${bytes.toString('hex', at, at + 4)}`,
      );
    }
    if (this.measuring) {
      const micros = (now - (this.#sentAt[this.#awaited] ?? now)) * microsPerMs;
      this.#latency.record(Math.max(1, Math.round(micros)));
    }
    this.#awaited = (this.#awaited + 1) % identifiers;
  }

  #send(count: number): void {
    const now = performance.now();
    this.inFlight += count;
    for (let left = count; left > 0; ) {
      const run = Math.min(left, identifiers - this.#next);
      const from = this.#next * this.#packetBytes;
      this.#socket.write(this.#block.subarray(from, from + run * this.#packetBytes));
      this.#sentAt.fill(now, this.#next, this.#next + run);
      this.#next = (this.#next + run) % identifiers;
      left -= run;
    }
  }

  close(): void {
    this.#socket.destroy();
  }
}

async function generate(load: Load): Promise<Measured> {
  const latency = createHistogram();
  const lines = Array.from({ length: load.connections }, (_, i) => new Line(load, i, latency));
  return await measure(load, lines, latency);
}

if (import.meta.main) {
  const load = JSON.parse(process.argv[2] ?? '{}') as Load;
  process.stdout.write(`${JSON.stringify(await generate(load))}\n`);
}
