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
    let ours: NatsConnection | null = null;
    let gone: TidegateError | null = null;
    // A connection that another one has replaced says nothing about that one.
    const isOurs = (): boolean => ours !== null && this.#connection === ours;
    try {
      ours = await connect({
        client,
        known: this.#known,
        ended: (error) => {
          gone = error;
          if (isOurs()) this.#lost(error);
        },
        denied: (operation, subject) => {
          if (isOurs()) denied?.(operation, subject);
        },
      });
      if (this.#isClosed()) return ours.destroy();
      if (gone !== null) throw gone;
      this.#connection = ours;
      this.#known = ours.learnt;
      await up(ours);
      if (this.#isClosed() || !isOurs()) return;
      this.#state = 'up';
      this.#attempt = 0;
      this.lastError = null;
    } catch (error) {
      ours?.destroy();
      if (ours === null || gone === error || isOurs()) this.#lost(error);
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

  /** What came over the connection is no good: another is made after the back-off, once. */
  fail(error: TidegateError): void {
    if (this.#connection === null) return;
    this.#connection.destroy();
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
