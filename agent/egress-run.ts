/**
 * Egress as it runs: joins the buffer's reader, the frames' codec and one forwarder per lane. It
 * runs in a thread of its own (egress-thread.ts), or, where files are all it writes, in the
 * buffer's, which waits for the same disk: a thread costs 10 MiB whatever it does.
 *
 *   in    EgressStart; `pause | resume` an upstream; `turn`; `calm`; `stop`
 *   out   `event`, `lane` (on every change of state), `turned` (to `turn`), `stopped`
 *   port  to the buffer: EgressToBuffer, BufferToEgress
 *
 * Only what a lane's upstream needs is loaded: the Kafka library costs some 50 MiB, MQTT.js 10,
 * that of NATS 6.
 */
import type { MessagePort } from 'node:worker_threads';
import type { BufferToEgress, LaneSpec } from './buffer/protocol.ts';
import { BufferReader } from './buffer/reader.ts';
import type {
  KafkaUpstreamConfig,
  MqttUpstreamConfig,
  NatsUpstreamConfig,
  UpstreamConfig,
} from './config/types.ts';
import { Forwarder } from './egress/forwarder.ts';
import type { LaneStateTold } from './egress/lane-states.ts';
import { LivedTime, type SegmentSource } from './egress/segment-source.ts';
import type { Upstream, UpstreamSink } from './egress/upstream.ts';
import { TidegateError } from './errors.ts';
import type { EventName, Fields, Report } from './events.ts';
import { loadCore } from './frames/core.ts';
import { decodeProperties } from './frames/properties.ts';
import { SegmentReader } from './frames/segment-reader.ts';
import { giveBackMemory } from './heap-flags.ts';
import { clientTlsOptions, tlsFault } from './tls.ts';

export interface EgressStart {
  readonly bufferPath: string;
  readonly bufferPort: MessagePort;
  readonly lanes: readonly LaneSpec[];
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly gateway: string;
}

export type ToEgress =
  | { readonly kind: 'pause' | 'resume'; readonly upstream: string }
  | { readonly kind: 'turn' }
  | { readonly kind: 'calm' }
  | { readonly kind: 'stop' };

export type FromEgress =
  | { readonly kind: 'event'; readonly name: EventName; readonly fields: Fields }
  | ({ readonly kind: 'lane' } & LaneStateTold)
  | { readonly kind: 'turned' | 'stopped' };

/** The log as forwarders read it. */
function openSource(reader: BufferReader): SegmentSource {
  const frames = new SegmentReader(loadCore());
  return {
    read: (from, maxBytes, maxSegments) => reader.read(from, maxBytes, maxSegments),
    open: (body) => {
      const opened = frames.open(body);
      return 'fault' in opened ? null : opened;
    },
    route: (id) => reader.route(id),
    properties: decodeProperties,
  };
}

type MakeUpstream = (sink: UpstreamSink) => Upstream;

async function kafkaMaker(
  config: KafkaUpstreamConfig,
  lane: LaneSpec,
  gateway: string,
  report: Report,
): Promise<MakeUpstream> {
  const { KafkaClient } = await import('./egress/kafka.ts');
  const { KafkaUpstream } = await import('./egress/kafka-upstream.ts');
  const once = lane.delivery === 'at-most-once';
  const { brokers, tls, sasl } = config;
  const options = {
    ...{ brokers, sasl, clientId: `tidegate-${gateway}` },
    ...(tls ? { tls: (host: string) => clientTlsOptions(tls, host, report), tlsFault } : {}),
  };
  return (sink) => {
    const client = new KafkaClient(options);
    return new KafkaUpstream(config, { client, sink, random: Math.random, once });
  };
}

async function mqttMaker(
  config: MqttUpstreamConfig,
  lane: LaneSpec,
  lived: LivedTime,
): Promise<MakeUpstream> {
  const { connectMqtt: connect } = await import('./mqtt-client.ts');
  const { MqttUpstream } = await import('./egress/mqtt-upstream.ts');
  const once = lane.delivery === 'at-most-once';
  // Two lanes are two connections, and one Client Identifier is one connection [MQTT-3.1.4-3].
  const clientId = once ? `${config.clientId}-once` : config.clientId;
  const random = Math.random;
  return (sink) =>
    new MqttUpstream({ ...config, clientId }, { connect, sink, lived, random, once });
}

async function natsMaker(
  config: NatsUpstreamConfig,
  lane: LaneSpec,
  lived: LivedTime,
): Promise<MakeUpstream> {
  const { connectNats: connect, sealedHeaders: headers } = await import('./nats-client.ts');
  const { NatsUpstream } = await import('./egress/nats-upstream.ts');
  const once = lane.delivery === 'at-most-once';
  // Two lanes are two connections; the server lists them by name.
  const name = once ? `${config.name}-once` : config.name;
  const random = Math.random;
  return (sink) =>
    new NatsUpstream({ ...config, name }, { connect, headers, sink, lived, random, once });
}

async function upstreamMaker(
  start: EgressStart,
  lane: LaneSpec,
  lived: LivedTime,
  report: Report,
): Promise<MakeUpstream> {
  const config = start.upstreams[lane.upstream];
  if (config === undefined) throw new TidegateError('internal', `no upstream ${lane.upstream}`);
  if (config.kind === 'kafka') return await kafkaMaker(config, lane, start.gateway, report);
  if (config.kind === 'mqtt') return await mqttMaker(config, lane, lived);
  if (config.kind === 'nats') return await natsMaker(config, lane, lived);
  const { FileUpstream } = await import('./egress/file.ts');
  const once = lane.delivery === 'at-most-once';
  // Two lanes do not write into one file.
  const name = once ? `${lane.upstream}.at-most-once` : lane.upstream;
  return (sink) => new FileUpstream({ ...config, name }, { sink, random: Math.random, once });
}

/** @param main where it is told what to do, and says what comes of it; closed at the end */
export async function serve(start: EgressStart, main: MessagePort): Promise<void> {
  const say = (message: FromEgress) => main.postMessage(message);
  const report: Report = (name, fields = {}) => say({ kind: 'event', name, fields });
  const reader = new BufferReader(start.bufferPath);
  const source = openSource(reader);
  const lived = new LivedTime(Number(reader.meta('livedMs') ?? 0));
  const forwarders: Forwarder[] = [];
  for (const spec of start.lanes) {
    const config = start.upstreams[spec.upstream] as UpstreamConfig;
    forwarders.push(
      new Forwarder({
        spec,
        source,
        upstream: await upstreamMaker(start, spec, lived, report),
        binding: config.kind,
        drain: config.drain,
        lived,
        post: (advance) => start.bufferPort.postMessage(advance),
        report,
        changed: (told) => say({ kind: 'lane', ...told }),
        random: Math.random,
      }),
    );
  }
  for (const forwarder of forwarders) forwarder.start();
  start.bufferPort.on('message', (message: BufferToEgress) => {
    for (const forwarder of forwarders) forwarder.heard(message);
  });
  main.on('message', (message: ToEgress) => {
    if (message.kind === 'stop') void stop();
    else if (message.kind === 'turn') say({ kind: 'turned' });
    else if (message.kind === 'calm') giveBackMemory();
    else {
      for (const forwarder of forwarders) {
        if (forwarder.upstreamName === message.upstream) forwarder[message.kind]();
      }
    }
  });

  async function stop(): Promise<void> {
    await Promise.all(forwarders.map((forwarder) => forwarder.stop()));
    reader.close();
    start.bufferPort.close();
    say({ kind: 'stopped' });
    main.close();
  }
}
