/**
 * Connections that we open: plain text stays on this machine unless the config says `insecure`, and
 * who we are is said whole.
 */
import { type Complain, type DraftMap, listOf, mapOf } from './draft.ts';
import type { KeyPath } from './types.ts';
import { isLoopback, showAddress } from './units.ts';

export function relateClients(draft: DraftMap, complain: Complain): void {
  const mqtt = mapOf(draft.mqtt);
  for (const [index, value] of listOf(mqtt.listeners).entries()) {
    const listener = mapOf(value);
    const path = ['mqtt', 'listeners', index];
    plain(listener.broker, listener, [...path, 'broker'], complain);
    wholePair(mapOf(listener.brokerTls), [...path, 'brokerTls'], complain);
  }
  for (const [index, value] of listOf(mqtt.sources).entries()) {
    client(mapOf(value), ['mqtt', 'sources', index], complain);
  }
  for (const [name, value] of Object.entries(mapOf(draft.upstreams))) {
    const { mqtt: server, kafka } = mapOf(value);
    if (server !== undefined) client(mapOf(server), ['upstreams', name, 'mqtt'], complain);
    if (kafka !== undefined) relateKafka(mapOf(kafka), ['upstreams', name, 'kafka'], complain);
  }
}

function client(map: DraftMap, path: KeyPath, complain: Complain): void {
  plain(map.url, map, [...path, 'url'], complain);
  wholePair(mapOf(map.tls), [...path, 'tls'], complain);
  if (map.password !== undefined && map.username === undefined && map.version === '3.1.1') {
    const message = 'MQTT 3.1.1 has no Password without a User Name';
    complain([...path, 'password'], message, 'Add username.'); // [MQTT-3.1.2-22]
  }
}

function plain(url: unknown, map: DraftMap, path: KeyPath, complain: Complain): void {
  const { host, port, tls, websocket } = mapOf(url);
  if (typeof host !== 'string' || typeof port !== 'number') return;
  if (tls === true || map.insecure === true || isLoopback(host)) return;
  const message = `${showAddress({ host, port })} would be spoken to in plain text`;
  const scheme = websocket === true ? 'wss' : 'mqtts';
  const remedy = `Write ${scheme}://, or say insecure: true on a trusted network.`;
  complain(path, message, remedy);
}

function wholePair(tls: DraftMap, path: KeyPath, complain: Complain): void {
  for (const [one, other] of [
    ['certificate', 'key'],
    ['key', 'certificate'],
  ] as const) {
    if (tls[one] === undefined || tls[other] !== undefined) continue;
    complain([...path, one], `${one} without ${other}`, `Add ${other}: FILE.`);
  }
}

function relateKafka(kafka: DraftMap, path: KeyPath, complain: Complain): void {
  wholePair(mapOf(kafka.tls), [...path, 'tls'], complain);
  if (kafka.tls === undefined) {
    for (const [index, broker] of listOf(kafka.brokers).entries()) {
      const { host, port } = mapOf(broker);
      if (typeof host !== 'string' || typeof port !== 'number') continue;
      if (kafka.insecure === true || isLoopback(host)) continue;
      const message = `${showAddress({ host, port })} would be spoken to in plain text`;
      const remedy = 'Add tls: {}, or say insecure: true on a trusted network.';
      complain([...path, 'brokers', index], message, remedy);
    }
  }
  if (kafka.sasl !== undefined) relateSasl(mapOf(kafka.sasl), [...path, 'sasl'], complain);
}

function relateSasl(sasl: DraftMap, path: KeyPath, complain: Complain): void {
  if (sasl.mechanism === undefined) return;
  if (sasl.mechanism === 'oauthbearer') {
    const tokens = [sasl.token, sasl.tokenFile].filter((value) => value !== undefined);
    if (tokens.length === 1) return;
    const message = tokens.length === 0 ? 'has no token' : 'has two tokens';
    complain(path, message, 'Give it one of token and tokenFile.');
    return;
  }
  for (const key of ['username', 'password']) {
    if (sasl[key] !== undefined) continue;
    complain(path, `${String(sasl.mechanism)} needs ${key}`, `Add ${key}.`);
  }
}
