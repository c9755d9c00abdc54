/**
 * Timers by name, one of each: setting one again moves it, and what stops must only name them.
 * `Name` is a closed list of the owner's.
 */
export class Timers<Name extends string> {
  readonly #timers = new Map<Name, NodeJS.Timeout>();

  has(name: Name): boolean {
    return this.#timers.has(name);
  }

  after(name: Name, delayMs: number, run: () => void): void {
    this.stop(name);
    const timer = setTimeout(() => {
      this.#timers.delete(name);
      run();
    }, delayMs);
    this.#timers.set(name, timer);
  }

  stop(...names: Name[]): void {
    for (const name of names) {
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
    }
  }
}
