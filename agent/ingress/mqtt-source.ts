/**
 * The source seat: one connection to an existing broker, kept up for as long as the agent runs.
 *
 *   connecting ──CONNACK, SUBACK──▶ subscribed ──ended──▶ waiting ──back-off──▶ connecting
 *        └──────────── any of them ──stop──▶ stopped
 *
 * The session at the broker is persistent: what is not acknowledged when we leave is sent again
 * when we come back. Topic Filters are subscribed at the first connection of a run (they may have
 * changed since), and whenever the broker had no session of ours, until a SUBACK says so; with
 * version 5 the retained messages of a filter that was there already do not come again (Retain
 * Handling 1).
 */
import { sourceBackoffCapMs, sourceBackoffFirstMs } from '../bounds.ts';
import type { MqttSourceConfig } from '../config/types.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import type { ConnectMqtt, MqttConnection } from '../mqtt-client.ts';
import type { ClientSession } from './sessions.ts';
import type { Path } from './source.ts';
import { SourceFilter } from './source-filter.ts';

const subscribeFailure = 0x80;

export type SourceState = 'connecting' | 'subscribed' | 'waiting' | 'stopped';

export interface SourceParts {
  readonly config: MqttSourceConfig;
  /** For people, and for what is kept of the session. */
  readonly name: string;
  readonly path: Path;
  readonly report: Report;
  readonly session: ClientSession;
  readonly connect: ConnectMqtt;
  readonly faultName: (fault: number) => string;
  /** What the core makes of `device:`, and the name it looks for. */
  readonly deviceRule: number;
  readonly deviceName: Uint8Array;
  readonly random: () => number;
}

export class MqttSource {
  readonly #parts: SourceParts;
  #state: SourceState = 'connecting';
  #connection: MqttConnection | null = null;
  #filter: SourceFilter | null = null;
  #timer: NodeJS.Timeout | undefined;
  #attempt = 0;
  #subscribed = false;
  lastError: string | null = null;

  constructor(parts: SourceParts) {
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.name;
  }
  get state(): SourceState {
    return this.#state;
  }
  /** A route holds it, or the disk does. */
  get held(): boolean {
    return this.#filter?.held === true;
  }

  /** Never waits for the broker (promise 5). */
  start(): void {
    if (this.#state !== 'stopped') void this.#connect();
  }

  async #connect(): Promise<void> {
    this.#state = 'connecting';
    const { config, connect, report, name } = this.#parts;
    try {
      const connection = await connect({
        client: config,
        cleanStart: false,
        sessionExpiryMs: config.sessionExpiryMs,
        receiveMaximum: config.receiveMaximum,
        maximumPacketBytes: config.maxPacketSize,
        stream: (socket) => {
          this.#filter = this.#filterOf(socket);
          return this.#filter;
        },
        ended: (error) => this.#lost(error),
      });
      this.#connection = connection;
      if (this.#isStopped()) return await connection.close();
      if (!connection.server.sessionPresent) this.#subscribed = false;
      if (!this.#subscribed) await this.#subscribe(connection);
      if (this.#isStopped() || this.#connection !== connection) return;
      this.#state = 'subscribed';
      this.#attempt = 0;
      this.lastError = null;
      report('sourceSubscribed', { source: name, resumed: connection.server.sessionPresent });
    } catch (error) {
      this.#connection?.destroy();
      this.#lost(error);
    }
  }

  /** Asked after an await: it may have come to that meanwhile. */
  #isStopped(): boolean {
    return this.#state === 'stopped';
  }

  async #subscribe(connection: MqttConnection): Promise<void> {
    const { subscribe, qos } = this.#parts.config;
    const options = { qos, retainAsPublished: true, retainHandling: 1 } as const;
    const granted = await connection.subscribe(subscribe, options);
    const refused = subscribe.filter((_, index) => (granted[index] ?? 0) >= subscribeFailure);
    if (refused.length > 0) throw new Error(`the broker refuses to subscribe ${refused.join(' ')}`);
    this.#subscribed = true;
  }

  #filterOf(socket: ConstructorParameters<typeof SourceFilter>[0]): SourceFilter {
    const { config, path, report, session, faultName, deviceRule, deviceName, name } = this.#parts;
    return new SourceFilter(socket, {
      ...{ path, report, session, faultName, deviceRule },
      version: config.version,
      name: deviceName,
      maxPacketBytes: config.maxPacketSize,
      keepAliveMs: config.keepAliveMs,
      broker: name,
      said: () => this.#connection?.alive(),
    });
  }

  #lost(error: unknown): void {
    this.#connection = null;
    if (this.#state === 'stopped' || this.#state === 'waiting') return;
    this.#state = 'waiting';
    this.lastError = messageOf(error);
    const most = Math.min(sourceBackoffCapMs, sourceBackoffFirstMs * 2 ** this.#attempt);
    this.#attempt += 1;
    const delayMs = Math.ceil(most * this.#parts.random());
    const remedy = error instanceof TidegateError ? error.remedy : undefined;
    const told = { source: this.name, error: this.lastError, remedy, delayMs };
    this.#parts.report('sourceRetrying', told);
    this.#timer = setTimeout(() => void this.#connect(), delayMs);
  }

  /** Takes nothing more; what was taken is still committed and acknowledged until `close`. */
  stop(): void {
    this.#state = 'stopped';
    clearTimeout(this.#timer);
    this.#filter?.stopReading();
  }

  /** DISCONNECT; the session stays at the broker. */
  async close(): Promise<void> {
    await this.#connection?.close();
  }
}
