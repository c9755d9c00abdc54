/**
 * The listener seat: accepts connections of devices (TCP or WebSocket, plain or TLS) and gives each
 * a filter in front of the broker. It is bound before it serves, so that a new config can be taken
 * whole or not at all. It refuses connections beyond `connectionsMax`, beats the Keep
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
import { connectedEvent } from './parting.ts';
import type { Seat } from './seat.ts';
import type { Path } from './source.ts';

const tickMs = 1000;
/** CONNECT of 3.1.1, Clean Session, Client Identifier `tidegate-probe` [MQTT-3.1]. */
const probeConnect = Buffer.from('\x10\x1a\x00\x04MQTT\x04\x02\x00\x00\x00\x0etidegate-probe');
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

/** idle ──▶ bound (whoever comes waits) ──▶ serving ──▶ stopped; an address may be given back. */
type ListenerState = 'idle' | 'bound' | 'serving' | 'stopped';

export class MqttListener {
  readonly #parts: ListenerParts;
  readonly server: Server;
  readonly #filters = new Set<MqttFilter>();
  readonly #ticker: NodeJS.Timeout;
  #state: ListenerState = 'idle';
  /** Who came before `serve`. */
  #early: (readonly [Duplex, Socket])[] = [];
  #probedMs = 0;

  constructor(parts: ListenerParts) {
    this.#parts = parts;
    this.server = this.#serve();
    this.server.maxConnections = connectionsMax;
    this.server.on('drop', (dropped) => {
      const peer = `${dropped?.remoteAddress}:${dropped?.remotePort}`;
      parts.report('connectionRefused', { peer, reason: 'connectionsMax' });
    });
    this.server.on('error', (error) => {
      if (!this.server.listening) return;
      parts.report('unexpected', { where: parts.host, error: error.message });
    });
    this.#ticker = setInterval(() => this.#tick(Date.now()), tickMs);
    this.#ticker.unref();
  }

  /** Devices that a limit or a full disk lets wait. */
  get heldDevices(): string[] {
    return [...this.#filters].filter(({ held }) => held).map(({ deviceName }) => deviceName);
  }

  /** Takes the address; nobody is served before `serve`. @throws TidegateError bindFailed */
  async listen(): Promise<void> {
    const { host, port } = this.#parts;
    const { server } = this;
    await new Promise<void>((resolve, reject) => {
      const failed = (error: Error): void => {
        reject(new TidegateError('bindFailed', `mqtt listener ${host}:${port}: ${error.message}`));
      };
      server.once('error', failed);
      server.listen(port, host, () => {
        server.off('error', failed);
        resolve();
      });
    });
    if (this.#state === 'idle') this.#state = 'bound';
  }

  /** Gives the address back; whoever is connected stays. */
  release(): void {
    this.server.close();
  }

  serve(): void {
    if (this.#state !== 'bound') return;
    this.#state = 'serving';
    const { host, port, report, websocket, tls } = this.#parts;
    const address = this.server.address();
    const bound = typeof address === 'object' && address !== null ? address.port : port;
    report('listenerBound', {
      protocol: websocket === null ? 'mqtt' : 'mqtt over websocket',
      host,
      port: bound,
      tls: tls !== null,
    });
    for (const [stream, socket] of this.#early.splice(0)) this.#accept(stream, socket);
  }

  /** The allow rules were compiled anew. */
  regroup(): void {
    for (const filter of this.#filters) filter.regroup();
  }

  /** Takes no more connections and no bytes; devices are closed once acknowledged. */
  stop(): void {
    if (this.#state === 'stopped') return;
    this.#state = 'stopped';
    clearInterval(this.#ticker);
    this.server.close();
    for (const [stream] of this.#early.splice(0)) stream.destroy();
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
    return createTlsServer({ ...tls, ...serverOptions }, (socket) => this.#accept(socket, socket));
  }

  #accept(stream: Duplex, socket: Socket): void {
    const { path, partials, report, seat } = this.#parts;
    if (this.#state !== 'serving') {
      stream.on('error', () => {});
      if (this.#state === 'stopped') stream.destroy();
      else this.#early.push([stream, socket]);
      return;
    }
    if (stream.destroyed) return;
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
    setTimeout(() => probe.destroy(), brokerProbeEveryMs).unref();
    probe.once(connectedEvent(probe), () => probe.write(probeConnect));
    // A broker that takes connections and says nothing is not back: any CONNACK is an answer.
    probe.once('data', () => {
      probe.destroy();
      for (const filter of waiting) filter.end();
    });
  }
}
