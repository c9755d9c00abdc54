/**
 * What other rooms are given of a config: the lanes (one per upstream and delivery that a route
 * names), the routes as they are stored with the frames, and the buffer's options.
 */
import { bufferReserveBytes, deadLetterShare } from '../bounds.ts';
import type {
  BufferOptions,
  Delivery,
  LaneName,
  LaneSpec,
  RouteDefinition,
} from '../buffer/protocol.ts';
import type { Config } from './types.ts';

export function laneName(upstream: string, delivery: Delivery): LaneName {
  return `${upstream}/${delivery}`;
}

/** In the order of the upstreams in the config. */
export function lanesOf(config: Config): LaneSpec[] {
  const lanes: LaneSpec[] = [];
  for (const [upstream, { lag, from }] of Object.entries(config.upstreams)) {
    for (const delivery of ['at-least-once', 'at-most-once'] as const) {
      const isUsed = config.routes.some((route) =>
        route.to.some((target) => target.upstream === upstream && target.delivery === delivery),
      );
      if (isUsed) lanes.push({ lane: laneName(upstream, delivery), upstream, delivery, lag, from });
    }
  }
  return lanes;
}

/** In the order of the routes: the index is the core's route index. */
export function routeDefinitionsOf(config: Config): RouteDefinition[] {
  return config.routes.map((route) => ({
    name: route.name,
    from: route.from,
    gateway: config.gateway,
    targets: route.to.map((target) => ({
      lane: laneName(target.upstream, target.delivery),
      topic: target.topic,
      key: target.key,
      envelope: target.envelope,
      headers: target.headers,
      unknownTopic: target.unknownTopic,
    })),
  }));
}

export function bufferOptionsOf(config: Config): BufferOptions {
  const { path, bytes, ageMs, whenFull, compression } = config.buffer;
  const deadLetterBytes = Math.floor(bytes * deadLetterShare);
  const room = { bytes, reserveBytes: bufferReserveBytes, deadLetterBytes };
  return { path, ...room, ageMs, whenFull, compression };
}

/** Keys that a running agent cannot change: the buffer is theirs, or every record names them. */
export function restartKeys(before: Config, after: Config): string[] {
  const keys: string[] = [];
  if (before.gateway !== after.gateway) keys.push('gateway');
  if (before.buffer.path !== after.buffer.path) keys.push('buffer.path');
  return keys;
}
