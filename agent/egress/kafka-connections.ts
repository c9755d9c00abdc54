/**
 * The connections of one purpose, one a broker, opened when they are asked for.
 *
 *   opening ──▶ open ──its log-in ages, or it broke──▶ retired ──last user is done──▶ closed
 *
 * A broker ends a log-in after its time (KIP-368). A connection is retired before: what is in
 * flight on it is answered, what comes next opens another, which logs in again. The library's own
 * way, to log in again in place, leaves a timer behind on a dead connection.
 */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** What is held; `isOpen` turns false once it broke. */
export interface Link {
  readonly isOpen: boolean;
  /** From when on another is opened in its place; ms, monotonic. */
  readonly renewAtMs: number;
  close(): Promise<void>;
}

interface Held<L> {
  readonly opening: Promise<L>;
  link: L | null;
  users: number;
  isRetired: boolean;
}

export class Connections<L extends Link> {
  readonly #open: (broker: Address) => Promise<L>;
  readonly #held = new Map<string, Held<L>>();
  #isClosed = false;

  constructor(open: (broker: Address) => Promise<L>) {
    this.#open = open;
  }

  /** Runs one request on a connection to this broker. @throws what opening it or `work` throws */
  async use<T>(broker: Address, work: (link: L) => Promise<T>): Promise<T> {
    const held = this.#take(broker);
    held.users += 1;
    try {
      return await work(await held.opening);
    } finally {
      held.users -= 1;
      this.#endWhenUnused(held);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const all = [...this.#held.values()];
    this.#held.clear();
    await Promise.allSettled(all.map(async ({ opening }) => (await opening).close()));
  }

  #take(broker: Address): Held<L> {
    if (this.#isClosed) throw new Error('the connections are closed');
    const key = `${broker.host}:${broker.port}`;
    const known = this.#held.get(key);
    if (known && (known.link === null || isFresh(known.link))) return known;
    if (known) this.#retire(key, known);
    const opening = this.#open(broker);
    const held: Held<L> = { opening, link: null, users: 0, isRetired: false };
    this.#held.set(key, held);
    opening.then(
      (link) => {
        held.link = link;
      },
      () => {
        if (this.#held.get(key) === held) this.#held.delete(key);
      },
    );
    return held;
  }

  #retire(key: string, held: Held<L>): void {
    this.#held.delete(key);
    held.isRetired = true;
    this.#endWhenUnused(held);
  }

  #endWhenUnused({ isRetired, users, link }: Held<L>): void {
    if (isRetired && users === 0) link?.close().catch(() => {});
  }
}

function isFresh(link: Link): boolean {
  return link.isOpen && performance.now() < link.renewAtMs;
}
