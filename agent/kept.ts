/**
 * Parts of the agent that a new config keeps, closes or opens: each has a key that says all it was
 * made from; what has the same key stays as it is. What goes is closed first, since a new part may
 * need its address. Where one cannot be opened the change is undone: what was made is closed, what
 * was closed is opened again, and the error goes to whoever asked (promise 7).
 */
export interface Part {
  close(): Promise<void>;
}

interface Entry<T> {
  readonly part: T;
  readonly make: () => Promise<T>;
}

export class Kept<T extends Part> {
  readonly #entries = new Map<string, Entry<T>>();

  get parts(): T[] {
    return [...this.#entries.values()].map(({ part }) => part);
  }

  /** @param wanted how to make each part, by its key */
  async change(wanted: ReadonlyMap<string, () => Promise<T>>): Promise<void> {
    const gone = [...this.#entries].filter(([key]) => !wanted.has(key));
    const fresh = [...wanted].filter(([key]) => !this.#entries.has(key));
    await Promise.all(gone.map(([key]) => this.#close(key)));
    const made: string[] = [];
    try {
      for (const [key, make] of fresh) {
        this.#entries.set(key, { part: await make(), make });
        made.push(key);
      }
    } catch (error) {
      await Promise.all(made.map((key) => this.#close(key)));
      for (const [key, { make }] of gone) this.#entries.set(key, { part: await make(), make });
      throw error;
    }
  }

  async #close(key: string): Promise<void> {
    const entry = this.#entries.get(key);
    this.#entries.delete(key);
    await entry?.part.close();
  }
}
