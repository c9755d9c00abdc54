/**
 * A request of version 3 as it comes: the records of each piece are stored together, and answered
 * before the next piece is looked at, for as long as the client keeps the request open.
 *
 *   piece ─▶ objects ─▶ records ─▶ COMMIT ─▶ answers ─▶ piece …
 *
 * What hinders the first records is the status of the whole request, as nothing is answered yet: a
 * client that looks at the status alone does not take them for stored. Behind that each record has
 * its own code; what breaks the stream itself (no JSON, too large) is told last, and ends it.
 */
import { bridgeRecordsMax } from '../bounds.ts';
import type { Judged } from '../ingress/request-source.ts';
import { BridgeRefusal } from './answer.ts';
import type { Lease } from './body.ts';
import { parseExact } from './exact-json.ts';
import { ObjectSplitter } from './objects.ts';
import { assertSomeStored } from './outcomes.ts';
import { type V3Place, type V3Record, v3Answers, v3Record } from './rest-v3.ts';

export interface StreamParts {
  readonly place: V3Place;
  /** Decompressed. */
  readonly pieces: AsyncIterable<Buffer>;
  /** null: the pieces are counted already. */
  readonly lease: Lease | null;
  readonly publish: (records: readonly V3Record[]) => Promise<readonly Judged[]>;
}

/** Answers, some at a time. @throws BridgeRefusal before the first */
export async function* v3Stream(parts: StreamParts): AsyncGenerator<readonly object[]> {
  const splitter = new ObjectSplitter();
  let isFirst = true;
  for await (const piece of parts.pieces) {
    parts.lease?.take(piece.length);
    const objects = splitter.push(piece);
    if (objects.length > bridgeRecordsMax) {
      throw new BridgeRefusal(422, `at most ${bridgeRecordsMax} records at once`);
    }
    const records = objects.map(recordOf);
    if (records.length > 0) {
      yield await answersOf(parts, records, isFirst);
      isFirst = false;
    }
    if (splitter.isBetween) parts.lease?.giveBack();
  }
  if (!splitter.isBetween) throw new BridgeRefusal(400, 'the last object does not end');
  if (isFirst) throw new BridgeRefusal(400, 'the body is empty: send a record');
}

async function answersOf(
  { place, publish }: StreamParts,
  records: readonly (V3Record | BridgeRefusal)[],
  isFirst: boolean,
): Promise<object[]> {
  const good = records.filter((record): record is V3Record => !(record instanceof BridgeRefusal));
  const [bad] = records.filter((record) => record instanceof BridgeRefusal);
  if (isFirst && good.length === 0 && bad !== undefined) throw bad;
  const judged = good.length === 0 ? [] : await publish(good);
  if (isFirst) assertSomeStored(place.topicName, judged);
  return v3Answers(place, records, judged);
}

function recordOf(bytes: Buffer): V3Record | BridgeRefusal {
  try {
    return v3Record(parseExact(bytes));
  } catch (error) {
    if (error instanceof BridgeRefusal) return error;
    throw error;
  }
}
