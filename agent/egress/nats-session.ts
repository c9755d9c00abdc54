/**
 * One connection of a NATS upstream and its inbox: a PubAck comes to `<inbox>.<token>`, so that one
 * subscription serves all messages.
 *
 *   open ──connect, SUB <inbox>.*──▶ Online ──ended──▶ (the upstream opens the next)
 *
 * Servers that the cluster told of are remembered for the next connect.
 */
import type { NatsUpstreamConfig } from '../config/types.ts';
import type { NatsUrl } from '../config/types-nats.ts';
import type { TidegateError } from '../errors.ts';
import type { ConnectNats, NatsConnection, NatsMessage } from '../nats-client.ts';

export interface Online {
  readonly connection: NatsConnection;
  readonly inbox: string;
  readonly sinceMs: number;
}

export interface SessionParts {
  readonly connect: ConnectNats;
  /** Before anything else can happen to it. */
  readonly opened: (online: Online) => void;
  readonly answered: (token: number, message: NatsMessage) => void;
  /** The server will not let us publish there, or have an inbox. */
  readonly denied: (operation: string, subject: string) => void;
  readonly ended: (online: Online, error: TidegateError) => void;
}

const tokenRadix = 36;

export function replyOf({ inbox }: Online, token: number): string {
  return `${inbox}.${token.toString(tokenRadix)}`;
}

export class NatsSession {
  readonly #config: NatsUpstreamConfig;
  readonly #parts: SessionParts;
  #known: readonly NatsUrl[] = [];

  constructor(config: NatsUpstreamConfig, parts: SessionParts) {
    this.#config = config;
    this.#parts = parts;
  }

  /** @throws TidegateError */
  async open(): Promise<Online> {
    let online: Online | null = null;
    let dead: TidegateError | null = null;
    const connection = await this.#parts.connect({
      client: this.#config,
      known: this.#known,
      ended: (error) => {
        dead = error;
        if (online !== null) this.#parts.ended(online, error);
      },
      denied: (operation, subject) => this.#parts.denied(operation, subject),
    });
    this.#known = connection.learnt;
    const inbox = connection.inbox();
    if (dead === null && this.#config.jetstream) this.#listen(connection, inbox);
    if (dead !== null) throw dead;
    online = { connection, inbox, sinceMs: performance.now() };
    this.#parts.opened(online);
    return online;
  }

  #listen(connection: NatsConnection, inbox: string): void {
    const start = inbox.length + 1;
    connection.subscribe(`${inbox}.*`, null, (message) => {
      this.#parts.answered(Number.parseInt(message.subject.slice(start), tokenRadix), message);
    });
  }
}

/** @returns whether a PONG came in time, and all that the server said before it was heard */
export async function pong({ connection }: Online, withinMs: number): Promise<boolean> {
  const late = Promise.withResolvers<boolean>();
  // A connection that ends meanwhile answers nothing: then nobody is kept waiting.
  const timer = setTimeout(() => late.resolve(false), withinMs).unref();
  const heard = connection.flush().then(
    () => new Promise<boolean>((done) => setImmediate(() => done(true))),
    () => false,
  );
  try {
    return await Promise.race([heard, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
