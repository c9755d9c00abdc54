/**
 * Seeded randomness for tests: the same seed gives the same run. `TIDEGATE_TEST_SEED` repeats one;
 * whoever uses this prints the seed.
 */

const seedMax = 2 ** 32;

export function seedOfRun(): number {
  const given = process.env.TIDEGATE_TEST_SEED;
  return given === undefined ? Math.floor(Math.random() * seedMax) : Number(given) >>> 0;
}

/** Numbers in [0, 1): mulberry32. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / seedMax;
  };
}
