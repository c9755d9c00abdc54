/**
 * The shapes that leave this room: the normalised config (every unit parsed, every default filled
 * in) and the problems that `check` names. Types only, so that any room may import them.
 *
 * Units: `…Bytes` and `bytes` are bytes, `…Ms` milliseconds, `…PerSecond` per second. 0 means "no
 * limit" in a rate, Infinity "no bound" in an age.
 */
import type { Delivery } from '../buffer/protocol.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface Listener {
  readonly bind: Address;
  readonly broker: 'embedded';
  readonly maxPacketSize: number;
  readonly insecure: boolean;
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
}

export interface FileUpstreamConfig extends UpstreamBase {
  readonly kind: 'file';
  readonly directory: string;
  readonly rotateBytes: number;
  readonly rotateEveryMs: number;
}

export type UpstreamConfig = KafkaUpstreamConfig | FileUpstreamConfig;

export interface Config {
  readonly gateway: string;
  readonly mqtt: { readonly listeners: readonly Listener[] };
  readonly routes: readonly Route[];
  readonly upstreams: Readonly<Record<string, UpstreamConfig>>;
  readonly buffer: {
    readonly path: string;
    readonly bytes: number;
    readonly ageMs: number;
    readonly whenFull: 'hold' | 'dropOldest';
    readonly commitEveryMs: number;
  };
  readonly http: { readonly bind: Address } | null;
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
