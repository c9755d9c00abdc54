/**
 * The egress threads, seen from the main one: one for Kafka, one for all other upstreams, each
 * started only when the config uses it, each within its memory bound. It keeps the last state of
 * every lane, and passes the operator's pause and resume on.
 */
import { extname } from 'node:path';
import type { MessagePort } from 'node:worker_threads';
import { Worker } from 'node:worker_threads';
import { egressThreadOldGenerationMib, egressThreadYoungGenerationMib } from '../bounds.ts';
import type { LaneName, LaneSpec } from '../buffer/protocol.ts';
import type { Config } from '../config/types.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { EventName, Fields, Report } from '../events.ts';
import type { LaneStateTold } from './lane-states.ts';

/** A thread that does not stop within this is ended: its cursor is safe, a crash a normal stop. */
const stopThreadMs = 2_000;

type FromEgress =
  | { readonly kind: 'event'; readonly name: EventName; readonly fields: Fields }
  | ({ readonly kind: 'lane' } & LaneStateTold)
  | { readonly kind: 'stopped' };

export interface EgressParts {
  readonly config: Config;
  readonly lanes: readonly LaneSpec[];
  /** Upstreams that an operator paused before: they stay so. */
  readonly paused: ReadonlySet<string>;
  readonly connectBuffer: (lanes: readonly LaneName[]) => MessagePort;
  readonly report: Report;
  readonly changed: (states: readonly LaneStateTold[]) => void;
  readonly failed: (error: TidegateError) => void;
}

export class EgressThreads {
  readonly #parts: EgressParts;
  readonly #states = new Map<LaneName, LaneStateTold>();
  readonly #threads = new Map<Worker, Promise<void>>();
  readonly #paused = new Set<string>();
  #stopping = false;

  constructor(parts: EgressParts) {
    this.#parts = parts;
    const { config, lanes, paused } = parts;
    // Lanes of threads before these are not shown any more.
    parts.changed([]);
    const isKafka = (lane: LaneSpec): boolean => config.upstreams[lane.upstream]?.kind === 'kafka';
    this.#start(lanes.filter(isKafka));
    this.#start(lanes.filter((lane) => !isKafka(lane)));
    for (const upstream of paused) this.command('pause', upstream);
  }

  get paused(): ReadonlySet<string> {
    return this.#paused;
  }

  /** False: no such upstream. */
  command(kind: 'pause' | 'resume', upstream: string): boolean {
    if (this.#parts.config.upstreams[upstream] === undefined) return false;
    if (kind === 'pause') this.#paused.add(upstream);
    else this.#paused.delete(upstream);
    for (const thread of this.#threads.keys()) thread.postMessage({ kind, upstream });
    return true;
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([...this.#threads].map(([thread, exited]) => stopThread(thread, exited)));
  }

  #start(lanes: readonly LaneSpec[]): void {
    if (lanes.length === 0) return;
    const { config, connectBuffer } = this.#parts;
    const bufferPort = connectBuffer(lanes.map((lane) => lane.lane));
    const { gateway, upstreams } = config;
    const thread = new Worker(
      new URL(`../egress-thread${extname(import.meta.filename)}`, import.meta.url),
      {
        workerData: { bufferPath: config.buffer.path, bufferPort, lanes, upstreams, gateway },
        transferList: [bufferPort],
        resourceLimits: {
          maxYoungGenerationSizeMb: egressThreadYoungGenerationMib,
          maxOldGenerationSizeMb: egressThreadOldGenerationMib,
        },
      },
    );
    thread.on('message', (message: FromEgress) => this.#heard(message));
    thread.on('error', (error) => {
      this.#parts.failed(new TidegateError('internal', `egress thread: ${messageOf(error)}`));
    });
    const exited = new Promise<void>((resolve) => thread.once('exit', () => resolve()));
    thread.on('exit', (code) => {
      if (this.#stopping) return;
      this.#parts.failed(new TidegateError('internal', `egress thread ended with code ${code}`));
    });
    this.#threads.set(thread, exited);
  }

  #heard(message: FromEgress): void {
    if (message.kind === 'event') this.#parts.report(message.name, message.fields);
    if (message.kind !== 'lane') return;
    const { lane, state, since, retries, lastError } = message;
    this.#states.set(lane, { lane, state, since, retries, lastError });
    this.#parts.changed([...this.#states.values()]);
  }
}

async function stopThread(thread: Worker, exited: Promise<void>): Promise<void> {
  thread.postMessage({ kind: 'stop' });
  const timer = setTimeout(() => void thread.terminate(), stopThreadMs);
  await exited;
  clearTimeout(timer);
}
