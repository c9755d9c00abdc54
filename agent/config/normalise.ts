/**
 * What the schema accepted → `Config`: defaults that depend on another key (lag, bursts), one
 * target as a list of one, and the kinds of upstream told apart.
 */
import { gatewayDefault } from './gateway.ts';
import { clientOf, clientTlsOf, listenersOf, sourceOf } from './normalise-mqtt.ts';
import { fleetOf, natsSourceOf, natsUpstreamOf } from './normalise-nats.ts';
import { restRouteName } from './relations.ts';
import type { Written } from './schema.ts';
import type {
  Config,
  Drain,
  KafkaSasl,
  KafkaUpstreamConfig,
  Lag,
  Limit,
  MqttUpstreamConfig,
  Route,
  Target,
  UpstreamConfig,
} from './types.ts';

type WrittenRoute = Written['routes'][number];
type WrittenLimit = WrittenRoute['limits'][number];
type WrittenUpstream = Written['upstreams'][string];

/** Under skip an upstream is left behind before it fills the buffer for the others. */
const skipShareOfBuffer = 0.5;

export function normalise(written: Written): Config {
  const names = Object.keys(written.upstreams);
  const gateway = written.gateway ?? gatewayDefault();
  const upstreams = Object.fromEntries(
    Object.entries(written.upstreams).map(([name, upstream]) => [
      name,
      upstreamOf(upstream, names.length === 1, written.buffer, `tidegate-${gateway}-to-${name}`),
    ]),
  );
  return {
    gateway,
    mqtt: {
      listeners: listenersOf(written),
      sources: written.mqtt.sources.map((source, index) => sourceOf(source, index, gateway)),
    },
    nats: { sources: written.nats.sources.map((source, i) => natsSourceOf(source, i, gateway)) },
    fleet: written.fleet ? fleetOf(written.fleet, gateway) : null,
    routes: [...written.routes.map(routeOf), ...restRoutes(written)],
    upstreams,
    buffer: {
      path: written.buffer.path,
      bytes: written.buffer.bytes,
      ageMs: written.buffer.age,
      whenFull: written.buffer.whenFull,
      commitEveryMs: written.buffer.commitEvery,
      compression: written.buffer.compression,
    },
    http: httpOf(written.http),
    log: written.log,
    stopWithinMs: written.stopWithin,
  };
}

function httpOf(http: Written['http']): Config['http'] {
  if (http === 'off') return null;
  const { bind, bridge } = http;
  return { bind, bridge: bridge ? { clients: bridge.clients } : null };
}

/** What comes over HTTP and no route takes: a REST topic is what its record's topic is. */
function restRoutes({ http }: Written): Route[] {
  const upstream = http === 'off' ? undefined : http.bridge?.rest;
  if (upstream === undefined) return [];
  const to: Target = {
    ...{ upstream, topic: '{topic}', key: '', delivery: 'at-least-once' },
    ...{ envelope: 'cloudevents', headers: {}, unknownTopic: 'hold' },
  };
  const own = { name: restRouteName, from: '#', limits: [], maxBytes: null };
  return [{ ...own, to: [to], local: false, httpOnly: true }];
}

function routeOf(route: WrittenRoute): Route {
  const to: readonly Target[] = Array.isArray(route.to) ? route.to : [route.to];
  return {
    name: route.name,
    from: route.from,
    to,
    limits: route.limits.map(limitOf),
    local: route.local,
    maxBytes: route.maxBytes ?? null,
    httpOnly: false,
  };
}

function limitOf(limit: WrittenLimit): Limit {
  const messagesPerSecond = limit.messages ?? 0;
  const bytesPerSecond = limit.bytes ?? 0;
  return {
    per: limit.per,
    messagesPerSecond,
    bytesPerSecond,
    burstMessages: limit.burst ?? Math.max(1, Math.ceil(messagesPerSecond)),
    burstBytes: limit.burstBytes ?? Math.ceil(bytesPerSecond),
    over: limit.over,
  };
}

function upstreamOf(
  upstream: WrittenUpstream,
  isOnly: boolean,
  buffer: Written['buffer'],
  clientId: string,
): UpstreamConfig {
  const { kafka, file, mqtt, nats, from } = upstream;
  const over = upstream.lag.over ?? (kafka || isOnly ? 'hold' : 'skip');
  const lag: Lag = {
    bytes: upstream.lag.bytes ?? (over === 'hold' ? buffer.bytes : skipBytes(buffer.bytes)),
    ageMs: upstream.lag.age ?? (over === 'hold' ? Number.POSITIVE_INFINITY : buffer.age),
    over,
  };
  const drain: Drain = {
    messagesPerSecond: upstream.drain.messages ?? null,
    bytesPerSecond: upstream.drain.bytes ?? null,
  };
  if (kafka) return { kind: 'kafka', ...kafkaOf(kafka), lag, drain, from };
  if (mqtt) return { kind: 'mqtt', ...mqttOf(mqtt, clientId), lag, drain, from };
  if (nats) return { kind: 'nats', ...natsUpstreamOf(nats, clientId), lag, drain, from };
  if (!file) throw new TypeError('relations.ts lets no upstream pass that is none of them');
  const { directory, rotateBytes, rotateEvery } = file;
  return { kind: 'file', directory, rotateBytes, rotateEveryMs: rotateEvery, lag, drain, from };
}

type Own<T> = Omit<T, 'kind' | 'lag' | 'drain' | 'from'>;

function kafkaOf(kafka: NonNullable<WrittenUpstream['kafka']>): Own<KafkaUpstreamConfig> {
  const { brokers, compression, acks, createTopics, maxTopics, linger, tls, sasl } = kafka;
  const settings = { brokers, compression, acks, createTopics, maxTopics, lingerMs: linger };
  return { ...settings, tls: tls ? clientTlsOf(tls) : null, sasl: sasl ? saslOf(sasl) : null };
}

function saslOf(sasl: NonNullable<NonNullable<WrittenUpstream['kafka']>['sasl']>): KafkaSasl {
  const { mechanism, username = '', password = '', token = null, tokenFile = null } = sasl;
  if (mechanism === 'oauthbearer') return { mechanism, token, tokenFile };
  return { mechanism, username, password };
}

function mqttOf(
  mqtt: NonNullable<WrittenUpstream['mqtt']>,
  clientId: string,
): Own<MqttUpstreamConfig> {
  const { qos, retain, inFlight } = mqtt;
  return { ...clientOf(mqtt, clientId), qos: qos as 0 | 1 | 2, retain, inFlight };
}

function skipBytes(bufferBytes: number): number {
  return Math.floor(bufferBytes * skipShareOfBuffer);
}
