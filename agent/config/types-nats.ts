/**
 * Shapes of the config that speak of NATS: who we are to a server, the seats that listen there, the
 * upstream, and the fleet whose config comes over it. Types only, as in types.ts, with its units.
 */
import type { Address, ClientTls } from './types.ts';

export interface NatsUrl extends Address {
  readonly tls: boolean;
}

/** Who we are to a NATS server. Files (nkey, creds, tls) are read at each connect. */
export interface NatsClientConfig {
  /** Tried in a random order; those that the cluster tells of come after them. */
  readonly servers: readonly NatsUrl[];
  /** The name that the server shows of us. */
  readonly name: string;
  readonly username: string | null;
  readonly password: string | null;
  readonly token: string | null;
  /** Path of a file with an nkey seed. */
  readonly nkey: string | null;
  /** Path of a .creds file (JWT and seed). */
  readonly creds: string | null;
  readonly tls: ClientTls;
}

interface NatsSourceBase extends NatsClientConfig {
  /** `{topic}`, `{1}` … or `header:NAME`. */
  readonly device: string;
  readonly maxMessageSize: number;
}

/** Subjects of core NATS. */
export interface NatsCoreSourceConfig extends NatsSourceBase {
  readonly kind: 'core';
  readonly subjects: readonly string[];
  readonly queue: string | null;
}

/** A durable pull consumer of a JetStream stream. */
export interface NatsStreamSourceConfig extends NatsSourceBase {
  readonly kind: 'stream';
  readonly stream: string;
  /** Filters of a consumer that we create; empty: the whole stream. */
  readonly subjects: readonly string[];
  readonly durable: string;
  /** `auto`: all at once where that is safe. */
  readonly acks: 'auto' | 'explicit';
  /** Where a consumer that we create begins. */
  readonly from: 'oldest' | 'latest';
}

export type NatsSourceConfig = NatsCoreSourceConfig | NatsStreamSourceConfig;

/** Own keys of a NATS upstream. */
export interface NatsUpstreamOwn extends NatsClientConfig {
  /** false: core NATS, where nothing confirms. */
  readonly jetstream: boolean;
  readonly inFlight: number;
}

export interface FleetConfig extends NatsClientConfig {
  /** Public nkeys whose signature counts. */
  readonly trust: readonly string[];
  /** From wide to narrow. */
  readonly groups: readonly string[];
  readonly bucket: string;
  readonly statusBucket: string;
  readonly confirmWithinMs: number;
  readonly reportEveryMs: number;
  readonly revertWhen: {
    /** Error events within `confirmWithin`, beyond what came before the apply. */
    readonly errors: number;
    /** Bytes the backlog grew since the apply. */
    readonly backlogBytes: number;
  };
}
