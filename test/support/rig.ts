/**
 * The path in one process, with everything real but the disk: listener, filter, core, hold queue
 * and embedded broker on a free port, in front of a disk whose COMMIT the test lets happen. What
 * must not be seen before a commit can so be looked for while the commit is held.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { generate, type Packet, parser } from 'mqtt-packet';
import { EmbeddedBroker } from '../../agent/broker/embedded.ts';
import type { SealedSegment } from '../../agent/buffer/protocol.ts';
import type { Limit, Route } from '../../agent/config/types.ts';
import type { EventName, Fields } from '../../agent/events.ts';
import { loadCore } from '../../agent/frames/core.ts';
import { faultName } from '../../agent/frames/faults.ts';
import { PathCore } from '../../agent/frames/path-core.ts';
import { SegmentReader } from '../../agent/frames/segment-reader.ts';
import { systemClock } from '../../agent/ingress/clock.ts';
import { HoldQueue } from '../../agent/ingress/hold-queue.ts';
import { MqttListener } from '../../agent/ingress/mqtt-listener.ts';
import { PartialBudget } from '../../agent/ingress/partials.ts';
import { Pipeline } from '../../agent/pipeline.ts';
import { freePorts } from './ports.ts';

const pollMs = 5;
const waitMs = 5_000;

export interface RigOptions {
  readonly routes?: readonly Partial<Route>[];
  readonly maxPacketBytes?: number;
  readonly partialsBytes?: number;
  /** Commits happen by themselves unless held. */
  readonly held?: boolean;
}

/** A disk that commits when it is told to. */
export class HeldDisk {
  readonly opened = { epoch: '0123456789abcdef', nextSequence: 1, nextFrame: 1, livedMs: 0 };
  readonly segments: SealedSegment[] = [];
  held: boolean;
  #committed = 0;
  #tell: (sequence: number) => void = () => {};

  constructor(held: boolean) {
    this.held = held;
  }

  append(segment: SealedSegment): void {
    this.segments.push(segment);
    if (!this.held) setImmediate(() => this.release());
  }

  onCommitted(tell: (sequence: number) => void): void {
    this.#tell = tell;
  }

  /** Commits what was appended so far. */
  release(): void {
    while (this.#committed < this.segments.length) {
      const segment = this.segments[this.#committed] as SealedSegment;
      this.#committed += 1;
      this.#tell(segment.sequence);
    }
  }

  /** `device topicName payload` of every frame in the log, in order. */
  frames(): string[] {
    const reader = new SegmentReader(loadCore());
    const out: string[] = [];
    for (const { body } of this.segments) {
      const open = reader.open(new Uint8Array(body));
      if (!('frame' in open)) throw new Error('the path wrote a damaged segment');
      for (let i = 0; i < open.frames; i++) {
        const { device, topicName, payload } = open.frame(i);
        out.push(`${device} ${topicName} ${Buffer.from(payload).toString()}`);
      }
    }
    return out;
  }
}

export class Rig {
  readonly disk: HeldDisk;
  readonly events: { name: EventName; fields: Fields }[] = [];
  readonly partials: PartialBudget;
  readonly holds = new HoldQueue();
  connections = 0;
  port = 0;
  #listener: MqttListener | undefined;
  #broker: EmbeddedBroker | undefined;
  readonly #devices: RawDevice[] = [];

  private constructor(options: RigOptions) {
    this.disk = new HeldDisk(options.held ?? false);
    this.partials = new PartialBudget(options.partialsBytes ?? 1 << 24);
  }

  static async start(options: RigOptions = {}): Promise<Rig> {
    const rig = new Rig(options);
    const core = new PathCore();
    const routes = (options.routes ?? [{}]).map(fullRoute);
    const routeIds = routes.map((_, index) => index + 1);
    core.installRoutes(routes, routeIds);
    const report = (name: EventName, fields: Fields = {}): void => {
      rig.events.push({ name, fields });
    };
    const path = new Pipeline({
      core,
      buffer: rig.disk,
      holds: rig.holds,
      clock: systemClock(0),
      telemetry: { frames: () => {} },
      commitEveryMs: 0,
    });
    rig.#broker = await EmbeddedBroker.open((filters) => core.setLocalFilters(filters), report);
    const broker = rig.#broker;
    rig.port = (await freePorts(1))[0] as number;
    rig.#listener = new MqttListener({
      host: '127.0.0.1',
      port: rig.port,
      maxPacketBytes: options.maxPacketBytes ?? 256 * 1024,
      path,
      partials: rig.partials,
      report,
      faultName,
      openBroker: () => broker.connect(),
      connectionsChanged: (delta) => {
        rig.connections += delta;
      },
    });
    await rig.#listener.listen();
    return rig;
  }

  /** A connected device, past its CONNACK. */
  async device(clientId: string, keepalive = 60): Promise<RawDevice> {
    const device = await this.socket();
    device.send({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId,
      keepalive,
      clean: true,
    });
    await device.until('connack');
    return device;
  }

  async socket(): Promise<RawDevice> {
    const socket = connect({ host: '127.0.0.1', port: this.port, noDelay: true });
    await once(socket, 'connect');
    const device = new RawDevice(socket);
    this.#devices.push(device);
    return device;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disk.held = false;
    this.disk.release();
    for (const device of this.#devices) device.socket.destroy();
    this.#listener?.stop();
    await this.#broker?.close();
  }
}

/** One device's socket; what came is kept as packets, in order, and as chunks. */
export class RawDevice {
  readonly socket: Socket;
  readonly packets: Packet[] = [];
  readonly chunks: Buffer[] = [];
  ended = false;

  constructor(socket: Socket) {
    this.socket = socket;
    const parse = parser();
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
    this.socket.write(Buffer.concat(packets.map((packet) => generate(packet))));
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
  const deadline = performance.now() + withinMs;
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(pollMs);
  }
}

function fullRoute(route: Partial<Route>, index: number): Route {
  return {
    name: `route-${index}`,
    from: 'plant/#',
    to: [],
    limits: [] as Limit[],
    local: true,
    maxBytes: null,
    ...route,
  };
}
