/**
 * The bytes of one connection that are not done with: a partial packet, or what waits its turn.
 *
 * The usual chunk passes through without a copy. What is left of it is copied into a store of its
 * own (so that the socket's large read buffer is released), which doubles as bytes come: one byte
 * at a time costs amortised O(1), and an announced length costs nothing until its bytes are here.
 * Until the whole packet has come there is nothing to look at, so the core is not asked (`ready`).
 */

const nothing = Buffer.alloc(0);
const smallestStoreBytes = 256;

export class Inbox {
  #store: Buffer = nothing;
  #length = 0;
  /** The store is our own and may be written behind `#length`. */
  #owned = false;
  #needed = 0;

  get length(): number {
    return this.#length;
  }

  /** What it costs in memory. */
  get heldBytes(): number {
    return this.#store.length;
  }

  /** Enough is here for the packet that was partial. */
  get ready(): boolean {
    return this.#length > 0 && this.#length >= this.#needed;
  }

  get bytes(): Buffer {
    return this.#store.subarray(0, this.#length);
  }

  push(chunk: Buffer): void {
    if (this.#length === 0) {
      this.#set(chunk, false);
      return;
    }
    const length = this.#length + chunk.length;
    if (!this.#owned || length > this.#store.length) this.#grow(length);
    chunk.copy(this.#store, this.#length);
    this.#length = length;
  }

  /**
   * @param consumed bytes from the front that are done with
   * @param needed whole size of the packet at the front, 0 while unknown
   */
  consume(consumed: number, needed: number): void {
    this.#needed = needed;
    if (consumed === 0) return;
    const rest = this.#store.subarray(consumed, this.#length);
    if (rest.length === 0) this.clear();
    else this.#set(rest, false);
  }

  /** A partial packet waits for the network: keep only its bytes. */
  settle(): void {
    if (!this.#owned && this.#length > 0) this.#grow(this.#length);
  }

  clear(): void {
    this.#set(nothing, false);
    this.#needed = 0;
  }

  #set(bytes: Buffer, owned: boolean): void {
    this.#store = bytes;
    this.#length = bytes.length;
    this.#owned = owned;
  }

  #grow(length: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(smallestStoreBytes, length * 2));
    this.#store.copy(grown, 0, 0, this.#length);
    this.#store = grown;
    this.#owned = true;
  }
}
