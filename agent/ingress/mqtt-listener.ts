/**
 * The listener seat: accepts TCP connections of devices and gives each a filter in front of the
 * broker. It refuses connections beyond `connectionsMax`, and beats the Keep Alive of all of them
 * with one timer.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connectionsMax } from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import { MqttFilter } from './mqtt-filter.ts';
import type { PartialBudget } from './partials.ts';
import type { Path } from './source.ts';

const tickMs = 1000;
let connectionNumber = 0;

export interface ListenerParts {
  readonly host: string;
  readonly port: number;
  readonly maxPacketBytes: number;
  readonly path: Path;
  readonly partials: PartialBudget;
  readonly report: Report;
  readonly faultName: (fault: number) => string;
  readonly openBroker: () => Duplex;
  readonly connectionsChanged: (delta: number) => void;
}

export class MqttListener {
  readonly #parts: ListenerParts;
  readonly #server: Server;
  readonly #filters = new Set<MqttFilter>();
  readonly #ticker: NodeJS.Timeout;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    // A device may half-close after its last PUBLISH and still wait for the PUBACK.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (s) => this.#accept(s));
    this.#server.maxConnections = connectionsMax;
    this.#server.on('drop', (dropped) => {
      const peer = `${dropped?.remoteAddress}:${dropped?.remotePort}`;
      parts.report('connectionRefused', { peer, reason: 'connectionsMax' });
    });
    this.#ticker = setInterval(() => {
      const nowMs = Date.now();
      for (const filter of this.#filters) filter.tick(nowMs);
    }, tickMs);
    this.#ticker.unref();
  }

  /** @throws TidegateError bindFailed */
  async listen(): Promise<void> {
    const { host, port, report } = this.#parts;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error) => {
        reject(new TidegateError('bindFailed', `mqtt listener ${host}:${port}: ${error.message}`));
      });
      this.#server.listen(port, host, resolve);
    });
    const address = this.#server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    report('listenerBound', { protocol: 'mqtt', host, port: bound });
  }

  /** Takes no more connections and no bytes; devices are closed once acknowledged. */
  stop(): void {
    clearInterval(this.#ticker);
    this.#server.close();
    for (const filter of this.#filters) filter.end();
  }

  #accept(socket: Socket): void {
    const { path, partials, report, maxPacketBytes, faultName, openBroker } = this.#parts;
    connectionNumber += 1;
    const filter = new MqttFilter(socket, {
      path,
      partials,
      report,
      maxPacketBytes,
      faultName,
      openBroker,
      peer: `${socket.remoteAddress}:${socket.remotePort}`,
      number: connectionNumber,
      onClosed: (closed) => {
        if (this.#filters.delete(closed)) this.#parts.connectionsChanged(-1);
      },
    });
    this.#filters.add(filter);
    this.#parts.connectionsChanged(1);
  }
}
