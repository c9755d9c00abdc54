/**
 * One connection to the fleet's NATS for the length of a command. A failure says what it means
 * here: that the server is not there, or that this login may not do that.
 */
import type { KV, KvOptions } from 'nats';
import { messageOf, TidegateError } from '../errors.ts';
import type { NatsConnection } from '../nats-client.ts';
import type { FleetPlace } from './fleet-place.ts';

export class FleetLink {
  readonly #connection: NatsConnection;
  readonly #gone: AbortController;
  readonly #denials: string[];

  private constructor(connection: NatsConnection, gone: AbortController, denials: string[]) {
    this.#connection = connection;
    this.#gone = gone;
    this.#denials = denials;
  }

  /** @throws TidegateError fleetUnreachable, fleetUnauthorized, or one about TLS */
  static async open({ client }: FleetPlace): Promise<FleetLink> {
    const { connectNats } = await import('../nats-client.ts');
    const gone = new AbortController();
    const denials: string[] = [];
    const connection = await connectNats({
      client,
      ended: (error) => gone.abort(error),
      denied: (operation, subject) => denials.push(`${operation} ${subject}`),
    }).catch((error: unknown) => {
      throw hereOf(error);
    });
    return new FleetLink(connection, gone, denials);
  }

  get server(): string {
    return `nats://${this.#connection.server}`;
  }

  get maxPayloadBytes(): number {
    return this.#connection.maxPayloadBytes;
  }

  /** Aborted when the connection is gone. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** null: there is none of this name. @throws TidegateError */
  async bucket(name: string): Promise<KV | null> {
    return await this.ask(`bucket ${name}`, async () => {
      const kv = await this.#connection.bucket(name);
      try {
        await kv.status();
        return kv;
      } catch (error) {
        if (messageOf(error) === 'stream not found') return null;
        throw error;
      }
    });
  }

  /** Made where it is not there yet. @throws TidegateError */
  async makeBucket(name: string, options: Partial<KvOptions>): Promise<KV> {
    return await this.ask(`bucket ${name}`, () => this.#connection.bucket(name, options));
  }

  /** What fails in it is told as of this server. @throws TidegateError */
  async ask<T>(what: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw this.#asError(error, what);
    }
  }

  /** Why the connection is gone. */
  lost(): TidegateError {
    return hereOf(this.gone.reason);
  }

  #asError(error: unknown, what: string): TidegateError {
    if (error instanceof TidegateError) return error;
    if (this.gone.aborted) return this.lost();
    const denied = this.#denials.at(-1);
    const { code } = Object(error) as { code?: string };
    const where = `${this.server}: ${what}`;
    // A refused publish is told apart from its request, which then only times out.
    if (denied !== undefined) {
      const detail = `${where}: this login may not ${denied}`;
      return new TidegateError('fleetUnauthorized', detail, { cause: error });
    }
    const ours = code === '503' ? 'natsNoResponders' : 'natsTimeout';
    const known = code === '503' || code === 'TIMEOUT';
    const detail = `${where}: ${messageOf(error)}`;
    return new TidegateError(known ? ours : 'fleetUnreachable', detail, { cause: error });
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }
}

/** The remedies for an upstream speak of a running agent. */
function hereOf(error: unknown): TidegateError {
  const ours = error instanceof TidegateError ? error : null;
  const codes = {
    upstreamUnreachable: 'fleetUnreachable',
    upstreamUnauthorized: 'fleetUnauthorized',
  } as const;
  const code = codes[ours?.code as keyof typeof codes];
  if (ours !== null && code === undefined) return ours;
  return new TidegateError(code ?? 'fleetUnreachable', messageOf(error), { cause: error });
}
