/**
 * What the schema accepted → `Config`: defaults that depend on another key (lag, bursts), one
 * target as a list of one, and the two kinds of upstream told apart.
 */
import { gatewayDefault } from './gateway.ts';
import type { Written } from './schema.ts';
import type { Config, Drain, Lag, Limit, Route, Target, UpstreamConfig } from './types.ts';

type WrittenRoute = Written['routes'][number];
type WrittenLimit = WrittenRoute['limits'][number];
type WrittenUpstream = Written['upstreams'][string];

/** Under skip an upstream is left behind before it fills the buffer for the others. */
const skipShareOfBuffer = 0.5;

export function normalise(written: Written): Config {
  const names = Object.keys(written.upstreams);
  const upstreams = Object.fromEntries(
    Object.entries(written.upstreams).map(([name, upstream]) => [
      name,
      upstreamOf(upstream, names.length === 1, written.buffer),
    ]),
  );
  return {
    gateway: written.gateway ?? gatewayDefault(),
    mqtt: { listeners: written.mqtt.listeners },
    routes: written.routes.map(routeOf),
    upstreams,
    buffer: {
      path: written.buffer.path,
      bytes: written.buffer.bytes,
      ageMs: written.buffer.age,
      whenFull: written.buffer.whenFull,
      commitEveryMs: written.buffer.commitEvery,
    },
    http: written.http === 'off' ? null : { bind: written.http.bind },
    log: written.log,
    stopWithinMs: written.stopWithin,
  };
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
): UpstreamConfig {
  const { kafka, file, from } = upstream;
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
  if (kafka) {
    const { brokers, compression, acks, createTopics, maxTopics, linger } = kafka;
    const settings = { brokers, compression, acks, createTopics, maxTopics, lingerMs: linger };
    return { kind: 'kafka', ...settings, lag, drain, from };
  }
  if (!file) throw new TypeError('relations.ts lets no upstream pass that is neither');
  const { directory, rotateBytes, rotateEvery } = file;
  return { kind: 'file', directory, rotateBytes, rotateEveryMs: rotateEvery, lag, drain, from };
}

function skipBytes(bufferBytes: number): number {
  return Math.floor(bufferBytes * skipShareOfBuffer);
}
