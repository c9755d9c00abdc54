/**
 * The ABI: what the host may call and where it may look. Integers and f64 cross, nothing else; zero
 * imports, fixed memory, nothing allocated. `layout.ts` draws the memory, `ingest.ts` says what one
 * call does, `segment.ts` what comes out, `fault.ts` why something is refused.
 */
import { allowAdd, allowClear } from './allow';
import { crc32cFrom, fillTables } from './crc32c';
import {
  aliasWanted, connectVersion, consumed, fault, heldLimit, heldShared, ingest, needed, stop, waitMs,
} from './ingest';
import {
  CHUNK_BYTES, CHUNK_OFFSET, CLIENT_BYTES, CLIENT_OFFSET, COUNTS_OFFSET, NAME_BYTES, NAME_OFFSET,
  ROW_BYTES, SCRATCH_BYTES, SCRATCH_OFFSET, SEEN_BYTES, SEEN_OFFSET, SEGMENT_BYTES, SEGMENT_OFFSET,
  TABLE_OFFSET, TABLE_ROWS,
} from './layout';
import { bucketsClear, overflows } from './limits';
import {
  limitAdd, limitClaim, limitKeep, limitsSettle, localAdd, localClear, routeAdd, routeFor,
  routesClear, routesRenew,
} from './routes';
import { seal, segmentBytes, segmentFrames, segmentReset, verify } from './segment';

/** Of any bytes of the memory. */
export function crc32c(offset: i32, bytes: i32): u32 {
  return crc32cFrom(0, offset, bytes);
}

fillTables();
routesClear();
localClear();
allowClear();
bucketsClear(0, 0);
segmentReset();

// Places.
export {
  CHUNK_BYTES, CHUNK_OFFSET, CLIENT_BYTES, CLIENT_OFFSET, COUNTS_OFFSET, NAME_BYTES, NAME_OFFSET,
  ROW_BYTES, SCRATCH_BYTES, SCRATCH_OFFSET, SEEN_BYTES, SEEN_OFFSET, SEGMENT_BYTES, SEGMENT_OFFSET,
  TABLE_OFFSET, TABLE_ROWS,
};
// Who may publish where; routes, limits, local filters.
export { allowAdd, allowClear };
export {
  bucketsClear, limitAdd, limitClaim, limitKeep, limitsSettle, localAdd, localClear, overflows,
  routeAdd, routeFor, routesClear, routesRenew,
};
// One chunk, and what came of it.
export {
  aliasWanted, connectVersion, consumed, fault, heldLimit, heldShared, ingest, needed, stop, waitMs,
};
// The segment.
export { seal, segmentBytes, segmentFrames, segmentReset, verify };
