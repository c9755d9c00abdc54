/**
 * An MQTT upstream in a lane, and a subscriber that keeps all it is sent. Everything a test opened
 * is closed by `closeAll`.
 */
import { connect as connectTcp, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet';
import type { MqttUpstreamConfig } from '../../agent/config/types.ts';
import { MqttUpstream } from '../../agent/egress/mqtt-upstream.ts';
import type { Frame } from '../../agent/egress/record.ts';
import { LivedTime } from '../../agent/egress/segment-source.ts';
import { type ConnectMqtt, connectMqtt } from '../../agent/mqtt-client.ts';
import { FakeLog, frameOf, LaneRig, routeOf } from './egress-rig.ts';
import { type Answer, FarServer } from './mqtt-far.ts';

export function upstreamConfig(
  port: number,
  rest: Partial<MqttUpstreamConfig> = {},
): MqttUpstreamConfig {
  return {
    kind: 'mqtt',
    url: { host: '127.0.0.1', port, tls: false, websocket: false, path: '/mqtt' },
    version: 5,
    clientId: 'gw1-up',
    username: null,
    password: null,
    tls: { ca: null, certificate: null, key: null, serverName: null },
    keepAliveMs: 30_000,
    qos: 1,
    retain: true,
    inFlight: 64,
    lag: { bytes: Number.POSITIVE_INFINITY, ageMs: Number.POSITIVE_INFINITY, over: 'hold' },
    drain: { messagesPerSecond: null, bytesPerSecond: null },
    from: 'oldest',
    ...rest,
  };
}

export interface MqttLane extends Omit<NonNullable<ConstructorParameters<typeof LaneRig>[2]>, ''> {
  readonly config: MqttUpstreamConfig;
  readonly target?: Parameters<typeof routeOf>[0];
  readonly once?: boolean;
  /** Sees every socket that the lane opens. */
  readonly opened?: (socket: Duplex) => void;
}

export function mqttLane({ config, target, once = false, opened, ...rest }: MqttLane): LaneRig {
  const log = new FakeLog();
  const lane = once ? 'cloud/at-most-once' : 'cloud/at-least-once';
  log.routes.set(1, routeOf({ topic: '{topic}', lane, ...target }));
  const lived = rest.lived ?? new LivedTime(0);
  const random = () => 0.05;
  const connect: ConnectMqtt = (options) =>
    connectMqtt({
      ...options,
      stream: (socket) => {
        opened?.(socket);
        return options.stream?.(socket) ?? socket;
      },
    });
  const make = (sink: ConstructorParameters<typeof MqttUpstream>[1]['sink']) =>
    new MqttUpstream(config, { connect, sink, lived, random, once });
  const spec = {
    lane,
    upstream: 'cloud',
    delivery: once ? ('at-most-once' as const) : ('at-least-once' as const),
    lag: config.lag,
    from: config.from,
  };
  const rig = new LaneRig(log, make, { binding: 'mqtt', spec, lived, random, ...rest });
  rigs.push(rig);
  return rig;
}

const rigs: LaneRig[] = [];
const servers: FarServer[] = [];

export async function closeAll(): Promise<void> {
  await Promise.all(rigs.splice(0).map((rig) => rig.forwarder.stop()));
  await Promise.all(servers.splice(0).map((server) => server.close()));
}

/** A lane to a server that answers like this. */
export async function laneTo(
  answer: Answer,
  config: Partial<MqttUpstreamConfig> = {},
  rest: Partial<MqttLane> = {},
): Promise<[LaneRig, FarServer]> {
  const server = new FarServer(answer);
  servers.push(server);
  return [mqttLane({ config: upstreamConfig(await server.listen(), config), ...rest }), server];
}

export const numbered = (count: number, from = 0, fields: Partial<Frame> = {}): Frame[] =>
  Array.from({ length: count }, (_, i) => frameOf({ value: String(from + i), ...fields }));

export const texts = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, i) => String(from + i));

/** Speaks MQTT 5 with a server, as bare as packets are. */
export class Subscriber {
  readonly received: IPublishPacket[] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async open(port: number, topicFilter: string, qos: 0 | 1 | 2 = 0): Promise<Subscriber> {
    const socket = connectTcp({ host: '127.0.0.1', port, noDelay: true });
    const subscriber = new Subscriber(socket);
    const ready = Promise.withResolvers<void>();
    socket.on('error', ready.reject);
    const options = { protocolVersion: 5 };
    const say = (packet: Packet) => socket.write(mqttPacket.generate(packet, options));
    const parser = mqttPacket.parser(options);
    socket.on('data', (chunk) => parser.parse(chunk));
    parser.on('packet', (packet) => {
      const { messageId = 0 } = packet;
      if (packet.cmd === 'suback') ready.resolve();
      if (packet.cmd === 'pubrel') say({ cmd: 'pubcomp', messageId });
      if (packet.cmd !== 'publish') return;
      subscriber.received.push(packet);
      if (packet.qos === 1) say({ cmd: 'puback', messageId });
      if (packet.qos === 2) say({ cmd: 'pubrec', messageId });
    });
    const clientId = `watch-${Math.random()}`;
    const properties = { receiveMaximum: 65_535 };
    say({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clean: true,
      clientId,
      properties,
    });
    const subscriptions = [{ topic: topicFilter, qos, nl: false, rap: true, rh: 0 }];
    say({ cmd: 'subscribe', messageId: 1, subscriptions });
    await ready.promise;
    return subscriber;
  }

  get values(): string[] {
    return this.received.map(({ payload }) => String(payload));
  }

  close(): void {
    this.#socket.destroy();
  }
}
