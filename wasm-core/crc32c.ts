/**
 * CRC32C (Castagnoli, reflected 0x82F63B78), sixteen bytes a step over sixteen tables that are
 * filled once at start. WebAssembly has no instruction for it; slicing is the fastest plain way.
 */
import { CRC_OFFSET } from './layout';

const POLYNOMIAL: u32 = 0x82f63b78;
const TABLE_BYTES: i32 = 1024;

@inline
function table(slice: i32, index: u32): u32 {
  return load<u32>(CRC_OFFSET + slice * TABLE_BYTES + ((index & 0xff) << 2));
}

export function fillTables(): void {
  for (let i = 0; i < 256; i++) {
    let crc: u32 = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
    store<u32>(CRC_OFFSET + (i << 2), crc);
  }
  for (let slice = 1; slice < 16; slice++) {
    for (let i = 0; i < 256; i++) {
      const crc = load<u32>(CRC_OFFSET + (slice - 1) * TABLE_BYTES + (i << 2));
      store<u32>(CRC_OFFSET + slice * TABLE_BYTES + (i << 2), (crc >> 8) ^ table(0, crc));
    }
  }
}

/** One aligned-or-not word of four bytes, of which the first is `slice` tables from the end. */
@inline
function word(value: u32, slice: i32): u32 {
  return (
    table(slice, value) ^
    table(slice - 1, value >> 8) ^
    table(slice - 2, value >> 16) ^
    table(slice - 3, value >> 24)
  );
}

/** @param crc 0, or the checksum of what stands before */
export function crc32cFrom(crc: u32, offset: i32, bytes: i32): u32 {
  let value = ~crc;
  const end = offset + bytes;
  while (offset + 16 <= end) {
    value =
      word(value ^ load<u32>(offset), 15) ^
      word(load<u32>(offset, 4), 11) ^
      word(load<u32>(offset, 8), 7) ^
      word(load<u32>(offset, 12), 3);
    offset += 16;
  }
  while (offset < end) {
    value = (value >> 8) ^ table(0, value ^ load<u8>(offset));
    offset++;
  }
  return ~value;
}
