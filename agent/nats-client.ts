/**
 * Connections to NATS servers, for every seat that is a client of one: sources, upstreams, the
 * fleet. The only file that imports the library, and loaded only where the config has such a seat.
 *
 *   connectNats ▶ servers in turn (tcp, tls) ▶ INFO, CONNECT, PONG ▶ connection ▶ ended
 *
 * A connection is one network connection: it is made once, resolves when a server accepted it, and
 * tells once that it ended. The library's own reconnecting is off: it would keep what was published
 * and send it again unasked, and how long to wait, and what to do again, is the seat's to say
 * (nats-link.ts for those that only want to be up). Files of keys and certificates are read at each
 * connect, so that a renewed one is taken.
 */
import { readFileSync } from 'node:fs';
import {
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  Events,
  type JetStreamManager,
  type KV,
  type KvOptions,
  type NatsConnection as Library,
  type Msg,
  type MsgHdrs,
  NatsError,
  nkeyAuthenticator,
  nkeys,
} from 'nats';
import {
  natsConnectWithinMs,
  natsLeaveWithinMs,
  natsPingEveryMs,
  natsRequestWithinMs,
} from './bounds.ts';
import type { Address } from './config/types.ts';
import type { NatsClientConfig, NatsUrl } from './config/types-nats.ts';
import { type ErrorCode, messageOf, TidegateError } from './errors.ts';
import { clientTlsOptions, tlsFault } from './tls.ts';

/** A message as the library has it: `subject`, `data`, `headers`, `reply`. */
export interface NatsMessage extends Msg {
  /** Bytes of subject, reply, headers and data together; not in the library's types. */
  size(): number;
}

export interface NatsConnectOptions {
  readonly client: NatsClientConfig;
  /** Servers learnt before, tried after the configured ones. */
  readonly known?: readonly NatsUrl[];
  readonly withinMs?: number;
  /** Once, after a server accepted: the connection is gone and nobody here asked for it. */
  readonly ended: (error: TidegateError) => void;
  /** The server refuses a subject: publishing, or subscribing, there does nothing. */
  readonly denied?: (operation: string, subject: string) => void;
}

export interface NatsSubscription {
  unsubscribe(): void;
  /** Resolves when what was on its way has come, and nothing more will. */
  drain(): Promise<void>;
}

export interface NatsConnection {
  /** host:port of the server that took us. */
  readonly server: string;
  /** Largest message, headers included. */
  readonly maxPayloadBytes: number;
  /** Other servers of its cluster, for `known`. */
  readonly learnt: readonly NatsUrl[];
  publish(subject: string, payload: Uint8Array, more?: PublishMore): void;
  /** Resolves when the server has read all that was published before. */
  flush(): Promise<void>;
  subscribe(
    subject: string,
    queue: string | null,
    heard: (message: NatsMessage) => void,
  ): NatsSubscription;
  manager(): Promise<JetStreamManager>;
  /** A bucket that exists, or with options is made. */
  bucket(name: string, options?: Partial<KvOptions>): Promise<KV>;
  /** A fresh inbox of ours. */
  inbox(): string;
  /** What was published is sent, then it closes. */
  close(): Promise<void>;
  /** At once. */
  destroy(): void;
}

export interface PublishMore {
  readonly headers?: MsgHdrs;
  readonly reply?: string;
}

export type ConnectNats = (options: NatsConnectOptions) => Promise<NatsConnection>;

/** By the library's code of it. Not named: the server may take us later (upstreamUnreachable). */
const refusals: Readonly<Record<string, ErrorCode>> = {
  AUTHORIZATION_VIOLATION: 'upstreamUnauthorized',
  AUTHENTICATION_EXPIRED: 'upstreamUnauthorized',
  AUTHENTICATION_TIMEOUT: 'upstreamUnreachable',
  ACCOUNT_EXPIRED: 'upstreamUnauthorized',
  BAD_AUTHENTICATION: 'upstreamUnauthorized',
  BAD_CREDS: 'upstreamUnauthorized',
};

/** @throws TidegateError classed: what a retry cannot mend halts */
export async function connectNats(options: NatsConnectOptions): Promise<NatsConnection> {
  const { client, known = [] } = options;
  let last: TidegateError | null = null;
  for (const server of [...shuffled(client.servers), ...shuffled(known)]) {
    try {
      const library = await connect(libraryOptions(options, server));
      return new Link(library, options, server);
    } catch (error) {
      const ours = asError(error, server);
      // The one that wants hands is the one to tell.
      if (last === null || last.class === 'retry') last = ours;
    }
  }
  throw last ?? new TidegateError('internal', 'no NATS server is named');
}

/** Header lines that are bytes already, from `NATS/1.0` to the empty line. */
export function sealedHeaders(bytes: Uint8Array): MsgHdrs {
  // Of what it sends the library asks nothing else.
  return { encode: () => bytes } as unknown as MsgHdrs;
}

function shuffled<T>(list: readonly T[]): T[] {
  return list
    .map((value) => ({ value, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ value }) => value);
}

function libraryOptions(options: NatsConnectOptions, server: NatsUrl): ConnectionOptions {
  const { client, withinMs = natsConnectWithinMs } = options;
  return {
    servers: showAddress(server),
    name: client.name,
    reconnect: false,
    ignoreClusterUpdates: true,
    timeout: withinMs,
    pingInterval: natsPingEveryMs,
    noAsyncTraces: true,
    // It hands them to Node as they are: who checks the name is ours to say.
    tls: server.tls ? (clientTlsOptions(client.tls, server.host) as object) : null,
    ...login(client),
  };
}

/** @throws TidegateError natsKeyUnreadable */
function login(client: NatsClientConfig): ConnectionOptions {
  const { username, password, token, nkey, creds } = client;
  if (creds !== null) return { authenticator: credsAuthenticator(readKey('creds', creds)) };
  if (nkey !== null) {
    const seed = readKey('nkey', nkey).toString('latin1').trim();
    return { authenticator: nkeyAuthenticator(Buffer.from(seed)) };
  }
  if (token !== null) return { token };
  if (username !== null) return { user: username, pass: password ?? '' };
  return {};
}

function readKey(key: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new TidegateError('natsKeyUnreadable', `${key}: ${messageOf(error)}`, { cause: error });
  }
}

class Link implements NatsConnection {
  readonly #library: Library;
  readonly #where: string;
  readonly learnt: readonly NatsUrl[];
  readonly server: string;
  readonly #closed: Promise<unknown>;
  #closing = false;
  /** What was heard and could not be taken: nothing more is read of this connection. */
  #fault: unknown = null;

  constructor(library: Library, options: NatsConnectOptions, server: NatsUrl) {
    this.#library = library;
    this.server = showAddress(server);
    this.#where = `nats://${this.server}`;
    this.learnt = learntFrom(library.info?.connect_urls ?? [], server.tls);
    this.#closed = library.closed();
    void library.closed().then((error) => {
      if (this.#closing) return;
      const cause = this.#fault ?? error ?? new Error('connection closed');
      options.ended(asError(cause, server));
    });
    void this.#listen(options);
  }

  async #listen({ denied }: NatsConnectOptions): Promise<void> {
    for await (const status of this.#library.status()) {
      if (status.type !== Events.Error) continue;
      const { operation, subject } = status.permissionContext ?? {};
      if (operation !== undefined) denied?.(operation, subject ?? '');
    }
  }

  get maxPayloadBytes(): number {
    return this.#library.info?.max_payload ?? 0;
  }

  publish(subject: string, payload: Uint8Array, more: PublishMore = {}): void {
    // On a connection that has ended there is nobody to tell but `ended`.
    if (!this.#library.isClosed()) this.#library.publish(subject, payload, more);
  }

  async flush(): Promise<void> {
    if (await this.#isEnded(this.#library.flush())) {
      throw new TidegateError('upstreamUnreachable', `${this.#where}: connection closed`);
    }
  }

  /** The library never settles what waits for a PONG when the connection ends. */
  async #isEnded(work: Promise<unknown>): Promise<boolean> {
    return await Promise.race([work.then(() => false), this.#closed.then(() => true)]);
  }

  /** The same for those who leave: a server that is silent does not keep them. */
  async #lastly(work: Promise<unknown>): Promise<void> {
    const late = Promise.withResolvers<boolean>();
    const timer = setTimeout(() => late.resolve(true), natsLeaveWithinMs);
    await Promise.race([this.#isEnded(work), late.promise]).catch(() => undefined);
    clearTimeout(timer);
  }

  subscribe(
    subject: string,
    queue: string | null,
    heard: (message: NatsMessage) => void,
  ): NatsSubscription {
    const subscription = this.#library.subscribe(subject, {
      ...(queue === null ? {} : { queue }),
      callback: (error, message) => {
        // An error here is a refused subject: `denied` has told it.
        if (error === null) this.#hear(message as NatsMessage, heard);
      },
    });
    return {
      unsubscribe: () => subscription.unsubscribe(),
      drain: () => this.#lastly(subscription.drain()),
    };
  }

  /** What is thrown here would end the library's reading in silence. */
  #hear(message: NatsMessage, heard: (message: NatsMessage) => void): void {
    try {
      heard(message);
    } catch (error) {
      this.#fault ??= error;
      void this.#library.close();
    }
  }

  async manager(): Promise<JetStreamManager> {
    return await this.#library.jetstreamManager({ timeout: natsRequestWithinMs });
  }

  async bucket(name: string, options?: Partial<KvOptions>): Promise<KV> {
    const { views } = this.#library.jetstream({ timeout: natsRequestWithinMs });
    return await views.kv(name, options ?? { bindOnly: true });
  }

  inbox(): string {
    return `_INBOX.${crypto.randomUUID().replaceAll('-', '')}`;
  }

  async close(): Promise<void> {
    this.#closing = true;
    if (this.#library.isClosed()) return;
    await this.#lastly(this.#library.flush());
    await this.#library.close();
  }

  destroy(): void {
    this.#closing = true;
    void this.#library.close();
  }
}

/** `[host:port]` of INFO; the scheme is that of the server that told. */
function learntFrom(urls: readonly string[], tls: boolean): NatsUrl[] {
  return urls.flatMap((url) => {
    const match = /^\[?([^[\]]+)\]?:(\d+)$/.exec(url);
    return match === null ? [] : [{ host: match[1] as string, port: Number(match[2]), tls }];
  });
}

function showAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

function asError(error: unknown, server: NatsUrl): TidegateError {
  if (error instanceof TidegateError) return error;
  const where = `${server.tls ? 'tls' : 'nats'}://${showAddress(server)}`;
  const fault = server.tls ? tlsFault(chained(error), where) : null;
  if (fault !== null) return fault;
  const code = error instanceof NatsError ? refusals[error.code] : undefined;
  const detail = `${where}: ${messageOf(chained(error)) || 'connection closed'}`;
  return new TidegateError(code ?? 'upstreamUnreachable', detail, { cause: error });
}

/** The library keeps what it was caused by under a name of its own. */
function chained(error: unknown): unknown {
  return error instanceof NatsError && error.chainedError ? error.chainedError : error;
}

/** Ed25519 as NATS writes it (nkeys): a public key is 56 characters of base32, a seed 58. */
export interface Nkey {
  readonly publicKey: string;
  /** Of those made here or from a seed. */
  readonly seed: string | null;
  sign(bytes: Uint8Array): Uint8Array;
  verify(bytes: Uint8Array, signature: Uint8Array): boolean;
}

/** A new one, of the kind "user". */
export function createNkey(): Nkey {
  return nkeyOf(nkeys.createUser(), true);
}

/** @throws TidegateError natsKeyInvalid */
export function nkeyFromSeed(seed: string): Nkey {
  try {
    return nkeyOf(nkeys.fromSeed(Buffer.from(seed.trim())), true);
  } catch (error) {
    throw new TidegateError('natsKeyInvalid', 'this is not an nkey seed', { cause: error });
  }
}

/** Verifies only. @throws TidegateError natsKeyInvalid */
export function nkeyFromPublic(publicKey: string): Nkey {
  try {
    return nkeyOf(nkeys.fromPublic(publicKey), false);
  } catch (error) {
    const detail = `${publicKey} is not a public nkey`;
    throw new TidegateError('natsKeyInvalid', detail, { cause: error });
  }
}

function nkeyOf(pair: ReturnType<typeof nkeys.createUser>, hasSeed: boolean): Nkey {
  return {
    publicKey: pair.getPublicKey(),
    seed: hasSeed ? Buffer.from(pair.getSeed()).toString('latin1') : null,
    sign: (bytes) => pair.sign(bytes),
    verify: (bytes, signature) => pair.verify(bytes, signature),
  };
}
