/**
 * murmur2 as Kafka's own clients compute it, so that a key goes to the partition where a Java
 * producer would put it: `(murmur2(key) & 0x7fffffff) % partitions`.
 */

const seed = 0x9747b28c;
const multiplier = 0x5bd1e995;
const rotation = 24;
const wordBytes = 4;
const positive = 0x7fffffff;

/** @returns the hash with its sign bit cleared: what Java's default partitioner takes modulo */
export function positiveMurmur2(key: Uint8Array): number {
  const length = key.length;
  const words = length - (length % wordBytes);
  let hash = seed ^ length;
  for (let i = 0; i < words; i += wordBytes) {
    let word =
      (key[i] as number) |
      ((key[i + 1] as number) << 8) |
      ((key[i + 2] as number) << 16) |
      ((key[i + 3] as number) << 24);
    word = Math.imul(word, multiplier);
    word ^= word >>> rotation;
    word = Math.imul(word, multiplier);
    hash = Math.imul(hash, multiplier) ^ word;
  }
  if (words < length) {
    for (let i = length - 1; i >= words; i--) hash ^= (key[i] as number) << (8 * (i - words));
    hash = Math.imul(hash, multiplier);
  }
  hash ^= hash >>> 13;
  hash = Math.imul(hash, multiplier);
  hash ^= hash >>> 15;
  return hash & positive;
}
