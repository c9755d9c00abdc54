/**
 * Parts of the agent that a new config keeps, takes down or brings up: each has a key that says all
 * it was made from, and what has the same key stays as it is. A change is made in two steps, so
 * that several of them, and the routes between, are applied together or not at all (promise 7):
 *
 *   prepare  all that can fail: new parts are made and take their address, which an old part gives
 *            back before if it has to, serving whom it has ──fails──▶ undone, the error thrown
 *   change   `stop` what goes ▶ (whoever prepared does the rest) ▶ `begin` what is new ▶ `closed`
 *            or `undo`
 */
export interface Part {
  /** Takes its address. @throws it is not to be had */
  open(): Promise<void>;
  /** Gives the address back, for another part or until `open`; whom it serves stays. */
  release(): void;
  begin(): void;
  /** It takes no more; what it took is finished until `close`. */
  stop(): void;
  close(): Promise<void>;
  /** Both cannot have their address at once. */
  collides(other: this): boolean;
}

export interface Change {
  /** Some part goes. */
  readonly takes: boolean;
  stop(): void;
  begin(): void;
  /** Resolves when what had to go is gone. */
  closed(): Promise<void>;
  /** In the place of the three: everything as before. */
  undo(): Promise<void>;
}

export class Kept<T extends Part> {
  readonly #parts = new Map<string, T>();

  get parts(): T[] {
    return [...this.#parts.values()];
  }

  part(key: string): T | undefined {
    return this.#parts.get(key);
  }

  /**
   * @param wanted how to make each part, by its key
   * @throws what hinders a part; then nothing has changed
   */
  async prepare(wanted: ReadonlyMap<string, () => Promise<T>>): Promise<Change> {
    const gone = [...this.#parts].filter(([key]) => !wanted.has(key));
    const fresh = new Map<string, T>();
    const released: T[] = [];
    const undo = async (): Promise<void> => {
      await Promise.all([...fresh.values()].map((part) => part.close()));
      for (const part of released) await part.open();
    };
    try {
      for (const [key, make] of wanted) {
        if (!this.#parts.has(key)) fresh.set(key, await make());
      }
      for (const [, part] of gone) {
        if (![...fresh.values()].some((other) => other.collides(part))) continue;
        part.release();
        released.push(part);
      }
      for (const part of fresh.values()) await part.open();
    } catch (error) {
      await undo();
      throw error;
    }
    return {
      takes: gone.length > 0,
      undo,
      stop: () => {
        for (const [key, part] of gone) {
          this.#parts.delete(key);
          part.stop();
        }
      },
      begin: () => {
        for (const [key, part] of fresh) {
          this.#parts.set(key, part);
          part.begin();
        }
      },
      closed: async () => {
        await Promise.all(gone.map(([, part]) => part.close()));
      },
    };
  }

  stop(): void {
    for (const part of this.#parts.values()) part.stop();
  }

  async close(): Promise<void> {
    await Promise.all(this.parts.map((part) => part.close()));
    this.#parts.clear();
  }
}
