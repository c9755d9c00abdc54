/**
 * mqtt-packet as the second opinion on bytes, and the mutations that make it worth asking: bits
 * flipped, bytes set, dropped, inserted, the end cut off.
 */
import fc from 'fast-check';
import { type Packet, parser } from 'mqtt-packet';

/** All packets it finds, and whether it gave up. */
export function oracle(bytes: Buffer, version: 4 | 5): { packets: Packet[]; error: boolean } {
  const packets: Packet[] = [];
  let error = false;
  const parse = parser({ protocolVersion: version });
  parse.on('packet', (packet) => packets.push(packet));
  parse.on('error', () => {
    error = true;
  });
  try {
    parse.parse(bytes);
  } catch {
    error = true;
  }
  return { packets, error };
}

export type Mutation = [
  kind: 'flip' | 'drop' | 'insert' | 'cut' | 'set',
  at: number,
  value: number,
];

/** Each place is taken modulo the length, so every mutation hits. */
export function mutate(bytes: Buffer, mutations: readonly Mutation[]): Buffer {
  let now = Buffer.from(bytes);
  for (const [kind, place, value] of mutations) {
    if (now.length === 0) break;
    const at = place % now.length;
    if (kind === 'flip') now[at] = (now[at] ?? 0) ^ (1 << (value % 8));
    else if (kind === 'set') now[at] = value;
    else if (kind === 'drop') now = Buffer.concat([now.subarray(0, at), now.subarray(at + 1)]);
    else if (kind === 'cut') now = Buffer.from(now.subarray(0, at));
    else now = Buffer.concat([now.subarray(0, at), Buffer.of(value), now.subarray(at)]);
  }
  return now;
}

export const mutations = fc.array(
  fc.tuple(
    fc.constantFrom('flip', 'drop', 'insert', 'cut', 'set'),
    fc.nat({ max: 400 }),
    fc.nat({ max: 255 }),
  ),
  { minLength: 1, maxLength: 4 },
) as fc.Arbitrary<Mutation[]>;
