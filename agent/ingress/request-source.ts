/**
 * The events of one request, on their way through the path: a source that lives as long as they do.
 *
 *   next ──chunk──▶ path (core) ──verdict──▶ judged ──COMMIT──▶ answered
 *
 * Whoever asked hears of all of them at once, when the last is on disk (promise 1). A request is
 * not a connection that can wait: where a limit would hold it, this event and those behind it are
 * `limited`, to be sent again; where there is no room, or the disk does not answer, it ends
 * `unavailable` after its time. What it has given to the path by then may be stored all the same.
 */

import type { SessionChange } from '../buffer/protocol.ts';
import type { Report } from '../events.ts';
import { hasLongText, type MessageChunk, type MessageForm, messageBytes } from './message-chunk.ts';
import { PlainSource } from './plain-source.ts';
import type { CapturedFrame, Path, Phase, Served, Source, Taken } from './source.ts';

const unbounded = 0x7fffffff;
const nothing = Buffer.alloc(0);
const version5 = 5;
/** [MQTT-3.3.2-2], 1.5.4. */
const notInTopicName = /[+#\0]/;

/** What became of one event. `frame`: its number in the log. */
export type Judged =
  | { readonly outcome: 'stored'; readonly frame: number }
  /** No route takes it. */
  | { readonly outcome: 'passed' }
  /** Over a limit that drops. */
  | { readonly outcome: 'dropped' }
  | { readonly outcome: 'limited'; readonly waitMs: number }
  | { readonly outcome: 'refused'; readonly reason: string }
  | { readonly outcome: 'unavailable' };

/** A key that has to be on disk with the events. */
export interface RequestKey {
  /** All of them are taken. @returns what is to be in their commit */
  taken(judged: readonly Judged[]): SessionChange | null;
  /** It is on disk with them. */
  committed(): void;
  /** They are not stored, or not all. */
  failed(): void;
}

export interface RequestParts {
  readonly path: Path;
  readonly report: Report;
  readonly maxMessageBytes: number;
  readonly faultName: (fault: number) => string;
  readonly storedWithinMs: number;
}

export class RequestSource extends PlainSource implements Source {
  readonly #parts: RequestParts;
  readonly #chunk: MessageChunk;
  #messages: readonly MessageForm[];
  #judged: Judged[] = [];
  readonly #answered = Promise.withResolvers<readonly Judged[]>();
  readonly #late: NodeJS.Timeout;
  readonly #key: RequestKey | null;
  #frame = 0;
  #allTaken = false;
  /** The last of its commits; −1: it is on disk. */
  #commit = -1;
  #ended = false;

  readonly version = version5;
  readonly phase: Phase = 'message';
  readonly protocol = 'http';
  readonly name: Uint8Array;
  readonly client: Uint8Array = nothing;
  readonly deviceName: string;
  readonly deviceRule = 0;

  /** @param chunk shared by all requests: nothing of one stays in it */
  constructor(
    parts: RequestParts,
    chunk: MessageChunk,
    device: string,
    messages: readonly MessageForm[],
    key: RequestKey | null,
  ) {
    super();
    this.#key = key;
    this.#parts = parts;
    this.#chunk = chunk;
    this.#messages = messages;
    this.deviceName = device;
    this.name = Buffer.from(device);
    this.#late = setTimeout(() => this.#giveUp(), parts.storedWithinMs);
  }

  /** @returns what became of each, in their order */
  async take(): Promise<readonly Judged[]> {
    try {
      this.wake();
    } catch (error) {
      this.#giveUp();
      throw error;
    }
    return await this.#answered.promise;
  }

  wake(): Served {
    if (this.#ended) return 'served';
    while (this.#judged.length < this.#messages.length) {
      if (!this.#fill()) continue;
      this.#frame = this.#parts.path.nextFrame;
      // The path reads it at once; another request may then use it before this call is back.
      const { bytes } = this.#chunk;
      this.#chunk.clear();
      const taken = this.#parts.path.take(this, bytes, unbounded);
      if (!this.#goesOn(taken)) return 'held';
    }
    this.#takeKey();
    this.#settle();
    return 'served';
  }

  #takeKey(): void {
    if (this.#allTaken) return;
    this.#allTaken = true;
    const change = this.#key?.taken(this.#judged) ?? null;
    if (change !== null) this.#commit = this.#parts.path.record(change, this);
    else this.#key?.failed();
  }

  /** @returns whether the chunk holds some of those that come next */
  #fill(): boolean {
    this.#chunk.clear();
    for (let next = this.#judged.length; next < this.#messages.length; next++) {
      const message = this.#messages[next] as MessageForm;
      const bytes = messageBytes(message);
      const wrong = whatIsWrong(message, bytes, this.#parts.maxMessageBytes);
      if (wrong !== null) {
        if (!this.#chunk.isEmpty) break;
        this.#refuse(message, wrong);
        return false;
      }
      if (!this.#chunk.add(message, bytes)) break;
    }
    return true;
  }

  /** @returns false: it is waited for room */
  #goesOn(taken: Taken): boolean {
    const { reason } = taken;
    if (reason === 'segmentFull') return false;
    if (reason === 'held') {
      this.#parts.path.leave(this);
      this.#parts.report('frameHeld', { device: this.deviceName });
      this.#judgeRest({ outcome: 'limited', waitMs: taken.waitMs });
    }
    // What is wrong with a message is seen before: the core found what is not known here.
    if (reason === 'fault') {
      this.#judgeRest({ outcome: 'refused', reason: this.#parts.faultName(taken.fault) });
    }
    return true;
  }

  #refuse({ topicName }: MessageForm, reason: string): void {
    this.#parts.report('messageRefused', { device: this.deviceName, topicName, reason });
    this.#judged.push({ outcome: 'refused', reason });
  }

  #judgeRest(judged: Judged): void {
    while (this.#judged.length < this.#messages.length) this.#judged.push(judged);
  }

  published(_frame: CapturedFrame): void {
    this.#judged.push({ outcome: 'passed' });
  }

  captured({ verdict, qos, topicName }: CapturedFrame): void {
    if (verdict === 'drop' || verdict === 'bury') {
      const name = verdict === 'drop' ? 'frameDropped' : 'frameBuried';
      const topic = Buffer.from(topicName()).toString();
      this.#parts.report(name, { device: this.deviceName, topicName: topic, qos });
    }
    if (verdict === 'drop') {
      this.#judged.push({ outcome: 'dropped' });
      return;
    }
    this.#commit = this.#parts.path.openCommit;
    this.#judged.push({ outcome: 'stored', frame: this.#frame++ });
  }

  committed(commit: number): void {
    if (commit < this.#commit) return;
    this.#commit = -1;
    if (this.#allTaken) this.#key?.committed();
    this.#settle();
  }

  #settle(): void {
    if (this.#allTaken && this.#commit < 0) this.#end();
  }

  /** Of those that wait for the disk nobody knows; they are not told to be stored. */
  #giveUp(): void {
    this.#parts.path.leave(this);
    if (!this.#allTaken) this.#key?.failed();
    const isLost = (judged: Judged): boolean => judged.outcome === 'stored' && this.#commit >= 0;
    for (const [index, judged] of this.#judged.entries()) {
      if (isLost(judged)) this.#judged[index] = { outcome: 'unavailable' };
    }
    this.#judgeRest({ outcome: 'unavailable' });
    this.#end();
  }

  /** What is still owed a COMMIT keeps nothing of the request. */
  #end(): void {
    this.#ended = true;
    clearTimeout(this.#late);
    this.#answered.resolve(this.#judged);
    this.#messages = [];
    this.#judged = [];
  }
}

/** What the core would refuse, or two bytes of length could not say. */
function whatIsWrong(message: MessageForm, bytes: number, most: number): string | null {
  const { topicName } = message;
  if (topicName === '') return 'topicNameEmpty';
  if (notInTopicName.test(topicName)) return 'topicNameWildcard or NUL';
  if (bytes > most) return `messageTooLarge (${bytes} bytes)`;
  return hasLongText(message, bytes) ? 'messageTooLarge (a text of more than 65535 bytes)' : null;
}
