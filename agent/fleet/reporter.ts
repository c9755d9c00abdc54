/**
 * This gateway's reports in the status bucket: one every `reportEvery`, spread so that a fleet does
 * not speak in chorus, and one soon after a change of state.
 *
 *   idle ──time, or a change──▶ gathering ──▶ sending ──▶ idle
 *   without a connection nothing is kept: the next one begins with a report of how it is then
 */
import { fleetReportGatherMs, fleetReportSpread, reportsMissed } from '../bounds.ts';
import { messageOf } from '../errors.ts';
import type { Report } from '../events.ts';
import type { NatsConnection } from '../nats-client.ts';
import type { GatewayReport } from './report.ts';

type Kv = Awaited<ReturnType<NatsConnection['bucket']>>;

export interface ReporterParts {
  readonly bucket: string;
  readonly everyMs: number;
  readonly random: () => number;
  readonly report: Report;
  readonly compose: () => GatewayReport;
}

export class Reporter {
  readonly #parts: ReporterParts;
  #connection: NatsConnection | null = null;
  #kv: Kv | null = null;
  #state: 'idle' | 'gathering' | 'sending' | 'closed' = 'idle';
  #again = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
  }

  connected(connection: NatsConnection): void {
    this.#connection = connection;
    this.#kv = null;
    this.soon();
  }

  disconnected(): void {
    this.#connection = null;
    clearTimeout(this.#timer);
    if (this.#state === 'gathering') this.#state = 'idle';
  }

  /** Something changed. */
  soon(): void {
    if (this.#state === 'sending') this.#again = true;
    if (this.#state === 'idle' && this.#connection !== null) {
      this.#state = 'gathering';
      this.#after(fleetReportGatherMs);
    }
  }

  close(): void {
    this.#state = 'closed';
    clearTimeout(this.#timer);
  }

  #after(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#send(), ms);
  }

  async #send(): Promise<void> {
    const connection = this.#connection;
    if (connection === null || this.#state === 'closed') return;
    this.#state = 'sending';
    try {
      this.#kv ??= await this.#bucket(connection);
      const report = this.#parts.compose();
      await this.#kv.put(report.gateway, Buffer.from(JSON.stringify(report)));
    } catch (error) {
      this.#kv = null;
      const lost = this.#connection !== connection;
      if (!lost) this.#parts.report('fleetReportFailed', { reason: messageOf(error) });
    }
    if (this.#isClosed()) return;
    this.#state = 'idle';
    if (this.#connection === null) return;
    const { everyMs, random } = this.#parts;
    this.#after(everyMs * (1 + fleetReportSpread * (2 * random() - 1)));
    if (this.#again) this.soon();
    this.#again = false;
  }

  /** Asked after an await: it may have come to that meanwhile. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  /** Made where it is missing and that is allowed. */
  async #bucket(connection: NatsConnection): Promise<Kv> {
    const { bucket, everyMs } = this.#parts;
    try {
      return await connection.bucket(bucket, { history: 1, ttl: everyMs * reportsMissed });
    } catch {
      return await connection.bucket(bucket);
    }
  }
}
