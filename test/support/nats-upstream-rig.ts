/**
 * A NATS upstream in a lane, the streams it writes to, and a wire to the server that can be cut, or
 * swallow what the server says. Everything a test opened is closed by `closeAll`.
 */
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net';
import type { JetStreamManager, NatsConnection, StreamConfig } from 'nats';
import type { NatsUpstreamConfig } from '../../agent/config/types.ts';
import { type NatsTuning, NatsUpstream } from '../../agent/egress/nats-upstream.ts';
import { LivedTime } from '../../agent/egress/segment-source.ts';
import { connectNats, sealedHeaders } from '../../agent/nats-client.ts';
import { FakeLog, LaneRig, routeOf } from './egress-rig.ts';
import { type NatsServer, type NatsServerOptions, startNats } from './nats.ts';

export function natsConfig(
  port: number,
  rest: Partial<NatsUpstreamConfig> = {},
): NatsUpstreamConfig {
  return {
    kind: 'nats',
    servers: [{ host: '127.0.0.1', port, tls: false }],
    name: 'tidegate-gw1',
    username: null,
    password: null,
    token: null,
    nkey: null,
    creds: null,
    tls: { ca: null, certificate: null, key: null, serverName: null },
    jetstream: true,
    inFlight: 64,
    lag: { bytes: Number.POSITIVE_INFINITY, ageMs: Number.POSITIVE_INFINITY, over: 'hold' },
    drain: { messagesPerSecond: null, bytesPerSecond: null },
    from: 'oldest',
    ...rest,
  };
}

export interface NatsLane extends Omit<NonNullable<ConstructorParameters<typeof LaneRig>[2]>, ''> {
  readonly config: NatsUpstreamConfig;
  readonly target?: Parameters<typeof routeOf>[0];
  readonly once?: boolean;
  readonly tuning?: NatsTuning;
}

export function natsLane(lane: NatsLane): LaneRig {
  const { config, target, once = false, tuning = {}, ...rest } = lane;
  const log = new FakeLog();
  const name = once ? 'cloud/at-most-once' : 'cloud/at-least-once';
  log.routes.set(1, routeOf({ topic: '{topic}', lane: name, ...target }));
  const lived = rest.lived ?? new LivedTime(0);
  const random = () => 0.05;
  const parts = { connect: connectNats, headers: sealedHeaders, lived, random, once, tuning };
  const make = (sink: ConstructorParameters<typeof NatsUpstream>[1]['sink']) =>
    new NatsUpstream(config, { ...parts, sink });
  const spec = {
    lane: name,
    upstream: 'cloud',
    delivery: once ? ('at-most-once' as const) : ('at-least-once' as const),
    lag: config.lag,
    from: config.from,
  };
  const rig = new LaneRig(log, make, { binding: 'nats', spec, lived, random, ...rest });
  closers.push(() => rig.forwarder.stop());
  return rig;
}

const closers: (() => unknown)[] = [];

export async function closeAll(): Promise<void> {
  for (const close of closers.splice(0).reverse()) await close();
}

export function closing(close: () => unknown): void {
  closers.push(close);
}

export async function serverOf(options: NatsServerOptions = {}): Promise<NatsServer> {
  const server = await startNats(options);
  closers.push(() => server.stop());
  return server;
}

interface Stored {
  readonly subject: string;
  readonly value: string;
  readonly headers: ReadonlyMap<string, string>;
}

/** Reads and makes streams, as an operator would. */
export class Streams {
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;

  private constructor(connection: NatsConnection, jsm: JetStreamManager) {
    this.connection = connection;
    this.jsm = jsm;
  }

  static async of(
    server: NatsServer,
    options: Parameters<NatsServer['connect']>[0] = {},
  ): Promise<Streams> {
    const connection = await server.connect({ maxReconnectAttempts: -1, ...options });
    closers.push(() => connection.close());
    return new Streams(connection, await connection.jetstreamManager());
  }

  async make(subjects: readonly string[], rest: Partial<StreamConfig> = {}): Promise<void> {
    await this.jsm.streams.add({ name: 'S', subjects: [...subjects], ...rest });
  }

  async count(): Promise<number> {
    return (await this.jsm.streams.info('S')).state.messages;
  }

  /** All that stream S has, in its order. */
  async stored(): Promise<Stored[]> {
    const { state } = await this.jsm.streams.info('S');
    const { first_seq: first, last_seq: last, messages } = state;
    const found: Stored[] = [];
    if (messages === 0) return found;
    for (let seq = first; seq <= last; seq++) {
      const message = await this.jsm.streams.getMessage('S', { seq });
      const headers = new Map([...message.header].map(([name, all]) => [name, all.join()]));
      found.push({ subject: message.subject, value: message.string(), headers });
    }
    return found;
  }

  async values(): Promise<string[]> {
    return (await this.stored()).map(({ value }) => value);
  }
}

/** TCP to a server, through here. */
export class NatsWire {
  readonly #server;
  readonly #ends = new Set<Socket>();
  readonly port: number;
  /** On connections up to this one, what the server says is lost. */
  #deafTo = 0;
  /** False: who comes is sent away. */
  isOpen = true;
  connections = 0;

  private constructor(to: number, port: number, server: ReturnType<typeof createServer>) {
    this.port = port;
    this.#server = server;
    server.on('connection', (near: Socket) => {
      near.on('error', () => undefined);
      if (!this.isOpen) {
        near.destroy();
        return;
      }
      this.connections += 1;
      const at = this.connections;
      const far = connectTcp({ host: '127.0.0.1', port: to, noDelay: true });
      for (const end of [near, far]) {
        this.#ends.add(end);
        end.on('error', () => undefined);
      }
      near.on('close', () => far.destroy());
      far.on('close', () => near.destroy());
      near.pipe(far);
      far.on('data', (bytes) => at <= this.#deafTo || near.write(bytes));
    });
  }

  static async to(server: NatsServer): Promise<NatsWire> {
    const listener = createServer({ noDelay: true });
    await new Promise<void>((done) => listener.listen(0, '127.0.0.1', done));
    const { port } = listener.address() as AddressInfo;
    const wire = new NatsWire(server.port, port, listener);
    closers.push(() => wire.close());
    return wire;
  }

  /** What the server says from here on does not arrive; who connects anew hears it again. */
  deafen(): void {
    this.#deafTo = this.connections;
  }

  cut(): void {
    for (const end of this.#ends) end.destroy();
    this.#ends.clear();
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
