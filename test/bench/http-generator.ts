/**
 * The load over HTTP: raw keep-alive sockets and POST requests of REST Proxy (version 2, JSON)
 * encoded beforehand, in a process of its own. Each connection has one request on its way, as the
 * clients of such a proxy do; an answer other than 200 ends the run.
 *
 * argv[2] is an `HttpLoad` as JSON; stdout is one `Measured` as JSON.
 */
import { connect, type Socket } from 'node:net';
import { createHistogram } from 'node:perf_hooks';
import { type Load, type Measured, measure } from './generator-clock.ts';

export interface HttpLoad extends Load {
  /** Of each request. */
  readonly records: number;
}

const microsPerMs = 1_000;
const headEnd = '\r\n\r\n';
const okLine = 'HTTP/1.1 200 ';
const lengthField = /\r\ncontent-length: (\d+)\r\n/i;

class Client {
  readonly #socket: Socket;
  readonly #request: Buffer;
  readonly #records: number;
  readonly #latency: ReturnType<typeof createHistogram>;
  #rest = '';
  #sentAt = 0;
  inFlight = 0;
  acknowledged = 0;
  running = true;
  measuring = false;

  constructor(load: HttpLoad, index: number, latency: ReturnType<typeof createHistogram>) {
    const record = { key: `device-${index}`, value: 'a'.repeat(load.payloadBytes - 2) };
    const body = JSON.stringify({ records: new Array(load.records).fill(record) });
    const head = [
      `POST /topics/bench%2Fline%2F${index}%2Ftelemetry HTTP/1.1`,
      ...['host: 127.0.0.1', 'content-type: application/vnd.kafka.json.v2+json'],
      `content-length: ${Buffer.byteLength(body)}`,
    ];
    this.#request = Buffer.from(head.join('\r\n') + headEnd + body);
    this.#records = load.records;
    this.#latency = latency;
    this.#socket = connect({ host: '127.0.0.1', port: load.port, noDelay: true });
    this.#socket.setEncoding('latin1').on('data', (chunk: string) => this.#read(chunk));
    this.#socket.on('close', () => {
      if (this.running) throw new Error('the server closed a connection');
    });
    this.#send();
  }

  #send(): void {
    this.#sentAt = performance.now();
    this.inFlight = this.#records;
    this.#socket.write(this.#request);
  }

  #read(chunk: string): void {
    this.#rest += chunk;
    const head = this.#rest.indexOf(headEnd);
    if (head < 0) return;
    if (!this.#rest.startsWith(okLine)) throw new Error(this.#rest);
    const bytes = Number(lengthField.exec(this.#rest)?.[1]);
    if (this.#rest.length < head + headEnd.length + bytes) return;
    this.#rest = '';
    if (this.measuring) {
      this.#latency.record(Math.round((performance.now() - this.#sentAt) * microsPerMs) + 1);
    }
    this.acknowledged += this.#records;
    this.inFlight = 0;
    if (this.running) this.#send();
  }

  close(): void {
    this.#socket.destroy();
  }
}

const load = JSON.parse(process.argv[2] ?? '') as HttpLoad;
const latency = createHistogram();
const clients = Array.from({ length: load.connections }, (_, i) => new Client(load, i, latency));
const measured: Measured = await measure(load, clients, latency);
process.stdout.write(JSON.stringify(measured));
