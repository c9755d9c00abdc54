/**
 * SipHash-1-3, 64 bits, keyed by a seed the host gives with `bucketsClear`: a device chooses its
 * name and its Topic Names, and must not be able to choose whose bucket they fall into. With the
 * seed an argument, the same calls give the same descriptors on every machine.
 */
let key0: u64 = 0;
let key1: u64 = 0;

export function setSeed(low: u32, high: u32): void {
  const seed = <u64>low | (<u64>high << 32);
  key0 = mix64(seed);
  key1 = mix64(seed + 0x9e3779b97f4a7c15);
}

/** A bijection that spreads every bit over all (the finisher of splitmix64). */
export function mix64(value: u64): u64 {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return value ^ (value >> 31);
}

let v0: u64 = 0;
let v1: u64 = 0;
let v2: u64 = 0;
let v3: u64 = 0;

@inline
function round(): void {
  v0 += v1;
  v1 = rotl<u64>(v1, 13) ^ v0;
  v0 = rotl<u64>(v0, 32);
  v2 += v3;
  v3 = rotl<u64>(v3, 16) ^ v2;
  v0 += v3;
  v3 = rotl<u64>(v3, 21) ^ v0;
  v2 += v1;
  v1 = rotl<u64>(v1, 17) ^ v2;
  v2 = rotl<u64>(v2, 32);
}

export function hash64(at: i32, bytes: i32): u64 {
  v0 = key0 ^ 0x736f6d6570736575;
  v1 = key1 ^ 0x646f72616e646f6d;
  v2 = key0 ^ 0x6c7967656e657261;
  v3 = key1 ^ 0x7465646279746573;
  const end = at + bytes;
  for (; at + 8 <= end; at += 8) {
    const word = load<u64>(at);
    v3 ^= word;
    round();
    v0 ^= word;
  }
  let last = (<u64>(bytes & 0xff)) << 56;
  for (let shift = 0; at < end; at++, shift += 8) last |= (<u64>load<u8>(at)) << shift;
  v3 ^= last;
  round();
  v0 ^= last;
  v2 ^= 0xff;
  round();
  round();
  round();
  return v0 ^ v1 ^ v2 ^ v3;
}
