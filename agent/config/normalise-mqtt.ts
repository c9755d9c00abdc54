/**
 * The MQTT seats, as the schema accepted them → their part of `Config`: lists where one may stand
 * alone, null where nothing was written, Client Identifiers made of the gateway.
 */
import * as v from 'valibot';
import type { Written } from './schema.ts';
import { listener as listenerSchema } from './schema-mqtt.ts';
import type {
  AllowRule,
  ClientTls,
  Listener,
  MqttClientConfig,
  MqttSourceConfig,
} from './types.ts';

type WrittenListener = NonNullable<Written['mqtt']['listeners']>[number];
type WrittenSource = Written['mqtt']['sources'][number];
type WrittenClientTls = NonNullable<WrittenSource['tls']>;

/** What every client connection has in its keys. */
type WrittenClient = Pick<
  WrittenSource,
  'url' | 'version' | 'username' | 'password' | 'clientId' | 'tls' | 'keepAlive'
>;

const defaultBind = '127.0.0.1:1883';

/** Without a word on MQTT there is one listener; a config with sources says its listeners. */
/** Without a word about them one on 127.0.0.1, unless devices or a config come another way. */
export function listenersOf({ mqtt, nats, fleet }: Written): Listener[] {
  if (mqtt.listeners) return mqtt.listeners.map(listenerOf);
  if (mqtt.sources.length > 0 || nats.sources.length > 0 || fleet) return [];
  return [listenerOf(v.parse(listenerSchema, { bind: defaultBind }))];
}

function listenerOf(written: WrittenListener): Listener {
  const { bind, websocket, broker, whenBrokerDown, identity, maxPacketSize } = written;
  const { tls, users, allow, brokerTls, receiveMaximum } = written;
  return {
    ...{ bind, websocket, broker, whenBrokerDown, identity, maxPacketSize, receiveMaximum },
    brokerTls: clientTlsOf(brokerTls),
    tls: tls ? { ...tls, clientCa: tls.clientCa ?? null } : null,
    users: users ?? null,
    allow: allow.map(allowOf),
  };
}

function allowOf(rule: WrittenListener['allow'][number]): AllowRule {
  return { device: rule.device, publish: list(rule.publish), subscribe: list(rule.subscribe) };
}

/** One value, or a list of such values. */
export function list<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? (value as readonly T[]) : [value as T];
}

export function clientTlsOf(tls: WrittenClientTls | undefined): ClientTls {
  const { ca = null, certificate = null, key = null, serverName = null } = tls ?? {};
  return { ca, certificate, key, serverName };
}

/** @param clientId when none is written */
export function clientOf(written: WrittenClient, clientId: string): MqttClientConfig {
  return {
    url: written.url,
    version: written.version,
    clientId: written.clientId ?? clientId,
    username: written.username ?? null,
    password: written.password ?? null,
    tls: clientTlsOf(written.tls),
    keepAliveMs: written.keepAlive,
  };
}

export function sourceOf(source: WrittenSource, index: number, gateway: string): MqttSourceConfig {
  const { device, receiveMaximum, maxPacketSize, sessionExpiry, qos } = source;
  const place = index === 0 ? '' : `-${index + 1}`;
  return {
    ...clientOf(source, `tidegate-${gateway}-source${place}`),
    subscribe: list(source.subscribe),
    qos: qos as 0 | 1 | 2,
    sessionExpiryMs: sessionExpiry,
    ...{ device, receiveMaximum, maxPacketSize },
  };
}
