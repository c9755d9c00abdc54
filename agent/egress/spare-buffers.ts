/**
 * Buffers of batches, used again and again. A batch needs up to a megabyte and lives for one round
 * trip: made anew each time, their backing stores alone made V8 collect the old generation all the
 * time (they count against its limit, however little of the heap they are).
 *
 * Sizes are powers of two; what is kept for later is bounded in bytes, the rest is left to V8.
 */

const leastBytes = 8 * 1024;

export class SpareBuffers {
  readonly #keptMostBytes: number;
  readonly #bySize = new Map<number, Buffer[]>();
  #keptBytes = 0;

  constructor(keptMostBytes: number) {
    this.#keptMostBytes = keptMostBytes;
  }

  get keptBytes(): number {
    return this.#keptBytes;
  }

  /** @returns at least so many bytes, with anything in them */
  take(bytes: number): Buffer {
    let size = leastBytes;
    while (size < bytes) size *= 2;
    const spare = this.#bySize.get(size)?.pop();
    if (spare === undefined) return Buffer.allocUnsafeSlow(size);
    this.#keptBytes -= size;
    return spare;
  }

  /** Nobody may look at it any more. */
  give(buffer: Buffer): void {
    if (this.#keptBytes + buffer.length > this.#keptMostBytes) return;
    const kept = this.#bySize.get(buffer.length) ?? [];
    this.#bySize.set(buffer.length, kept);
    kept.push(buffer);
    this.#keptBytes += buffer.length;
  }
}
