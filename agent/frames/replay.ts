/**
 * Dead letters back into the log, a segment's worth a step. The buffer hands letters out (they stay
 * where they are), their frames become a segment of their own, and the COMMIT of that segment takes
 * the letters with it: one of the two is on disk at every moment, and never both.
 *
 * Steps and discards run one after another: two that overlapped could replay a letter twice. What
 * the buffer cannot give back (its lane or its route is gone) and what does not hold together is
 * refused by name, and stays a dead letter.
 */
import type {
  DeadSelection,
  ReplayRequest,
  SealedSegment,
  TakenLetter,
  TakenLetters,
} from '../buffer/protocol.ts';
import type { Report } from '../events.ts';
import { type Core, loadCore } from './core.ts';
import { type SegmentPlace, wrapFrame, writeSegment } from './segment-writer.ts';

export interface ReplayParts {
  readonly epoch: string;
  readonly report: Report;
  takeDead(request: ReplayRequest): Promise<TakenLetters>;
  discardDead(selection: DeadSelection): Promise<number>;
  /**
   * Gives the segment its place in the log, behind all others.
   * @returns resolved once it is committed
   */
  insert(make: MakeSegment, replayed: readonly number[]): Promise<void>;
}

export type MakeSegment = (place: Omit<SegmentPlace, 'epoch'>) => SealedSegment;

export interface ReplayStep {
  readonly replayed: number;
  readonly refused: TakenLetters['refused'];
  readonly after: number;
  readonly upTo: number;
  readonly more: boolean;
}

export class Replay {
  readonly #parts: ReplayParts;
  #core: Core | null = null;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: ReplayParts) {
    this.#parts = parts;
  }

  step(request: ReplayRequest): Promise<ReplayStep> {
    return this.#inTurn(() => this.#step(request));
  }

  discard(selection: DeadSelection): Promise<number> {
    return this.#inTurn(() => this.#parts.discardDead(selection));
  }

  #inTurn<T>(act: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(act);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #step(request: ReplayRequest): Promise<ReplayStep> {
    const { letters, refused, ...where } = await this.#parts.takeDead(request);
    this.#core ??= loadCore();
    const core = this.#core;
    const sound: TakenLetter[] = [];
    const all = [...refused];
    for (const letter of letters) {
      if (wrapFrame(core, letter.body)) sound.push(letter);
      else all.push({ id: letter.id, why: 'its frame is damaged' });
    }
    if (sound.length > 0) {
      const ids = sound.map(({ id }) => id);
      await this.#parts.insert((place) => this.#segmentOf(core, place, sound), ids);
      this.#parts.report('deadReplayed', { deadLetters: sound.length });
    }
    return { replayed: sound.length, refused: all, ...where };
  }

  #segmentOf(
    core: Core,
    place: Omit<SegmentPlace, 'epoch'>,
    letters: readonly TakenLetter[],
  ): SealedSegment {
    const frames = letters.map(({ routeId, body }) => ({ routeId, raw: body }));
    const body = writeSegment(core, { epoch: this.#parts.epoch, ...place }, frames);
    const counts = new Map<number, number>();
    for (const { routeId } of letters) counts.set(routeId, (counts.get(routeId) ?? 0) + 1);
    return { ...place, frames: letters.length, body, routes: [...counts] };
  }
}
