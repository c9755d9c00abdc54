/**
 * What the main thread asked for and a commit answers: a new config, dead letters to be discarded.
 * Like advances they wait for the next commit that succeeds, and ride on it.
 */
import type { Effects } from './effects.ts';
import type { RouteDefinition, ToBuffer } from './protocol.ts';

export type Configure = Extract<ToBuffer, { kind: 'configure' }>;
export type DiscardDead = Extract<ToBuffer, { kind: 'discardDead' }>;

export class Asks {
  readonly #configures: Configure[] = [];
  readonly #discards: { readonly id: number; readonly letters: readonly number[] }[] = [];

  get waiting(): boolean {
    return this.reconfigures || this.#discards.length > 0;
  }

  get reconfigures(): boolean {
    return this.#configures.length > 0;
  }

  /** Ids of dead letters. */
  get discarded(): number[] {
    return this.#discards.flatMap((discard) => discard.letters);
  }

  configure(asked: Configure): void {
    this.#configures.push(asked);
  }

  /** @param letters ids of those that were there when it was asked */
  discard(id: number, letters: readonly number[]): void {
    this.#discards.push({ id, letters });
  }

  /** All of them were in the transaction that is on disk now. */
  answer(effects: Effects, routeIds: (routes: readonly RouteDefinition[]) => number[]): void {
    for (const { id, letters } of this.#discards.splice(0)) {
      effects.report('deadDiscarded', { deadLetters: letters.length });
      effects.discarded(id, letters.length);
    }
    for (const { id, routes } of this.#configures.splice(0)) {
      effects.configured(id, routeIds(routes));
    }
  }
}
