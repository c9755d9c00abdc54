/**
 * Files as an upstream: records become JSON lines, and are confirmed when they are synced.
 *
 *   submit ▶ lines ▶ group (one write and one sync at a time) ▶ confirmed
 *
 * While a group is on its way to the disk the next one gathers. A group that failed is written
 * again at the same place. Disk full is waited for; a missing right halts the lane.
 */
import { messageOf, TidegateError } from '../errors.ts';
import { Backoff, type Random } from './backoff.ts';
import { jsonLine } from './file-line.ts';
import { FileLog, type FileLogOptions } from './file-log.ts';
import type { EgressRecord } from './record.ts';
import type { Upstream, UpstreamSink } from './upstream.ts';

export interface FileParts {
  readonly sink: UpstreamSink;
  readonly random: Random;
  readonly once: boolean;
}

/** Lines of one write and one sync. */
const groupBytes = 1024 * 1024;
const deniedCodes = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOTDIR', 'EISDIR']);

interface Group {
  readonly lines: Buffer;
  readonly records: readonly EgressRecord[];
}

type Mode = 'idle' | 'writing' | 'paused';

export class FileUpstream implements Upstream {
  readonly #log: FileLog;
  readonly #parts: FileParts;
  readonly #backoff: Backoff;
  #records: EgressRecord[] = [];
  #group: Group | null = null;
  #mode: Mode = 'idle';
  #running: Promise<void> | null = null;
  #era = 0;
  #wake: (() => void) | null = null;

  constructor(options: FileLogOptions, parts: FileParts) {
    this.#log = new FileLog(options);
    this.#parts = parts;
    this.#backoff = new Backoff(parts.random);
  }

  get pending(): number {
    return this.#records.length + this.inFlight;
  }

  get inFlight(): number {
    return this.#group?.records.length ?? 0;
  }

  async connect(): Promise<void> {
    try {
      await this.#log.open();
    } catch (error) {
      throw this.#asError(error);
    }
    this.#mode = 'writing';
    this.flush();
  }

  submit(record: EgressRecord): void {
    this.#records.push(record);
  }

  flush(): void {
    if (this.#mode !== 'writing' || this.#running !== null) return;
    this.#running = this.#run().finally(() => {
      this.#running = null;
      // What came while the last group was being told.
      if (this.#records.length > 0) this.flush();
    });
  }

  pause(): void {
    this.#mode = 'paused';
    this.#wake?.();
  }

  resume(): void {
    if (this.#mode === 'paused') this.#mode = 'idle';
  }

  async abandon(): Promise<void> {
    this.#era += 1;
    this.#mode = 'idle';
    this.#records = [];
    this.#wake?.();
    await this.#running;
    this.#group = null;
  }

  async close(): Promise<void> {
    this.#mode = 'idle';
    this.#wake?.();
    await this.#running;
    await this.#log.close();
  }

  async #run(): Promise<void> {
    const era = this.#era;
    while (this.#mode === 'writing' && era === this.#era) {
      const group = this.#group ?? this.#gather();
      if (group === null) return;
      this.#group = group;
      try {
        await this.#log.append(group.lines);
      } catch (error) {
        await this.#failed(group, this.#asError(error));
        continue;
      }
      this.#backoff.succeeded();
      this.#group = null;
      this.#confirm(group);
    }
  }

  #gather(): Group | null {
    if (this.#records.length === 0) return null;
    const lines: string[] = [];
    let bytes = 0;
    let count = 0;
    for (; count < this.#records.length && bytes < groupBytes; count++) {
      const line = jsonLine(this.#records[count] as EgressRecord);
      lines.push(line);
      bytes += line.length;
    }
    return { lines: Buffer.from(lines.join('')), records: this.#records.splice(0, count) };
  }

  #confirm(group: Group): void {
    for (const { segment, frame } of group.records) this.#parts.sink.confirmed(segment, frame);
    this.#parts.sink.progress();
  }

  async #failed(group: Group, error: TidegateError): Promise<void> {
    if (this.#parts.once) {
      this.#group = null;
      this.#mode = 'idle';
      this.#parts.sink.lost(group.records.length + this.#records.length, error);
      this.#records = [];
      return;
    }
    if (error.class === 'halt') {
      this.#mode = 'paused';
      this.#parts.sink.halted(error);
      return;
    }
    const delayMs = this.#backoff.failed();
    this.#parts.sink.retrying(error, this.#backoff.attempts, delayMs);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = null;
  }

  #asError(error: unknown): TidegateError {
    const detail = `${this.#log.path}: ${messageOf(error)}`;
    const code = String((error as { code?: unknown }).code);
    const denied = deniedCodes.has(code);
    return new TidegateError(denied ? 'upstreamUnauthorized' : 'upstreamUnreachable', detail, {
      cause: error,
    });
  }
}
