/**
 * What the Remaining Length decides before anything else is asked (2.1.4): who cannot say where a
 * packet ends is not asked what it is, or what may stand in it.
 */
import type { Vector } from './vector.ts';

const tooLong: readonly Vector[] = ['20', '36', '40', '50', '62', '70', '82', '90', 'a2', 'b0']
  .concat(['c0', 'd0', 'e0', 'f0'])
  .map((first) => ({
    name: `a Remaining Length of five bytes behind ${first}`,
    version: 5,
    bytes: `${first}\n8080808001 Remaining Length 268,435,456`,
    fault: 'remainingLength',
    faultAfter: 5,
  }));

export const lengthVectors: readonly Vector[] = [
  ...tooLong,
  { name: 'PINGRESP with a byte', version: 5, bytes: 'd001', fault: 'remainingLength' },
  { name: 'PINGREQ with flags and a byte', version: 5, bytes: 'c101', fault: 'remainingLength' },
  {
    name: 'type 0, whatever follows',
    version: 5,
    bytes: '0ac0',
    fault: 'packetType',
    faultAfter: 1,
  },
  {
    name: 'before CONNECT nothing is waited for',
    version: 0,
    phase: 'first',
    bytes: '3680808080',
    fault: 'connectExpected',
    faultAfter: 1,
  },
];
