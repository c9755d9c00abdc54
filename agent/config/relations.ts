/**
 * What must hold between keys: names that refer to one another, two things on one address, plain
 * text towards the network, numbers that exclude each other. Routes have a file of their own.
 *
 * An error refuses the config; a warning says what is likely not meant.
 */
import { limitsMax } from '../bounds.ts';
import {
  type Complain,
  type DraftMap,
  listOf,
  mapOf,
  numberOf,
  targetsOf,
  textOf,
} from './draft.ts';
import { relateClients } from './relations-clients.ts';
import { relateMqtt } from './relations-mqtt.ts';
import { relateNats } from './relations-nats.ts';
import { relateRoutes } from './relations-routes.ts';
import type { Address, KeyPath } from './types.ts';
import { isLoopback, showAddress, showSize } from './units.ts';

const warning = { severity: 'warning' } as const;
const upstreamNameShape = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/;
/** Names that objects of the language have already. */
const takenNames = new Set(['constructor', 'prototype', '__proto__']);

/** @param written the tree as written, @param draft what the schema made of it */
export function relate(written: DraftMap, draft: DraftMap, complain: Complain): void {
  relateListeners(draft, complain);
  relateUpstreams(mapOf(written.upstreams), draft, complain);
  relateMqtt(draft, complain);
  relateClients(draft, complain);
  relateNats(written, draft, complain);
  relateRoutes(draft, Object.keys(mapOf(written.upstreams)), complain);
  relateLimits(draft, complain);
  relateBridge(draft, complain);
}

const plainListener =
  'Add tls: { certificate: FILE, key: FILE }, bind 127.0.0.1, or say insecure: true on a trusted' +
  ' network.';
const plainHttp = 'Bind 127.0.0.1, or say insecure: true on a trusted network.';

interface Bound {
  readonly path: KeyPath;
  readonly address: Address;
}

function addressOf(value: unknown): Address | null {
  const { host, port } = mapOf(value);
  return typeof host === 'string' && typeof port === 'number' ? { host, port } : null;
}

function relateListeners(draft: DraftMap, complain: Complain): void {
  const listeners = listOf(mapOf(draft.mqtt).listeners);
  const taken: Bound[] = [];
  const bind = (map: DraftMap, path: KeyPath, remedy: string): void => {
    const address = addressOf(map.bind);
    if (!address) return;
    if (map.insecure !== true && map.tls === undefined && !isLoopback(address.host)) {
      complain(
        [...path, 'bind'],
        `${showAddress(address)} is open to other machines in plain text`,
        remedy,
      );
    }
    const other = taken.find((earlier) => collides(earlier.address, address));
    if (other) {
      const message = `${showAddress(address)} is taken by ${showAddress(other.address)} above`;
      complain([...path, 'bind'], message, 'Give each its own port.');
    }
    taken.push({ path, address });
  };
  for (const [index, listener] of listeners.entries()) {
    bind(mapOf(listener), ['mqtt', 'listeners', index], plainListener);
  }
  bind(mapOf(draft.http), ['http'], plainHttp);
  const sources = [...listOf(mapOf(draft.mqtt).sources), ...listOf(mapOf(draft.nats).sources)];
  if (Array.isArray(mapOf(draft.mqtt).listeners) && listeners.length + sources.length === 0) {
    const message = 'no listener and no source: no device can be heard';
    complain(['mqtt', 'listeners'], message, 'Add one with bind: 127.0.0.1:1883.', warning);
  }
}

const everyAddress = new Set(['0.0.0.0', '::']);

function collides(a: Address, b: Address): boolean {
  if (a.port === 0 || a.port !== b.port) return false;
  return a.host === b.host || everyAddress.has(a.host) || everyAddress.has(b.host);
}

/** Of the route that http.bridge.rest makes. */
export const restRouteName = 'rest';
const openBridge =
  'Add http.bridge.clients: [{ device: NAME, token: TOKEN }], or bind 127.0.0.1: without tokens' +
  ' everybody could publish.';

/** The bridge takes events of whom it knows: from other machines that is a token. */
function relateBridge(draft: DraftMap, complain: Complain): void {
  const http = mapOf(draft.http);
  const address = addressOf(http.bind);
  if (http.bridge === undefined || address === null) return;
  const path: KeyPath = ['http', 'bridge'];
  const { clients, rest } = mapOf(http.bridge);
  if (!isLoopback(address.host) && listOf(clients).length === 0) {
    complain([...path, 'clients'], `${showAddress(address)} is open to other machines`, openBridge);
  }
  const tokens = listOf(clients).map((client) => textOf(mapOf(client).token));
  for (const [index, token] of tokens.entries()) {
    if (token === null || tokens.indexOf(token) === index) continue;
    const message = 'has the token of another client';
    complain([...path, 'clients', index, 'token'], message, 'Give each its own.');
  }
  const taken = listOf(draft.routes).findIndex((route) => mapOf(route).name === restRouteName);
  if (rest !== undefined && taken >= 0) {
    const message = `${restRouteName} is the name of what http.bridge.rest takes`;
    complain(['routes', taken, 'name'], message, 'Give the route another name.');
  }
  const names = Object.keys(mapOf(draft.upstreams));
  if (typeof rest === 'string' && !names.includes(rest)) {
    const message = `there is no upstream ${rest}`;
    complain([...path, 'rest'], message, `Name one of ${names.join(', ')}.`);
  }
}

function relateUpstreams(written: DraftMap, draft: DraftMap, complain: Complain): void {
  const used = new Set<string | null>();
  for (const route of listOf(draft.routes)) {
    for (const { target } of targetsOf(mapOf(route), [])) used.add(textOf(target.upstream));
  }
  used.add(textOf(mapOf(mapOf(draft.http).bridge).rest));
  const bufferBytes = numberOf(mapOf(draft.buffer).bytes);
  for (const [name, value] of Object.entries(written)) {
    const path = ['upstreams', name];
    if (!upstreamNameShape.test(name) || takenNames.has(name)) {
      const shape = '1 to 63 characters A-Z, a-z, 0-9, _ and -';
      const message = `${JSON.stringify(name)} is not a name of ${shape}`;
      complain(path, message, 'Rename it here and in the routes.', { part: 'key' });
      continue;
    }
    relateKind(mapOf(value), path, complain);
    if (!used.has(name)) {
      const message = `no route names the upstream ${name}`;
      complain(path, message, 'Name it in a route’s to, or take it out.', {
        ...warning,
        part: 'key',
      });
    }
    const lagBytes = numberOf(mapOf(mapOf(mapOf(draft.upstreams)[name]).lag).bytes);
    if (lagBytes !== null && bufferBytes !== null && lagBytes > bufferBytes) {
      const full = `buffer.bytes (${showSize(bufferBytes)}), which is full first`;
      const message = `${showSize(lagBytes)} is more than ${full}`;
      complain([...path, 'lag', 'bytes'], message, 'Write less, or raise buffer.bytes.', warning);
    }
  }
}

function relateKind(upstream: DraftMap, path: KeyPath, complain: Complain): void {
  const kinds = ['kafka', 'mqtt', 'nats', 'file'].filter((kind) => Object.hasOwn(upstream, kind));
  const later = ['amqp', 'http'].some((kind) => Object.hasOwn(upstream, kind));
  if (kinds.length === 1 || (later && kinds.length === 0)) return;
  const remedy =
    'Give it one of kafka: { brokers: [host:9092] }, mqtt: { url: mqtt://host:1883 },' +
    ' nats: { servers: [nats://host:4222] } and file: { directory: ./out }.';
  const several = `is ${kinds.join(' and ')} at once`;
  const message = kinds.length === 0 ? 'is none of kafka, mqtt, nats and file' : several;
  complain(path, message, remedy, { part: 'key' });
}

function relateLimits(draft: DraftMap, complain: Complain): void {
  let total = 0;
  for (const [index, route] of listOf(draft.routes).entries()) {
    for (const [place, limit] of listOf(mapOf(route).limits).entries()) {
      relateLimit(mapOf(limit), ['routes', index, 'limits', place], complain);
      total++;
    }
  }
  if (total > limitsMax) {
    complain(['routes'], `${total} limits are more than ${limitsMax}`, 'Use fewer limits.');
  }
}

function relateLimit(limit: DraftMap, path: KeyPath, complain: Complain): void {
  if (limit.per === undefined) return;
  if (limit.messages === undefined && limit.bytes === undefined) {
    complain(path, 'limits nothing', 'Add messages: 100/s, bytes: 64KiB/s, or both.');
    return;
  }
  if (limit.burst !== undefined && limit.messages === undefined) {
    complain([...path, 'burst'], 'burst counts messages, which have no rate here', 'Add messages.');
  }
  if (limit.burstBytes !== undefined && limit.bytes === undefined) {
    complain([...path, 'burstBytes'], 'bytes have no rate here', 'Add bytes: 64KiB/s.');
  }
}
