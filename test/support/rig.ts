/**
 * The path in one process, with everything real but the disk: listener, filter, core, hold queue
 * and embedded broker on a free port, in front of a disk whose COMMIT the test lets happen. What
 * must not be seen before a commit can so be looked for while the commit is held.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type IConnectPacket, type Packet, parser } from 'mqtt-packet';
import { EmbeddedBroker } from '../../agent/broker/embedded.ts';
import type {
  Appender,
  Batch,
  SealedSegment,
  SessionChange,
  SessionRow,
} from '../../agent/buffer/protocol.ts';
import type { Limit, Route } from '../../agent/config/types.ts';
import { TidegateError } from '../../agent/errors.ts';
import type { EventName, Fields } from '../../agent/events.ts';
import { loadCore } from '../../agent/frames/core.ts';
import { faultName } from '../../agent/frames/faults.ts';
import { PathCore } from '../../agent/frames/path-core.ts';
import { reasonCodeOf, returnCodeOf } from '../../agent/frames/reason-codes.ts';
import { type FrameView, SegmentReader } from '../../agent/frames/segment-reader.ts';
import { systemClock } from '../../agent/ingress/clock.ts';
import { HoldQueue } from '../../agent/ingress/hold-queue.ts';
import { MqttListener } from '../../agent/ingress/mqtt-listener.ts';
import { PartialBudget } from '../../agent/ingress/partials.ts';
import type { Access, Seat } from '../../agent/ingress/seat.ts';
import { Sessions } from '../../agent/ingress/sessions.ts';
import { Wills } from '../../agent/ingress/wills.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import { serveWebSocket } from '../../agent/websocket.ts';
import { patient } from './patience.ts';
import { freePorts } from './ports.ts';

const pollMs = 5;
const waitMs = 5_000;
const connectPacket = {
  cmd: 'connect',
  protocolId: 'MQTT',
  protocolVersion: 4,
  clientId: 'device',
  keepalive: 60,
  clean: true,
} as const;

export interface RigOptions {
  readonly routes?: readonly Partial<Route>[];
  readonly maxPacketBytes?: number;
  readonly partialsBytes?: number;
  readonly receiveMaximum?: number;
  /** Port of the broker behind; the embedded one unless given. */
  readonly broker?: number;
  readonly whenBrokerDown?: 'refuse' | 'capture';
  readonly access?: Access;
  /** Everybody comes in, named as its Client Identifier, unless given. */
  readonly login?: Seat['login'];
  readonly websocket?: boolean;
  /** Commits happen by themselves unless held. */
  readonly held?: boolean;
  /** What an agent that was killed left on its disk. */
  readonly left?: readonly SessionRow[];
}

/** A disk that commits when it is told to. */
export class HeldDisk {
  readonly opened: Appender['opened'];
  readonly segments: SealedSegment[] = [];
  /** Batches given to it, committed or not. */
  appended = 0;
  /** Session rows as of the last commit, by their key. */
  readonly #rows = new Map<string, SessionRow>();
  readonly #batches: Batch[] = [];
  held: boolean;
  #tell: (commit: number) => void = () => {};

  constructor(held: boolean, sessions: readonly SessionRow[]) {
    this.held = held;
    this.opened = { epoch: '0123456789abcdef', nextSequence: 1, nextFrame: 1, sessions };
    for (const row of sessions) this.#rows.set(rowKey(row), row);
  }

  append(batch: Batch): void {
    this.appended += 1;
    if (batch.segment !== null) this.segments.push(batch.segment);
    this.#batches.push(batch);
    if (!this.held) setImmediate(() => this.release());
  }

  onCommitted(tell: (commit: number) => void): void {
    this.#tell = tell;
  }

  /** Commits what was appended so far. */
  release(): void {
    for (const { commit, sessions } of this.#batches.splice(0)) {
      for (const change of sessions) this.#apply(change);
      this.#tell(commit);
    }
  }

  /** What a start after a crash at this moment would find. */
  get sessions(): SessionRow[] {
    return [...this.#rows.values()];
  }

  #apply(change: SessionChange): void {
    if (change.op === 'put') this.#rows.set(rowKey(change), change);
    else if (change.op === 'delete') this.#rows.delete(rowKey(change));
    else {
      for (const [key, row] of this.#rows) {
        const { scope, client, kind } = row;
        if (scope === change.scope && client === change.client && kind === change.kind) {
          this.#rows.delete(key);
        }
      }
    }
  }

  /** `device topicName payload` of every frame in the log, in order. */
  frames(): string[] {
    return this.views().map(({ device, topicName, payload }) => {
      return `${device} ${topicName} ${Buffer.from(payload).toString()}`;
    });
  }

  views(): FrameView[] {
    const reader = new SegmentReader(loadCore());
    const out: FrameView[] = [];
    for (const { body } of this.segments) {
      const open = reader.open(new Uint8Array(body));
      if (!('frame' in open)) throw new Error('the path wrote a damaged segment');
      for (let i = 0; i < open.frames; i++) out.push(open.frame(i));
    }
    return out;
  }
}

function rowKey(row: Omit<SessionRow, 'body'>): string {
  return JSON.stringify([row.scope, row.client, row.kind, row.id]);
}

export class Rig {
  readonly disk: HeldDisk;
  readonly events: { name: EventName; fields: Fields }[] = [];
  readonly partials: PartialBudget;
  readonly holds = new HoldQueue();
  readonly core = new PathCore();
  connections = 0;
  port = 0;
  listener: MqttListener | undefined;
  path: Pipeline | undefined;
  #broker: EmbeddedBroker | undefined;
  readonly #devices: RawDevice[] = [];

  private constructor(options: RigOptions) {
    this.disk = new HeldDisk(options.held ?? false, options.left ?? []);
    this.partials = new PartialBudget(options.partialsBytes ?? 1 << 24);
  }

  static async start(options: RigOptions = {}): Promise<Rig> {
    const rig = new Rig(options);
    const { core } = rig;
    const routes = (options.routes ?? [{}]).map(fullRoute);
    const routeIds = routes.map((_, index) => index + 1);
    core.installRoutes(routes, routeIds);
    const path = new Pipeline({
      core,
      buffer: rig.disk,
      holds: rig.holds,
      clock: systemClock(0),
      telemetry: { frames: () => {} },
      commitEveryMs: 0,
    });
    rig.path = path;
    await rig.#listen(options, path);
    return rig;
  }

  async #listen(options: RigOptions, path: Pipeline): Promise<void> {
    const report = (name: EventName, fields: Fields = {}): void => {
      this.events.push({ name, fields });
    };
    const { broker: port, access = null, whenBrokerDown = 'refuse' } = options;
    if (port === undefined) {
      const wanted = (filters: readonly string[]) => this.core.setLocalFilters(filters);
      this.#broker = await EmbeddedBroker.open(wanted, report);
    }
    const wills = new Wills(path, report);
    wills.restore(this.disk.opened.sessions);
    this.port = (await freePorts(1))[0] as number;
    this.listener = new MqttListener({
      ...{ host: '127.0.0.1', port: this.port, tls: null, path, report },
      websocket: options.websocket ? serveWebSocket : null,
      partials: this.partials,
      seat: {
        ...{ scope: 'rig', embedded: port === undefined, whenBrokerDown, access, wills },
        grants: {
          receiveMaximum: options.receiveMaximum ?? 1_024,
          topicAliasMaximum: 16,
          maxPacketBytes: options.maxPacketBytes ?? 256 * 1024,
        },
        openBroker: () =>
          port === undefined
            ? (this.#broker as EmbeddedBroker).connect()
            : connect({ host: '127.0.0.1', port, noDelay: true }),
        brokerFault: ({ message }) => new TidegateError('brokerUnreachable', message),
        login: options.login ?? (({ clientId }) => ({ admitted: true, device: clientId })),
        sessions: new Sessions(this.disk.opened.sessions, path),
        faults: {
          name: faultName,
          reasonCode: reasonCodeOf,
          returnCode: returnCodeOf,
          connectVersion: () => this.core.core.connectVersion(),
        },
      },
      connectionsChanged: (delta) => {
        this.connections += delta;
      },
    });
    await this.listener.listen();
    this.listener.serve();
  }

  /** A connected device, past its CONNACK. */
  async device(
    clientId: string,
    options: number | Partial<IConnectPacket> = {},
  ): Promise<RawDevice> {
    const asked = typeof options === 'number' ? { keepalive: options } : options;
    const device = await this.socket(asked.protocolVersion);
    device.send({ ...connectPacket, clientId, ...asked });
    await device.until('connack');
    return device;
  }

  async socket(protocolVersion: 3 | 4 | 5 = 4): Promise<RawDevice> {
    const socket = connect({ host: '127.0.0.1', port: this.port, noDelay: true });
    await once(socket, 'connect');
    const device = new RawDevice(socket, protocolVersion);
    this.#devices.push(device);
    return device;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disk.held = false;
    this.disk.release();
    for (const device of this.#devices) device.socket.destroy();
    this.listener?.stop();
    await this.#broker?.close();
  }
}

/** One device's socket; what came is kept as packets, in order, and as chunks. */
export class RawDevice {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  readonly chunks: Buffer[] = [];
  ended = false;

  readonly #version: 3 | 4 | 5;

  constructor(socket: Socket, protocolVersion: 3 | 4 | 5 = 4) {
    this.socket = socket;
    this.#version = protocolVersion;
    const parse = parser({ protocolVersion });
    parse.on('packet', (packet: Packet) => this.packets.push(packet));
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      parse.parse(chunk);
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      this.ended = true;
    });
    socket.on('end', () => {
      this.ended = true;
    });
  }

  send(...packets: Packet[]): void {
    this.socket.write(
      Buffer.concat(packets.map((packet) => generate(packet, { protocolVersion: this.#version }))),
    );
  }

  publish(topic: string, payload: string, messageId: number, qos: 0 | 1 | 2 = 1): void {
    this.send(publish(topic, payload, messageId, qos));
  }

  count(cmd: Packet['cmd']): number {
    return this.packets.filter((packet) => packet.cmd === cmd).length;
  }

  /** Packet Identifiers of the acknowledgements, in the order they came. */
  acknowledged(cmd: 'puback' | 'pubrec' | 'pubcomp' = 'puback'): number[] {
    return this.packets
      .filter((packet) => packet.cmd === cmd)
      .map((packet) => packet.messageId ?? 0);
  }

  async until(cmd: Packet['cmd'], times = 1): Promise<void> {
    await eventually(`${times} × ${cmd}`, () => this.count(cmd) >= times);
  }
}

export function publish(
  topic: string,
  payload: string,
  messageId: number,
  qos: 0 | 1 | 2 = 1,
): Packet {
  return { cmd: 'publish', topic, payload, messageId, qos, dup: false, retain: false };
}

export async function eventually(
  what: string,
  holds: () => boolean,
  withinMs = waitMs,
): Promise<void> {
  const deadline = performance.now() + patient(withinMs);
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(pollMs);
  }
}

export function fullRoute(route: Partial<Route>, index: number): Route {
  return {
    name: `route-${index}`,
    from: 'plant/#',
    to: [],
    limits: [] as Limit[],
    local: true,
    maxBytes: null,
    httpOnly: false,
    ...route,
  };
}
