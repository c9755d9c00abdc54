/**
 * UTF-8 Encoded Strings as MQTT has them: well-formed, no surrogates, no overlong forms, nothing
 * above U+10FFFF [MQTT-1.5.4-1] ([MQTT-1.5.3-1] in 3.1.1), no U+0000 [MQTT-1.5.4-2]. A BOM stays
 * what it is [MQTT-1.5.4-3]. Bytes are told apart in classes, so that one walk answers for strings,
 * Topic Names and Topic Filters; eight plain ASCII bytes are passed in one step.
 */
export const TEXT_PLAIN: i32 = 0;
export const TEXT_WILDCARD: i32 = 1; // well-formed, and holds + or #
export const TEXT_MALFORMED: i32 = 2;

const ONES: u64 = 0x0101010101010101;
const HIGHS: u64 = 0x8080808080808080;
const PLUSES: u64 = 0x2b2b2b2b2b2b2b2b;
const HASHES: u64 = 0x2323232323232323;

const PLUS: i32 = 0x2b;
const HASH: i32 = 0x23;

/** Not 0 when one of the bytes is 0 (exact for "is there any"). */
@inline
function zeroIn(word: u64): u64 {
  return (word - ONES) & ~word & HIGHS;
}

@inline
function continues(at: i32, end: i32, low: i32, high: i32): bool {
  if (at >= end) return false;
  const byte = <i32>load<u8>(at);
  return byte >= low && byte <= high;
}

/** Length of the well-formed sequence at `at` that begins with a byte above 0x7F; 0 if none. */
function sequenceBytes(at: i32, end: i32): i32 {
  const first = <i32>load<u8>(at);
  if (first < 0xc2) return 0; // a continuation byte, or overlong
  if (first < 0xe0) return continues(at + 1, end, 0x80, 0xbf) ? 2 : 0;
  if (first < 0xf0) {
    const low = first == 0xe0 ? 0xa0 : 0x80; // overlong
    const high = first == 0xed ? 0x9f : 0xbf; // surrogates
    return continues(at + 1, end, low, high) && continues(at + 2, end, 0x80, 0xbf) ? 3 : 0;
  }
  if (first > 0xf4) return 0;
  const low = first == 0xf0 ? 0x90 : 0x80; // overlong
  const high = first == 0xf4 ? 0x8f : 0xbf; // above U+10FFFF
  return continues(at + 1, end, low, high) &&
    continues(at + 2, end, 0x80, 0xbf) &&
    continues(at + 3, end, 0x80, 0xbf)
    ? 4
    : 0;
}

/** No byte of these eight is above 0x7F, NUL, + or #. */
@inline
function plainWord(word: u64): bool {
  return ((word & HIGHS) | zeroIn(word) | zeroIn(word ^ PLUSES) | zeroIn(word ^ HASHES)) == 0;
}

export function textClass(at: i32, bytes: i32): i32 {
  const end = at + bytes;
  let to = at;
  while (to + 8 <= end && plainWord(load<u64>(to))) to += 8;
  // The rest of a plain string of eight bytes or more: its last eight, some of them again.
  if (to == end || (end - to < 8 && bytes >= 8 && plainWord(load<u64>(end - 8)))) return TEXT_PLAIN;
  return slowClass(to, end);
}

function slowClass(at: i32, end: i32): i32 {
  let found = TEXT_PLAIN;
  while (at < end) {
    const byte = <i32>load<u8>(at);
    if (byte < 0x80) {
      if (byte == 0) return TEXT_MALFORMED; // [MQTT-1.5.4-2]
      if (byte == PLUS || byte == HASH) found = TEXT_WILDCARD;
      at++;
    } else {
      const step = sequenceBytes(at, end);
      if (step == 0) return TEXT_MALFORMED; // [MQTT-1.5.4-1]
      at += step;
    }
  }
  return found;
}
