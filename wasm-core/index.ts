/**
 * The ABI: what the host may call and where it may look. Integers and f64 cross, nothing else; zero
 * imports, fixed memory, nothing allocated. `layout.ts` draws the memory, `ingest.ts` says what one
 * call does, `segment.ts` what comes out, `fault.ts` why something is refused.
 */
import { fillTables } from './crc32c';
import { localClear, routesClear } from './routes';
import { bucketsClear } from './limits';
import { segmentReset } from './segment';

export {
  CHUNK_BYTES, CHUNK_OFFSET, COUNTS_OFFSET, NAME_BYTES, NAME_OFFSET, ROW_BYTES, SCRATCH_BYTES,
  SCRATCH_OFFSET, SEGMENT_BYTES, SEGMENT_OFFSET, TABLE_OFFSET, TABLE_ROWS,
} from './layout';
export {
  aliasWanted, consumed, fault, heldLimit, heldShared, ingest, needed, stop, waitMs,
} from './ingest';
export { limitAdd, localAdd, localClear, routeAdd, routesClear } from './routes';
export { bucketsClear, overflows } from './limits';
export { seal, segmentBytes, segmentFrames, segmentReset, verify } from './segment';
import { crc32cFrom } from './crc32c';

export function crc32c(offset: i32, bytes: i32): u32 {
  return crc32cFrom(0, offset, bytes);
}

fillTables();
routesClear();
localClear();
bucketsClear(0, 0);
segmentReset();
