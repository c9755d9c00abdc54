/**
 * A connection to NATS that is kept up for as long as somebody wants it: the back-off between
 * attempts, and who is told.
 *
 *   connecting ──accepted──▶ up ──ended──▶ waiting ──back-off, full jitter──▶ connecting
 *        └───────refused──────────────────▶ waiting
 *   any of them ──close──▶ closed
 *
 * What a refusal says it takes hands to mend is tried again all the same: the hands are most likely
 * at the server. Never waits for a server at start (promise 5).
 */
import { sourceBackoffCapMs, sourceBackoffFirstMs } from './bounds.ts';
import type { NatsClientConfig, NatsUrl } from './config/types-nats.ts';
import { messageOf, TidegateError } from './errors.ts';
import type { ConnectNats, NatsConnection } from './nats-client.ts';

export interface NatsLinkParts {
  readonly client: NatsClientConfig;
  readonly connect: ConnectNats;
  readonly random: () => number;
  /** A server accepted us. What it throws ends the connection, which is tried again. */
  readonly up: (connection: NatsConnection) => Promise<void> | void;
  /** The connection is gone, or was not to be had; tried again after `delayMs`. */
  readonly down: (error: TidegateError, delayMs: number) => void;
  readonly denied?: (operation: string, subject: string) => void;
}

export type NatsLinkState = 'connecting' | 'up' | 'waiting' | 'closed';

export class NatsLink {
  readonly #parts: NatsLinkParts;
  #state: NatsLinkState = 'connecting';
  #connection: NatsConnection | null = null;
  #timer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #known: readonly NatsUrl[] = [];
  lastError: string | null = null;

  constructor(parts: NatsLinkParts) {
    this.#parts = parts;
  }

  get state(): NatsLinkState {
    return this.#state;
  }

  /** null while there is none; also that of one whose `up` is not done. */
  get connection(): NatsConnection | null {
    return this.#connection;
  }

  open(): void {
    if (this.#state !== 'closed') void this.#connect();
  }

  async #connect(): Promise<void> {
    this.#state = 'connecting';
    const { client, connect, denied, up } = this.#parts;
    try {
      const connection = await connect({
        client,
        known: this.#known,
        ended: (error) => this.#lost(error),
        ...(denied === undefined ? {} : { denied }),
      });
      this.#connection = connection;
      if (this.#isClosed()) return connection.destroy();
      this.#known = connection.learnt;
      await up(connection);
      if (this.#isClosed() || this.#connection !== connection) return;
      this.#state = 'up';
      this.#attempt = 0;
      this.lastError = null;
    } catch (error) {
      this.#connection?.destroy();
      this.#lost(error);
    }
  }

  /** Asked after an await: it may have come to that meanwhile. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #lost(error: unknown): void {
    this.#connection = null;
    if (this.#state === 'closed' || this.#state === 'waiting') return;
    this.#state = 'waiting';
    this.lastError = messageOf(error);
    const most = Math.min(sourceBackoffCapMs, sourceBackoffFirstMs * 2 ** this.#attempt);
    this.#attempt += 1;
    const delayMs = Math.ceil(most * this.#parts.random());
    const ours = error instanceof TidegateError ? error : null;
    this.#parts.down(ours ?? new TidegateError('internal', messageOf(error)), delayMs);
    this.#timer = setTimeout(() => void this.#connect(), delayMs);
  }

  /** What came over the connection is no good: another one is made after the back-off. */
  fail(error: TidegateError): void {
    this.#connection?.destroy();
    this.#lost(error);
  }

  /** No further attempt; the connection stays until `close`. */
  stop(): void {
    this.#state = 'closed';
    clearTimeout(this.#timer);
  }

  async close(): Promise<void> {
    this.stop();
    const connection = this.#connection;
    this.#connection = null;
    await connection?.close();
  }
}
