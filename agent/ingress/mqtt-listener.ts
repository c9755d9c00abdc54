/**
 * The listener seat: accepts connections of devices (TCP or WebSocket, plain or TLS) and gives each
 * a filter in front of the broker. It refuses connections beyond `connectionsMax`, beats the Keep
 * Alive of all of them with one timer, and lets go of those that were taken while the broker was
 * away once it is back: they come again and find it.
 */
import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
} from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, TLSSocket, type TlsOptions } from 'node:tls';
import { brokerProbeEveryMs, connectionsMax, connectWithinMs } from '../bounds.ts';
import { TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import { certificateNames } from './login.ts';
import { MqttFilter } from './mqtt-filter.ts';
import type { PartialBudget } from './partials.ts';
import type { Seat } from './seat.ts';
import type { Path } from './source.ts';

const tickMs = 1000;
let connectionNumber = 0;

/** agent/websocket.ts, handed in where the config has such a listener. */
export type ServeWebSocket = (
  server: HttpServer,
  maxFrameBytes: number,
  accept: (stream: Duplex, request: IncomingMessage) => void,
) => void;

export interface ListenerParts {
  readonly host: string;
  readonly port: number;
  /** Devices come over WebSocket; null: over TCP. */
  readonly websocket: ServeWebSocket | null;
  /** null: plain text. */
  readonly tls: TlsOptions | null;
  readonly seat: Seat;
  readonly path: Path;
  readonly partials: PartialBudget;
  readonly report: Report;
  readonly connectionsChanged: (delta: number) => void;
}

/** Connections that the kernel has for us and that have not said anything yet. */
const serverOptions = { allowHalfOpen: true, noDelay: true } as const;

export class MqttListener {
  readonly #parts: ListenerParts;
  readonly server: Server;
  readonly #filters = new Set<MqttFilter>();
  readonly #ticker: NodeJS.Timeout;
  #probedMs = 0;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.server = this.#serve();
    this.server.maxConnections = connectionsMax;
    this.server.on('drop', (dropped) => {
      const peer = `${dropped?.remoteAddress}:${dropped?.remotePort}`;
      parts.report('connectionRefused', { peer, reason: 'connectionsMax' });
    });
    this.#ticker = setInterval(() => this.#tick(Date.now()), tickMs);
    this.#ticker.unref();
  }

  /** Devices that a limit or a full disk lets wait. */
  get heldDevices(): string[] {
    return [...this.#filters].filter(({ held }) => held).map(({ deviceName }) => deviceName);
  }

  /** @throws TidegateError bindFailed */
  async listen(): Promise<void> {
    const { host, port, report, websocket, tls } = this.#parts;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (error) => {
        reject(new TidegateError('bindFailed', `mqtt listener ${host}:${port}: ${error.message}`));
      });
      this.server.listen(port, host, resolve);
    });
    this.server.on('error', (error) => report('unexpected', { where: host, error: error.message }));
    const address = this.server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    report('listenerBound', {
      protocol: websocket === null ? 'mqtt' : 'mqtt over websocket',
      host,
      port: bound,
      tls: tls !== null,
    });
  }

  /** Takes no more connections and no bytes; devices are closed once acknowledged. */
  stop(): void {
    clearInterval(this.#ticker);
    this.server.close();
    for (const filter of this.#filters) filter.end();
  }

  /** Resolves when the last device is gone, or at the deadline. */
  async stopped(withinMs: number): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (this.#filters.size > 0 && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  #serve(): Server {
    const { tls, websocket, seat } = this.#parts;
    if (websocket !== null) {
      const http = { headersTimeout: connectWithinMs, requestTimeout: connectWithinMs };
      const server = tls === null ? createHttpServer(http) : createHttpsServer({ ...tls, ...http });
      websocket(server, seat.grants.maxPacketBytes, (stream, request) =>
        this.#accept(stream, request.socket),
      );
      return server;
    }
    // A device may half-close after its last PUBLISH and still wait for the PUBACK.
    if (tls === null) return createServer(serverOptions, (socket) => this.#accept(socket, socket));
    const server = createTlsServer({ ...tls, ...serverOptions }, (socket) =>
      this.#accept(socket, socket),
    );
    server.on('tlsClientError', (error, socket) => {
      const peer = `${socket.remoteAddress}:${socket.remotePort}`;
      this.#parts.report('connectionRefused', { peer, reason: 'tls', error: error.message });
    });
    return server;
  }

  #accept(stream: Duplex, socket: Socket): void {
    const { path, partials, report, seat } = this.#parts;
    connectionNumber += 1;
    const filter = new MqttFilter(stream, {
      path,
      partials,
      report,
      seat,
      certificate: socket instanceof TLSSocket ? certificateNames(socket) : null,
      peer: `${socket.remoteAddress}:${socket.remotePort}`,
      number: connectionNumber,
      onClosed: (closed) => {
        if (this.#filters.delete(closed)) this.#parts.connectionsChanged(-1);
      },
    });
    this.#filters.add(filter);
    this.#parts.connectionsChanged(1);
  }

  #tick(nowMs: number): void {
    for (const filter of this.#filters) filter.tick(nowMs);
    const waiting = [...this.#filters].filter(({ captureOnly }) => captureOnly);
    if (waiting.length === 0 || nowMs - this.#probedMs < brokerProbeEveryMs) return;
    this.#probedMs = nowMs;
    const probe = this.#parts.seat.openBroker();
    probe.once('error', () => probe.destroy());
    probe.once('connect', () => {
      probe.destroy();
      for (const filter of waiting) filter.end();
    });
  }
}
