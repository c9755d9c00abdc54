/**
 * The budget for partial packets and waiting bytes of all connections together. Beyond it the
 * connection that holds most is closed, and counted: a bad device harms itself only (promise 6).
 */

export interface Holder {
  refuse(reason: string): void;
}

export class PartialBudget {
  readonly #budgetBytes: number;
  readonly #held = new Map<Holder, number>();
  #totalBytes = 0;

  constructor(budgetBytes: number) {
    this.#budgetBytes = budgetBytes;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  set(holder: Holder, bytes: number): void {
    const before = this.#held.get(holder) ?? 0;
    if (before === bytes) return;
    this.#totalBytes += bytes - before;
    if (bytes === 0) this.#held.delete(holder);
    else this.#held.set(holder, bytes);
    if (this.#totalBytes > this.#budgetBytes) this.#closeLargest();
  }

  #closeLargest(): void {
    let largest: Holder | undefined;
    let most = 0;
    for (const [holder, bytes] of this.#held) {
      if (bytes > most) [largest, most] = [holder, bytes];
    }
    if (largest === undefined) return;
    this.set(largest, 0);
    largest.refuse('partialPacketsBudget');
  }
}
