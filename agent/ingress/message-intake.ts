/**
 * Messages of a subscription, on their way through the path: the part of a NATS source that core
 * subjects and JetStream share.
 *
 *   waiting ──chunk──▶ path (core) ──verdict──▶ owed ──COMMIT──▶ settled, in the order they came
 *
 * Nobody hears of a message before the commit of its segment (promise 1); what no route wants, or a
 * limit drops, is settled in its place. How much may wait is the subscription's to bound: it asks
 * `messages` and `bytes`, and a source that a limit or the disk holds takes nothing meanwhile.
 */
import type { Report } from '../events.ts';
import { hasLongText, MessageChunk, type MessageForm, messageBytes } from './message-chunk.ts';
import { PlainSource } from './plain-source.ts';
import type { CapturedFrame, Path, Phase, Served, Source, Taken } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const version5 = 5;

/** stored: on disk; passed: no route wants it; the others are not stored, and counted. */
export type Settled = 'stored' | 'passed' | 'dropped' | 'refused';

export interface IntakeParts<M> {
  readonly path: Path;
  readonly report: Report;
  /** The server, for people. */
  readonly name: string;
  readonly deviceRule: number;
  readonly deviceName: Uint8Array;
  readonly maxMessageBytes: number;
  readonly faultName: (fault: number) => string;
  readonly form: (message: M) => MessageForm;
  /** @param frame its number in the log, when it is stored */
  readonly settled: (message: M, outcome: Settled, frame: number) => void;
  /** All that one commit settled has been told, or there is room again. */
  readonly progress: () => void;
}

interface Owed<M> {
  readonly message: M;
  readonly outcome: Settled;
  /** −1: nothing is waited for. */
  readonly commit: number;
  readonly frame: number;
}

interface Waiting<M> {
  readonly message: M;
  readonly form: MessageForm;
  readonly bytes: number;
}

export class MessageIntake<M> extends PlainSource implements Source {
  readonly #parts: IntakeParts<M>;
  readonly #chunk = new MessageChunk();
  /** In the chunk, in order; then those behind it. */
  #inHand: Waiting<M>[] = [];
  #waiting: Waiting<M>[] = [];
  #owed: Owed<M>[] = [];
  #bytes = 0;
  #frame = 0;
  #soon = false;
  #taking = false;
  #waits = false;

  readonly version = version5;
  readonly phase: Phase = 'message';
  readonly protocol = 'nats';
  readonly name: Uint8Array;
  readonly client: Uint8Array = nothing;
  readonly deviceName: string;
  readonly deviceRule: number;

  constructor(parts: IntakeParts<M>) {
    super();
    this.#parts = parts;
    this.name = parts.deviceName;
    this.deviceName = parts.name;
    this.deviceRule = parts.deviceRule;
  }

  /** Not settled yet. */
  get messages(): number {
    return this.#inHand.length + this.#waiting.length + this.#owed.length;
  }

  /** Nothing waits for a commit, and the path takes nothing more now. */
  get rests(): boolean {
    return this.#owed.length === 0 && (this.untaken === 0 || this.#waits);
  }

  /** Of those that the path has not taken. */
  get untaken(): number {
    return this.#inHand.length + this.#waiting.length;
  }

  /** Bytes of those. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A limit holds it, or the disk does. */
  get held(): boolean {
    return this.#waits;
  }

  /** All that is not settled, in order. */
  *unsettled(): Iterable<M> {
    for (const { message } of this.#owed) yield message;
    for (const { message } of this.#inHand) yield message;
    for (const { message } of this.#waiting) yield message;
  }

  push(message: M): void {
    const form = this.#parts.form(message);
    const bytes = messageBytes(form);
    if (bytes > this.#parts.maxMessageBytes || hasLongText(form, bytes)) {
      this.#refuse(message, form, `messageTooLarge (${bytes} bytes)`);
      return;
    }
    this.#waiting.push({ message, form, bytes });
    this.#bytes += bytes;
    this.#takeSoon();
  }

  /** Takes back what the path has not taken: nobody is told of it. */
  forget(): M[] {
    const forgotten = [...this.#inHand, ...this.#waiting].map(({ message }) => message);
    this.#inHand = [];
    this.#waiting = [];
    this.#bytes = 0;
    this.#chunk.clear();
    this.#waits = false;
    this.#parts.path.leave(this);
    return forgotten;
  }

  wake(budget = unbounded): Served {
    this.#waits = false;
    return this.#takeOn(budget);
  }

  /** All that one turn of the event loop brought goes through the core in one call. */
  #takeSoon(): void {
    if (this.#soon || this.#waits) return;
    this.#soon = true;
    setImmediate(() => {
      this.#soon = false;
      if (!this.#waits) this.#takeOn(unbounded);
    });
  }

  #takeOn(budget: number): Served {
    if (this.#taking) return 'served';
    this.#taking = true;
    let served: Served = 'served';
    for (;;) {
      this.#fill();
      if (this.#chunk.isEmpty) break;
      this.#frame = this.#parts.path.nextFrame;
      const taken = this.#parts.path.take(this, this.#chunk.bytes, budget);
      this.#chunk.consume(taken.consumed);
      const next = this.#after(taken);
      if (next === 'again') continue;
      served = next;
      break;
    }
    this.#taking = false;
    this.#settle(-1);
    return served;
  }

  #fill(): void {
    let added = 0;
    for (const waiting of this.#waiting) {
      if (!this.#chunk.add(waiting.form, waiting.bytes)) break;
      this.#inHand.push(waiting);
      added += 1;
    }
    if (added > 0) this.#waiting.splice(0, added);
  }

  #after(taken: Taken): Served | 'again' {
    const { reason } = taken;
    if (reason === 'end' || reason === 'tableFull') return 'again';
    if (reason === 'held' || reason === 'segmentFull') {
      this.#waits = true;
      if (reason === 'held') this.#parts.report('frameHeld', { device: this.deviceName });
      return 'held';
    }
    if (reason === 'budget') {
      this.#waits = true;
      return 'more';
    }
    // The one at the front: those behind it go on.
    const first = this.#next();
    this.#chunk.consume(this.#chunk.firstBytes);
    this.#refuse(first.message, first.form, this.#parts.faultName(taken.fault));
    return 'again';
  }

  #next(): Waiting<M> {
    const first = this.#inHand.shift() as Waiting<M>;
    this.#bytes -= first.bytes;
    return first;
  }

  #refuse(message: M, form: MessageForm, reason: string): void {
    const told = { peer: this.deviceName, device: form.topicName, reason };
    this.#parts.report('messageRefused', told);
    this.#owed.push({ message, outcome: 'refused', commit: -1, frame: 0 });
    if (!this.#taking) queueMicrotask(() => this.#settle(-1));
  }

  /** No route wants it. */
  published(_frame: CapturedFrame): void {
    const { message } = this.#next();
    this.#owed.push({ message, outcome: 'passed', commit: -1, frame: 0 });
  }

  captured({ verdict, qos, topicName }: CapturedFrame): void {
    const { message } = this.#next();
    if (verdict === 'drop' || verdict === 'bury') {
      const name = verdict === 'drop' ? 'frameDropped' : 'frameBuried';
      const topic = Buffer.from(topicName()).toString();
      this.#parts.report(name, { device: this.deviceName, topicName: topic, qos });
    }
    if (verdict === 'drop') {
      this.#owed.push({ message, outcome: 'dropped', commit: -1, frame: 0 });
      return;
    }
    const commit = this.#parts.path.openCommit;
    this.#owed.push({ message, outcome: 'stored', commit, frame: this.#frame++ });
  }

  committed(commit: number): void {
    this.#settle(commit);
  }

  /** From the front, up to the first that waits for a later commit. */
  #settle(commit: number): void {
    let settled = 0;
    for (const one of this.#owed) {
      if (one.commit > commit) break;
      settled += 1;
      this.#parts.settled(one.message, one.outcome, one.frame);
    }
    if (settled === 0) return;
    this.#owed.splice(0, settled);
    this.#parts.progress();
  }
}
