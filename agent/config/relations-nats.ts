/**
 * What must hold for NATS: a source is core subjects or one stream, one way to log in, plain text
 * only on this machine, no hold that would block every publisher, and core NATS as an upstream only
 * where nothing has to be confirmed.
 */
import { type Complain, type DraftMap, listOf, mapOf, targetsOf, textOf } from './draft.ts';
import { isPublicNkey } from './public-nkey.ts';
import { wholePair } from './relations-clients.ts';
import { filtersAt, isSameHost, relateHold, renderedAs } from './relations-sources.ts';
import { filterFault, overlaps } from './topic-filter.ts';
import type { KeyPath } from './types.ts';
import { isLoopback, showAddress } from './units.ts';

const logins = ['username', 'token', 'nkey', 'creds'] as const;
const ofStreams = ['durable', 'acks', 'from'] as const;
const deviceShape = /^(?:\{topic\}|\{[1-9]\d?\}|header:[!-9;-~]+)$/;

/** @param written the tree as written: a default says nothing about what was meant */
export function relateNats(written: DraftMap, draft: DraftMap, complain: Complain): void {
  const sources = listOf(mapOf(written.nats).sources);
  for (const [index, value] of listOf(mapOf(draft.nats).sources).entries()) {
    const path = ['nats', 'sources', index];
    relateClient(mapOf(value), path, complain);
    relateSource(mapOf(value), mapOf(sources[index]), path, complain);
    relateFed(mapOf(value), path, draft, complain);
  }
  relateDurables(listOf(mapOf(draft.nats).sources).map(mapOf), complain);
  if (draft.fleet !== undefined) {
    relateClient(mapOf(draft.fleet), ['fleet'], complain);
    relateTrust(mapOf(draft.fleet).trust, complain);
  }
  for (const [name, value] of Object.entries(mapOf(draft.upstreams))) {
    const { nats } = mapOf(value);
    if (nats === undefined) continue;
    relateClient(mapOf(nats), ['upstreams', name, 'nats'], complain);
    if (mapOf(nats).jetstream === false) relateCore(name, draft, complain);
  }
}

function relateTrust(trust: unknown, complain: Complain): void {
  for (const [index, key] of (Array.isArray(trust) ? trust : [trust]).entries()) {
    if (typeof key !== 'string' || isPublicNkey(key)) continue;
    const path = ['fleet', 'trust', ...(Array.isArray(trust) ? [index] : [])];
    const remedy = 'Write it as tidegate fleet keygen printed it.';
    complain(path, 'is not a public nkey: its checksum is of another one', remedy);
  }
}

function relateClient(map: DraftMap, path: KeyPath, complain: Complain): void {
  const servers = serversOf(map);
  for (const [index, { host, port, tls }] of servers.entries()) {
    if (typeof host !== 'string' || typeof port !== 'number') continue;
    const here = [...path, 'servers', ...(Array.isArray(map.servers) ? [index] : [])];
    if (tls === true || map.insecure === true || isLoopback(host)) continue;
    const message = `${showAddress({ host, port })} would be spoken to in plain text`;
    complain(here, message, 'Write tls://, or say insecure: true on a trusted network.');
  }
  const used = logins.filter((key) => map[key] !== undefined);
  if (used.length > 1) {
    const message = `${used.join(' and ')} are two ways to log in`;
    complain([...path, used[1] as string], message, 'Keep one of them.');
  }
  if ((map.username === undefined) !== (map.password === undefined)) {
    const [one, other] =
      map.username === undefined ? ['password', 'username'] : ['username', 'password'];
    complain([...path, one], `${one} without ${other}`, `Add ${other}.`);
  }
  wholePair(mapOf(map.tls), [...path, 'tls'], complain);
  const isPlain = servers.every((server) => server.tls === false);
  if (map.tls !== undefined && isPlain) {
    complain([...path, 'tls'], 'is about TLS, which is not used there', 'Write tls:// servers.');
  }
}

function relateSource(map: DraftMap, written: DraftMap, path: KeyPath, complain: Complain): void {
  const device = textOf(map.device);
  if (device !== null && !deviceShape.test(device)) {
    const remedy = 'Write {topic}, {1} for the first wildcard of the route, or header:NAME.';
    complain([...path, 'device'], `${device} does not name who published`, remedy);
  }
  if (map.stream === undefined) {
    if (map.subjects === undefined) {
      const remedy = 'Add subjects: [plant.>], or stream: NAME for JetStream.';
      complain(path, 'listens to nothing', remedy);
    }
    for (const key of ofStreams) {
      if (written[key] === undefined) continue;
      complain([...path, key], `${key} is for JetStream`, 'Add stream: NAME, or take it out.');
    }
  } else if (map.queue !== undefined) {
    const remedy = 'Take it out: agents that share a durable share its messages.';
    complain([...path, 'queue'], 'queue is for core NATS', remedy);
  }
}

/** Two who pull from one consumer would acknowledge for one another. */
function relateDurables(sources: readonly DraftMap[], complain: Complain): void {
  const taken = new Map<string, number>();
  for (const [index, { stream, durable, servers }] of sources.entries()) {
    if (stream === undefined || durable === undefined) continue;
    const consumer = JSON.stringify([servers, stream, durable]);
    const other = taken.get(consumer);
    taken.set(consumer, other ?? index);
    if (other === undefined) continue;
    const message = `${durable} is pulled from by nats.sources[${other}] already`;
    complain(['nats', 'sources', index, 'durable'], message, 'Give them one durable each.');
  }
}

/** What its subjects are to routes; a stream without them may bring everything. */
function filtersOf(source: DraftMap, path: KeyPath): string[] {
  const subjects = filtersAt(source.subjects, path).map(({ written }) => written);
  if (subjects.length === 0) return ['#'];
  return subjects.map((subject) =>
    subject
      .split('.')
      .map((token) => (token === '*' ? '+' : token === '>' ? '#' : token))
      .join('/'),
  );
}

function relateFed(source: DraftMap, path: KeyPath, draft: DraftMap, complain: Complain): void {
  const heard = filtersOf(source, path);
  for (const [index, value] of listOf(draft.routes).entries()) {
    const route = mapOf(value);
    const from = textOf(route.from);
    if (from === null || filterFault(from)) continue;
    if (!heard.some((filter) => overlaps(filter, from))) continue;
    relateHold(route, ['routes', index], complain);
    relateLoop(source, heard, draft, index, complain);
  }
}

/** A target on the very server that the source listens at, under a subject it hears again. */
function relateLoop(
  source: DraftMap,
  heard: readonly string[],
  draft: DraftMap,
  index: number,
  complain: Complain,
): void {
  const route = mapOf(listOf(draft.routes)[index]);
  for (const { target, path } of targetsOf(route, ['routes', index])) {
    const upstream = mapOf(mapOf(draft.upstreams)[textOf(target.upstream) ?? '']);
    if (upstream.nats === undefined) continue;
    if (!serversOf(mapOf(upstream.nats)).some((one) => serversOf(source).some(isSame(one)))) {
      continue;
    }
    const topic = textOf(target.topic) ?? '{topic}';
    // Its own dots are levels too; those of captures are not.
    const written = topic.replaceAll(/\.(?![^{]*\})/g, '/');
    const back = renderedAs(written, textOf(route.from) ?? '#');
    if (!heard.some((filter) => overlaps(filter, back))) continue;
    const message = `${topic} is published where nats.sources hears it again: a loop`;
    complain([...path, 'topic'], message, 'Publish under a subject that no source subscribes.');
  }
}

function serversOf(map: DraftMap): DraftMap[] {
  const servers = Array.isArray(map.servers) ? map.servers : [map.servers];
  return servers.map(mapOf);
}

function isSame(one: DraftMap): (other: DraftMap) => boolean {
  return (other) => one.port === other.port && isSameHost(one.host, other.host);
}

function relateCore(name: string, draft: DraftMap, complain: Complain): void {
  for (const [index, route] of listOf(draft.routes).entries()) {
    for (const { target, path } of targetsOf(mapOf(route), ['routes', index])) {
      if (textOf(target.upstream) !== name || target.delivery === 'at-most-once') continue;
      const message = `core NATS (upstreams.${name}) confirms nothing`;
      const remedy = 'Write delivery: at-most-once here, or jetstream: true there.';
      complain([...path, 'delivery'], message, remedy);
    }
  }
}
