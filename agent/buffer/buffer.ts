/**
 * The buffer as the main thread holds it: starts the buffer thread and speaks its messages. Imports
 * no SQLite. Bodies are transferred, not copied: after `append` the caller's ArrayBuffer is empty.
 */
import { extname } from 'node:path';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { bufferThreadOldGenerationMib, threadYoungGenerationMib } from '../bounds.ts';
import { type ErrorCode, messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import type {
  Batch,
  BufferGauges,
  BufferOptions,
  BufferStart,
  BufferStat,
  DeadSelection,
  FromBuffer,
  LaneName,
  LaneSpec,
  ReplayRequest,
  RouteDefinition,
  TakenLetters,
  ToBuffer,
} from './protocol.ts';

export type Opened = Extract<FromBuffer, { kind: 'opened' }>;
export type Committed = Extract<FromBuffer, { kind: 'committed' }>;

/** What the thread says because it was asked. */
type Answer = Extract<FromBuffer, { id: number }>;

export interface BufferPort {
  readonly opened: Opened;
  /** Takes the body: its ArrayBuffer is transferred. Answered by `onCommitted`, in order. */
  append(batch: Batch): void;
  onCommitted(callback: (committed: Committed) => void): void;
  /** Called once: nothing is committed any more. */
  onFailed(callback: (error: TidegateError) => void): void;
  /** The egress side's port, to be transferred to its worker. */
  connectEgress(lanes: readonly LaneName[]): MessagePort;
  /**
   * Runs a module of somebody else's in this thread (`GuestModule`), for those who mostly wait.
   * @returns the other end of the port that it is given
   */
  host(module: string, start: unknown, transfer: readonly MessagePort[]): MessagePort;
  /** As last pushed, twice a second while something changes. */
  gauges(): BufferGauges;
  stat(): Promise<BufferStat>;
  /**
   * Lanes, routes and bounds of a new config, but for the path.
   * @returns the stored ids of the routes, in order, once the lanes are on disk
   */
  configure(
    lanes: readonly LaneSpec[],
    routes: readonly RouteDefinition[],
    options: BufferOptions,
  ): Promise<readonly number[]>;
  /** A segment's worth of dead letters; they stay until a batch that replays them commits. */
  takeDead(request: ReplayRequest): Promise<TakenLetters>;
  /** @returns how many there were */
  discardDead(selection: DeadSelection): Promise<number>;
  putMeta(key: string, value: string): void;
  /** Nothing is to do: memory that is not needed goes back. */
  calm(): void;
  /** Commits what waits and can, empties the WAL, closes the file. */
  stop(): Promise<void>;
}

/** @throws TidegateError bufferLocked | bufferCannotOpen | bufferNewer | bufferNotDurable | … */
export async function openBuffer(start: BufferStart, report: Report): Promise<BufferPort> {
  const worker = new Worker(new URL(`./thread${extname(import.meta.filename)}`, import.meta.url), {
    workerData: start,
    name: 'buffer',
    resourceLimits: {
      maxYoungGenerationSizeMb: threadYoungGenerationMib,
      maxOldGenerationSizeMb: bufferThreadOldGenerationMib,
    },
  });
  const port = new WorkerBuffer(worker, start.options.path, report);
  try {
    await port.ready();
    return port;
  } catch (error) {
    await worker.terminate();
    throw error;
  }
}

class WorkerBuffer implements BufferPort {
  readonly #worker: Worker;
  readonly #report: Report;
  readonly #path: string;
  readonly #asked = new Map<number, PromiseWithResolvers<Answer>>();
  readonly #opened = Promise.withResolvers<BufferGauges>();
  readonly #stopped = Promise.withResolvers<void>();
  #openedAs: Opened | null = null;
  #lastGauges: BufferGauges | null = null;
  #onCommitted: (committed: Committed) => void = () => {};
  #onFailed: (error: TidegateError) => void = () => {};
  #failure: TidegateError | null = null;
  #stopping = false;
  #askedId = 0;

  constructor(worker: Worker, path: string, report: Report) {
    this.#path = path;
    this.#worker = worker;
    this.#report = report;
    worker.on('message', (message: FromBuffer) => this.#take(message));
    worker.on('error', (error) => this.#fail('bufferFailed', messageOf(error)));
    worker.on('exit', (code) => this.#exited(code));
  }

  async ready(): Promise<void> {
    this.#lastGauges = await this.#opened.promise;
  }

  get opened(): Opened {
    if (!this.#openedAs) throw new TidegateError('internal', 'the buffer is not open');
    return this.#openedAs;
  }

  append(batch: Batch): void {
    this.#send({ kind: 'append', ...batch }, batch.segment ? [batch.segment.body] : []);
  }

  onCommitted(callback: (committed: Committed) => void): void {
    this.#onCommitted = callback;
  }

  onFailed(callback: (error: TidegateError) => void): void {
    this.#onFailed = callback;
    if (this.#failure) callback(this.#failure);
  }

  connectEgress(lanes: readonly LaneName[]): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#send({ kind: 'egress', port: port1, lanes }, [port1]);
    return port2;
  }

  host(module: string, start: unknown, transfer: readonly MessagePort[]): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#send({ kind: 'guest', module, start, port: port1 }, [port1, ...transfer]);
    return port2;
  }

  gauges(): BufferGauges {
    if (!this.#lastGauges) throw new TidegateError('internal', 'the buffer is not open');
    return this.#lastGauges;
  }

  async stat(): Promise<BufferStat> {
    const { stat } = await this.#ask('stat', (id) => ({ kind: 'stat', id }));
    this.#lastGauges = stat;
    return stat;
  }

  async configure(
    lanes: readonly LaneSpec[],
    routes: readonly RouteDefinition[],
    options: BufferOptions,
  ): Promise<readonly number[]> {
    if (options.path !== this.#path) {
      throw new TidegateError('internal', `the buffer stays at ${this.#path}: not ${options.path}`);
    }
    const ask = (id: number): ToBuffer => ({ kind: 'configure', id, lanes, routes, options });
    return (await this.#ask('configured', ask)).routeIds;
  }

  async takeDead(request: ReplayRequest): Promise<TakenLetters> {
    const ask = (id: number): ToBuffer => ({ kind: 'takeDead', id, request });
    return (await this.#ask('deadTaken', ask)).taken;
  }

  async discardDead(selection: DeadSelection): Promise<number> {
    const ask = (id: number): ToBuffer => ({ kind: 'discardDead', id, selection });
    return (await this.#ask('deadDiscarded', ask)).letters;
  }

  putMeta(key: string, value: string): void {
    this.#send({ kind: 'meta', key, value });
  }

  calm(): void {
    this.#send({ kind: 'calm' });
  }

  async stop(): Promise<void> {
    if (!this.#stopping) this.#send({ kind: 'stop' });
    this.#stopping = true;
    await this.#stopped.promise;
  }

  /** @param kind of the answer */
  async #ask<K extends Answer['kind']>(
    kind: K,
    message: (id: number) => ToBuffer,
  ): Promise<Extract<Answer, { kind: K }>> {
    if (this.#failure) throw this.#failure;
    const id = ++this.#askedId;
    const waiting = Promise.withResolvers<Answer>();
    this.#asked.set(id, waiting);
    this.#send(message(id));
    const answer = await waiting.promise;
    if (answer.kind !== kind) throw new TidegateError('internal', `${answer.kind} for ${kind}`);
    return answer as Extract<Answer, { kind: K }>;
  }

  #send(message: ToBuffer, transfer: (ArrayBuffer | MessagePort)[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  #take(message: FromBuffer): void {
    if (message.kind === 'committed') this.#onCommitted(message);
    else if (message.kind === 'event') this.#report(message.name, message.fields);
    else if (message.kind === 'gauges') this.#lastGauges = message.gauges;
    else if (message.kind === 'failed') this.#fail(message.code as ErrorCode, message.message);
    else if (message.kind === 'opened') this.#takeOpened(message);
    else if (message.kind === 'stopped') this.#stopping = true;
    else this.#answered(message);
  }

  /** The first gauges are asked for before anyone can ask us. */
  #takeOpened(message: Opened): void {
    this.#openedAs = message;
    this.stat().then(this.#opened.resolve, this.#opened.reject);
  }

  #answered(answer: Answer): void {
    this.#asked.get(answer.id)?.resolve(answer);
    this.#asked.delete(answer.id);
  }

  #fail(code: ErrorCode, detail: string): void {
    if (this.#failure) return;
    this.#failure = new TidegateError(code, detail);
    this.#opened.reject(this.#failure);
    for (const waiting of this.#asked.values()) waiting.reject(this.#failure);
    this.#asked.clear();
    this.#onFailed(this.#failure);
  }

  #exited(code: number): void {
    this.#stopped.resolve();
    if (!this.#stopping) this.#fail('bufferFailed', `the buffer thread ended with ${code}`);
  }
}
