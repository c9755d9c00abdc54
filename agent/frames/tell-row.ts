/**
 * One descriptor row, told to its source in the source's own words: integers come out of the core,
 * names go in. A view of the Topic Name is made only when somebody asks for it.
 */
import type { Phase, Source } from '../ingress/source.ts';
import { ingestFlags, packetTypes, qosShift, row, rowBits, rowWords } from './core.ts';
import type { PathCore } from './path-core.ts';
import { type VerdictName, verdictNames } from './rows.ts';

/** What the core looks for, by the phase of the source. */
export const phaseFlags: Readonly<Record<Phase, number>> = {
  first: ingestFlags.first,
  open: ingestFlags.capture | ingestFlags.captureQos2,
  auth: ingestFlags.auth | ingestFlags.authPending,
  down: ingestFlags.down,
  source: ingestFlags.down | ingestFlags.capture | ingestFlags.captureQos2,
  message: ingestFlags.messages | ingestFlags.capture,
};

/** @returns the verdict on a device's PUBLISH, null for every other packet */
export function tellRow(path: PathCore, index: number, source: Source): VerdictName | null {
  const at = index * rowWords;
  const cell = (word: number): number => path.core.rows[at + word] as number;
  const [type, start, end] = [cell(row.packetType), cell(row.start), cell(row.end)];
  const packetId = cell(row.packetIdentifier);
  const name = () => path.bytesAt(cell(row.topicNameOffset), cell(row.topicNameBytes));
  if (type === packetTypes.connect && source.phase !== 'down') {
    source.connect(start, end);
    return null;
  }
  const verdict = verdictNames[cell(row.verdict)] as VerdictName;
  if (type !== packetTypes.publish || source.phase === 'down') {
    source.passed(type, start, end, packetId);
    return null;
  }
  const [bits, alias] = [cell(row.bits), cell(row.topicAlias)];
  const [qos, copy] = [bits >> qosShift, (bits & rowBits.local) !== 0];
  const aliased = (bits & rowBits.aliased) !== 0;
  const frame = { verdict, start, end, packetId, alias, aliased, topicName: name, qos, copy };
  if (verdict === 'pass') source.published(frame);
  else source.captured(frame);
  return verdict;
}
