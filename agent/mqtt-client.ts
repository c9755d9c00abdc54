/**
 * Connections to MQTT servers, for both seats that are clients: sources and MQTT upstreams. The
 * only file that imports MQTT.js, and loaded only where the config has such a seat.
 *
 *   connectMqtt ▶ socket (tcp, tls, ws, wss) ▶ stream hook ▶ MQTT.js ▶ CONNACK ▶ connection ▶ ended
 *
 * A connection is one network connection: it is made once, resolves when the server accepted it,
 * and tells once that it ended. Nothing here connects again: how long to wait, and what to send
 * again, is the seat's to say. MQTT.js does CONNECT, SUBSCRIBE, Keep Alive and DISCONNECT; the flow
 * of PUBLISHes does not pass through it: the seat's `stream` hook stands between it and the socket.
 * Certificates are read at each connect, so that a renewed one is taken.
 */
import { connect as connectTcp } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { type IConnackPacket, type IDisconnectPacket, MqttClient, ReasonCodes } from 'mqtt';
import { mqttConnectWithinMs, mqttDisconnectWithinMs } from './bounds.ts';
import type { MqttClientConfig, MqttUrl } from './config/types.ts';
import { type ErrorCode, messageOf, TidegateError } from './errors.ts';
import { clientTlsOptions, tlsFault } from './tls.ts';

export interface MqttConnectOptions {
  readonly client: MqttClientConfig;
  /** Clean Session in 3.1.1. */
  readonly cleanStart: boolean;
  /** Version 5: how long the server keeps the session after the connection; Infinity: for ever. */
  readonly sessionExpiryMs: number;
  /** Version 5: what we grant the server. */
  readonly receiveMaximum?: number;
  readonly maximumPacketBytes?: number;
  readonly topicAliasMaximum?: number;
  readonly withinMs?: number;
  /** Stands between the socket and MQTT.js; ends and is destroyed with either. */
  readonly stream?: (socket: Duplex) => Duplex;
  /** Once, after the server accepted: the connection is gone and nobody here asked for it. */
  readonly ended: (error: TidegateError, reasonCode: number | null) => void;
}

/** What the server said in CONNACK, with the standard's defaults filled in. */
export interface MqttServer {
  readonly sessionPresent: boolean;
  readonly receiveMaximum: number;
  readonly maximumPacketBytes: number;
  readonly maximumQos: 0 | 1 | 2;
  readonly retainAvailable: boolean;
  readonly topicAliasMaximum: number;
  readonly clientId: string;
}

export interface SubscribeOptions {
  readonly qos: 0 | 1 | 2;
  readonly noLocal?: boolean;
  readonly retainAsPublished?: boolean;
  readonly retainHandling?: 0 | 1 | 2;
}

export interface MqttConnection {
  readonly server: MqttServer;
  /** @returns what SUBACK said of each Topic Filter: a QoS, or 0x80 and above */
  subscribe(topicFilters: readonly string[], options: SubscribeOptions): Promise<number[]>;
  /** The stream hook wrote something of its own: the Keep Alive begins anew. */
  alive(): void;
  /** DISCONNECT; version 5: with how long the session lives on, if that changed. */
  close(sessionExpiryMs?: number): Promise<void>;
  /** Without DISCONNECT. */
  destroy(): void;
}

export type ConnectMqtt = (options: MqttConnectOptions) => Promise<MqttConnection>;

const noExpirySeconds = 0xffff_ffff;
const millisecondsPerSecond = 1_000;
const receiveMaximumDefault = 65_535;
/** What a Remaining Length of four bytes can say, and the fixed header. */
const packetBytesMost = 268_435_455 + 5;
const qosMost = 2;

/** Return codes of 3.1.1 as the Reason Codes that version 5 has for them. */
const returnCodes: Readonly<Record<number, number>> = {
  1: 0x84,
  2: 0x85,
  3: 0x88,
  4: 0x86,
  5: 0x87,
};
/** Not named: the server may take us later (upstreamRejected). */
const refusals: Readonly<Record<number, ErrorCode>> = {
  132: 'upstreamUnsuited', // 0x84 Unsupported Protocol Version
  133: 'upstreamUnsuited', // 0x85 Client Identifier not valid
  134: 'upstreamUnauthorized', // 0x86 Bad User Name or Password
  135: 'upstreamUnauthorized', // 0x87 Not authorized
  136: 'upstreamUnreachable', // 0x88 Server unavailable
  138: 'upstreamUnauthorized', // 0x8A Banned
  140: 'upstreamUnauthorized', // 0x8C Bad authentication method
  149: 'upstreamUnsuited', // 0x95 Packet too large: our CONNECT
  157: 'upstreamUnsuited', // 0x9D Server moved
};
/** Of a connection that was accepted before. */
const endings: Readonly<Record<number, ErrorCode>> = {
  135: 'upstreamUnauthorized',
  138: 'upstreamUnauthorized',
};

/** @throws TidegateError classed: what a retry cannot mend halts */
export async function connectMqtt(options: MqttConnectOptions): Promise<MqttConnection> {
  const link = new Link(options);
  await link.open();
  return link;
}

class Link implements MqttConnection {
  readonly #options: MqttConnectOptions;
  readonly #where: string;
  #client: MqttClient | null = null;
  #socket: Duplex | null = null;
  #state: 'connecting' | 'accepted' | 'closing' | 'ended' = 'connecting';
  #server: MqttServer | null = null;
  #cause: TidegateError | null = null;
  #reasonCode: number | null = null;
  readonly #opened = Promise.withResolvers<void>();
  readonly #closed = Promise.withResolvers<void>();

  constructor(options: MqttConnectOptions) {
    this.#options = options;
    this.#where = showUrl(options.client.url);
  }

  get server(): MqttServer {
    if (this.#server === null) throw new TidegateError('internal', 'no CONNACK yet');
    return this.#server;
  }

  async open(): Promise<void> {
    const { client, stream } = this.#options;
    const socket = await openSocket(client).catch((error: unknown) => {
      throw this.#asError(error);
    });
    this.#socket = socket;
    const inner = stream?.(socket) ?? socket;
    socket.on('error', (error) => this.#failed(error));
    socket.on('close', () => inner.destroy());
    inner.on('close', () => socket.destroy());
    const mqtt = new MqttClient(() => inner, this.#clientOptions());
    this.#client = mqtt;
    mqtt.on('error', (error) => this.#failed(error));
    mqtt.on('disconnect', (packet) => this.#toldToGo(packet));
    mqtt.on('connect', (connack) => this.#accepted(connack));
    mqtt.on('close', () => this.#end());
    await this.#opened.promise;
  }

  #clientOptions(): ConstructorParameters<typeof MqttClient>[1] {
    const { client, cleanStart, withinMs = mqttConnectWithinMs } = this.#options;
    return {
      protocolVersion: client.version,
      clientId: client.clientId,
      clean: cleanStart,
      keepalive: Math.max(1, Math.round(client.keepAliveMs / millisecondsPerSecond)),
      connectTimeout: withinMs,
      reconnectPeriod: 0,
      resubscribe: false,
      timerVariant: 'native',
      ...(client.username === null ? {} : { username: client.username }),
      ...(client.password === null ? {} : { password: client.password }),
      ...(client.version === 5 ? { properties: this.#connectProperties() } : {}),
    };
  }

  #connectProperties() {
    const { sessionExpiryMs, receiveMaximum, maximumPacketBytes, topicAliasMaximum } =
      this.#options;
    return {
      sessionExpiryInterval: expirySeconds(sessionExpiryMs),
      ...(receiveMaximum === undefined ? {} : { receiveMaximum }),
      ...(maximumPacketBytes === undefined ? {} : { maximumPacketSize: maximumPacketBytes }),
      ...(topicAliasMaximum === undefined ? {} : { topicAliasMaximum }),
    };
  }

  #accepted(connack: IConnackPacket): void {
    if (this.#state !== 'connecting') return;
    this.#state = 'accepted';
    this.#server = serverOf(connack, this.#options.client.clientId);
    this.#opened.resolve();
  }

  #toldToGo({ reasonCode = 0, properties }: IDisconnectPacket): void {
    const why = properties?.reasonString ?? nameOf(reasonCode);
    const code = endings[reasonCode] ?? 'upstreamUnreachable';
    this.#reasonCode = reasonCode;
    this.#cause = new TidegateError(code, `${this.#where} disconnected us: ${why}`);
  }

  #failed(error: unknown): void {
    this.#cause ??= this.#asError(error);
  }

  #asError(error: unknown): TidegateError {
    if (error instanceof TidegateError) return error;
    const { code } = error as { code?: unknown };
    if (typeof code === 'number' && this.#state === 'connecting') {
      const reason = this.#options.client.version === 5 ? code : (returnCodes[code] ?? code);
      const detail = `${this.#where} refused the connection: ${nameOf(reason)}`;
      return new TidegateError(refusals[reason] ?? 'upstreamRejected', detail, { cause: error });
    }
    const fault = this.#options.client.url.tls ? tlsFault(error, this.#where) : null;
    if (fault !== null) return fault;
    const detail = `${this.#where}: ${messageOf(error) || String(code)}`;
    return new TidegateError('upstreamUnreachable', detail, { cause: error });
  }

  #end(): void {
    const was = this.#state;
    if (was === 'ended') return;
    this.#state = 'ended';
    this.#socket?.destroy();
    this.#closed.resolve();
    if (was === 'closing') return;
    const why = was === 'connecting' ? 'closed before CONNACK' : 'connection closed';
    const error = this.#cause ?? new TidegateError('upstreamUnreachable', `${this.#where}: ${why}`);
    if (was === 'connecting') this.#opened.reject(error);
    else this.#options.ended(error, this.#reasonCode);
  }

  subscribe(topicFilters: readonly string[], options: SubscribeOptions): Promise<number[]> {
    const { qos, noLocal = false, retainAsPublished = false, retainHandling = 0 } = options;
    const ofVersion5 = { nl: noLocal, rap: retainAsPublished, rh: retainHandling };
    const wanted = this.#options.client.version === 5 ? { qos, ...ofVersion5 } : { qos };
    return new Promise((resolve, reject) => {
      this.#client?.subscribe([...topicFilters], wanted, (error, _granted, suback) => {
        if (suback !== undefined) resolve(suback.granted.map(Number));
        else reject(this.#asError(error ?? new Error('no SUBACK')));
      });
    });
  }

  alive(): void {
    this.#client?.reschedulePing(true);
  }

  async close(sessionExpiryMs?: number): Promise<void> {
    if (this.#state !== 'accepted') return this.destroy();
    this.#state = 'closing';
    const ofVersion5 = this.#options.client.version === 5 && sessionExpiryMs !== undefined;
    const properties = { sessionExpiryInterval: expirySeconds(sessionExpiryMs ?? 0) };
    this.#client?.end(false, ofVersion5 ? { reasonCode: 0, properties } : {});
    const timer = setTimeout(() => this.#socket?.destroy(), mqttDisconnectWithinMs);
    await this.#closed.promise;
    clearTimeout(timer);
  }

  destroy(): void {
    if (this.#state === 'accepted') this.#state = 'closing';
    this.#socket?.destroy();
  }
}

function serverOf({ sessionPresent, properties = {} }: IConnackPacket, clientId: string) {
  return {
    sessionPresent,
    receiveMaximum: properties.receiveMaximum ?? receiveMaximumDefault,
    maximumPacketBytes: properties.maximumPacketSize ?? packetBytesMost,
    maximumQos: (properties.maximumQoS ?? qosMost) as 0 | 1 | 2,
    retainAvailable: properties.retainAvailable ?? true,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    clientId: properties.assignedClientIdentifier ?? clientId,
  };
}

function expirySeconds(ms: number): number {
  return Math.min(Math.ceil(ms / millisecondsPerSecond), noExpirySeconds);
}

function nameOf(reasonCode: number): string {
  const name = (ReasonCodes as Readonly<Record<number, string>>)[reasonCode] || 'no reason given';
  return `${name} (0x${reasonCode.toString(16).padStart(2, '0')})`;
}

function hostOf({ host }: MqttUrl): string {
  return host.includes(':') ? `[${host}]` : host;
}

function showUrl(url: MqttUrl): string {
  const scheme = `${url.websocket ? 'ws' : 'mqtt'}${url.tls ? 's' : ''}`;
  return `${scheme}://${hostOf(url)}:${url.port}${url.websocket ? url.path : ''}`;
}

/** The socket may still be on its way: what is written waits in it. */
async function openSocket({ url, tls }: MqttClientConfig): Promise<Duplex> {
  const { host, port } = url;
  const secure = url.tls ? clientTlsOptions(tls, host) : {};
  if (url.websocket) {
    const { openWebSocket } = await import('./websocket.ts');
    return openWebSocket(showUrl(url), secure);
  }
  const address = { host, port, noDelay: true };
  return url.tls ? connectTls({ ...address, ...secure }) : connectTcp(address);
}
