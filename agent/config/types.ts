/**
 * The shapes that leave this room: the normalised config (every unit parsed, every default filled
 * in) and the problems that `check` names. Types only, so that any room may import them.
 *
 * Units: `…Bytes` and `bytes` are bytes, `…Ms` milliseconds, `…PerSecond` per second. 0 means "no
 * limit" in a rate, Infinity "no bound" in an age.
 */
import type { Delivery } from '../buffer/protocol.ts';
import type { FleetConfig, NatsSourceConfig, NatsUpstreamOwn } from './types-nats.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** An MQTT server. */
export interface MqttUrl extends Address {
  readonly tls: boolean;
  readonly websocket: boolean;
  /** Of a WebSocket. */
  readonly path: string;
}

/** Paths of PEM files. */
export interface ServerTls {
  readonly certificate: string;
  readonly key: string;
  readonly clientCa: string | null;
  readonly requireClient: boolean;
}

/** Paths of PEM files; null: what the system has. */
export interface ClientTls {
  readonly ca: string | null;
  readonly certificate: string | null;
  readonly key: string | null;
  readonly serverName: string | null;
}

export interface AllowRule {
  /** A name, in which * stands for any characters. */
  readonly device: string;
  /** Topic Filters; a level `{device}` is the device's own name. */
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
}

export interface Listener {
  readonly bind: Address;
  readonly websocket: boolean;
  readonly broker: 'embedded' | MqttUrl;
  readonly brokerTls: ClientTls;
  readonly whenBrokerDown: 'refuse' | 'capture';
  readonly tls: ServerTls | null;
  /** Path of the password file. */
  readonly users: string | null;
  readonly identity: 'clientId' | 'username' | 'certificate';
  readonly allow: readonly AllowRule[];
  readonly maxPacketSize: number;
  readonly receiveMaximum: number;
}

/** Who we are to an MQTT server. */
export interface MqttClientConfig {
  readonly url: MqttUrl;
  /** 4 is 3.1.1. */
  readonly version: 4 | 5;
  readonly clientId: string;
  readonly username: string | null;
  readonly password: string | null;
  readonly tls: ClientTls;
  readonly keepAliveMs: number;
}

export interface MqttSourceConfig extends MqttClientConfig {
  readonly subscribe: readonly string[];
  readonly qos: 0 | 1 | 2;
  /** `{topic}`, `{1}` … or `property:NAME`. */
  readonly device: string;
  readonly sessionExpiryMs: number;
  readonly receiveMaximum: number;
  readonly maxPacketSize: number;
}

export interface Target {
  readonly upstream: string;
  /** Template. For Kafka a `/` that comes out of `{topic}` or a capture is written as `.`. */
  readonly topic: string;
  readonly key: string;
  readonly delivery: Delivery;
  readonly envelope: 'cloudevents' | 'none';
  readonly headers: Readonly<Record<string, string>>;
  readonly unknownTopic: 'hold' | 'bury';
}

export interface Limit {
  readonly per: 'device' | 'route' | 'topicName' | 'gateway';
  readonly messagesPerSecond: number;
  readonly bytesPerSecond: number;
  readonly burstMessages: number;
  readonly burstBytes: number;
  readonly over: 'hold' | 'drop' | 'bury';
}

export interface Route {
  readonly name: string;
  /** A Topic Filter. */
  readonly from: string;
  readonly to: readonly Target[];
  readonly limits: readonly Limit[];
  readonly local: boolean;
  readonly maxBytes: number | null;
  /** Takes only what came over HTTP. */
  readonly httpOnly: boolean;
}

export interface Lag {
  readonly bytes: number;
  readonly ageMs: number;
  readonly over: 'hold' | 'skip';
}

export interface Drain {
  readonly messagesPerSecond: number | null;
  readonly bytesPerSecond: number | null;
}

interface UpstreamBase {
  readonly lag: Lag;
  readonly drain: Drain;
  /** Where a cursor starts that the buffer does not know yet. */
  readonly from: 'latest' | 'oldest';
}

export interface KafkaUpstreamConfig extends UpstreamBase {
  readonly kind: 'kafka';
  readonly brokers: readonly Address[];
  readonly compression: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';
  readonly acks: 'all';
  readonly createTopics: boolean;
  readonly maxTopics: number;
  readonly lingerMs: number;
  readonly tls: ClientTls | null;
  readonly sasl: KafkaSasl | null;
}

export type KafkaSasl =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
      readonly username: string;
      readonly password: string;
    }
  | {
      readonly mechanism: 'oauthbearer';
      /** The token itself, or the path of a file that is read at each log-in. */
      readonly token: string | null;
      readonly tokenFile: string | null;
    };

export interface MqttUpstreamConfig extends UpstreamBase, MqttClientConfig {
  readonly kind: 'mqtt';
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly inFlight: number;
}

export interface FileUpstreamConfig extends UpstreamBase {
  readonly kind: 'file';
  readonly directory: string;
  readonly rotateBytes: number;
  readonly rotateEveryMs: number;
}

export interface NatsUpstreamConfig extends UpstreamBase, NatsUpstreamOwn {
  readonly kind: 'nats';
}

export type UpstreamConfig =
  | KafkaUpstreamConfig
  | FileUpstreamConfig
  | MqttUpstreamConfig
  | NatsUpstreamConfig;

/** Services that speak HTTP. */
export interface BridgeConfig {
  /** Each with its bearer token; none: loopback alone may come. */
  readonly clients: readonly { readonly device: string; readonly token: string }[];
}

export interface Config {
  readonly gateway: string;
  readonly mqtt: {
    readonly listeners: readonly Listener[];
    readonly sources: readonly MqttSourceConfig[];
  };
  readonly nats: { readonly sources: readonly NatsSourceConfig[] };
  readonly fleet: FleetConfig | null;
  readonly routes: readonly Route[];
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly buffer: {
    readonly path: string;
    readonly bytes: number;
    readonly ageMs: number;
    readonly whenFull: 'hold' | 'dropOldest';
    readonly commitEveryMs: number;
    readonly compression: 'none' | 'zstd';
  };
  readonly http: { readonly bind: Address; readonly bridge: BridgeConfig | null } | null;
  readonly log: { readonly level: 'debug' | 'info' | 'warn' | 'error' };
  readonly stopWithinMs: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** Steps from the top of the document: keys and list indices. */
export type KeyPath = readonly (string | number)[];

export interface Problem {
  /** The file's name as it was given, or where else the text came from. */
  readonly source: string;
  /** From 1. */
  readonly line: number;
  /** From 1. */
  readonly column: number;
  /** `routes[0].to.upstream`; empty for the whole document. */
  readonly key: string;
  readonly message: string;
  readonly remedy: string;
  readonly severity: 'error' | 'warning';
}

export interface Loaded {
  readonly config: Config;
  readonly warnings: readonly Problem[];
  /** As read, references not filled in: what may be kept as the last good config. */
  readonly text: string;
}
