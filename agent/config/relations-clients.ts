/**
 * Connections that we open: plain text stays on this machine unless the config says `insecure`, and
 * who we are is said whole.
 */
import { type Complain, type DraftMap, listOf, mapOf } from './draft.ts';
import type { KeyPath } from './types.ts';
import { isLoopback, showAddress } from './units.ts';

const mqtt311 = 4;
const names = ['username', 'password'] as const;
const tokens = ['token', 'tokenFile'] as const;

export function relateClients(draft: DraftMap, complain: Complain): void {
  const mqtt = mapOf(draft.mqtt);
  for (const [index, value] of listOf(mqtt.listeners).entries()) {
    const listener = mapOf(value);
    const path = ['mqtt', 'listeners', index];
    plain(listener.broker, listener, [...path, 'broker'], complain);
    relateTls(listener.brokerTls, listener.broker, [...path, 'brokerTls'], complain);
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
  relateTls(map.tls, map.url, [...path, 'tls'], complain);
  if (map.password !== undefined && map.username === undefined && map.version === mqtt311) {
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

/** TLS keys beside an address that is spoken to without TLS would be silent. */
function relateTls(tls: unknown, url: unknown, path: KeyPath, complain: Complain): void {
  wholePair(mapOf(tls), path, complain);
  if (tls === undefined || url === undefined || mapOf(url).tls === true) return;
  if (url !== 'embedded' && mapOf(url).host === undefined) return;
  const scheme = mapOf(url).websocket === true ? 'wss://' : 'mqtts://';
  complain(path, 'is about TLS, which is not used there', `Write ${scheme}, or take it out.`);
}

export function wholePair(tls: DraftMap, path: KeyPath, complain: Complain): void {
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
  const { mechanism } = sasl;
  if (typeof mechanism !== 'string') return;
  const [own, foreign] = mechanism === 'oauthbearer' ? [tokens, names] : [names, tokens];
  for (const key of foreign) {
    if (sasl[key] === undefined) continue;
    complain(
      [...path, key],
      `${mechanism} has no ${key}`,
      `Take it out; it has ${own.join(', ')}.`,
    );
  }
  if (own === tokens) {
    const count = tokens.filter((key) => sasl[key] !== undefined).length;
    if (count === 1) return;
    const message = count === 0 ? 'has no token' : 'has two tokens';
    complain(path, message, 'Give it one of token and tokenFile.');
    return;
  }
  for (const key of names) {
    if (sasl[key] !== undefined) continue;
    complain(path, `${mechanism} needs ${key}`, `Add ${key}.`);
  }
}
