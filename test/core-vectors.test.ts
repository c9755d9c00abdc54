/**
 * The vectors of test/vectors, each fed whole, byte by byte and split at every point: what the core
 * says must not depend on how the bytes came.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadCore } from '../agent/frames/core.ts';
import { faults } from '../agent/frames/faults.ts';
import { connectVectors } from './vectors/connect.ts';
import { allowRules, connectionVectors } from './vectors/connection.ts';
import { controlVectors } from './vectors/control.ts';
import { lengthVectors } from './vectors/lengths.ts';
import { packetVectors } from './vectors/packets.ts';
import { publishVectors } from './vectors/publish.ts';
import { publishFaults } from './vectors/publish-faults.ts';
import { subscribeVectors } from './vectors/subscribe.ts';
import { bytesOf, type Fed, type FeedOptions, feed, type Vector } from './vectors/vector.ts';

const vectors: readonly Vector[] = [
  ...publishVectors,
  ...publishFaults,
  ...connectVectors,
  ...packetVectors,
  ...lengthVectors,
  ...connectionVectors,
  ...controlVectors,
  ...subscribeVectors,
];

const core = loadCore();
core.routeAdd(core.bytes.write('plant/#', core.SCRATCH_OFFSET), 7, 0, 1);
for (const { filter, groups } of allowRules) {
  core.allowAdd(core.bytes.write(filter, core.SCRATCH_OFFSET), groups);
}

/** More than the longest vector. */
const aroundBytes = 4_096;

function assertFed(vector: Vector, fed: Fed, how: string): void {
  const what = `${vector.name}, ${how}`;
  assert.equal(fed.fault, vector.fault ?? null, what);
  assert.equal(fed.rows.length, vector.rows?.length ?? 0, `rows of ${what}`);
  for (const [index, expected] of (vector.rows ?? []).entries()) {
    const actual = fed.rows[index];
    for (const [field, value] of Object.entries(expected)) {
      assert.equal(
        actual?.[field as keyof typeof actual],
        value,
        `${field} of row ${index}, ${what}`,
      );
    }
  }
}

function splits(bytes: Buffer): [how: string, pieces: Buffer[]][] {
  const ways: [string, Buffer[]][] = [['byte by byte', [...bytes].map((byte) => Buffer.of(byte))]];
  for (let at = 1; at < bytes.length; at++) {
    ways.push([`split at ${at}`, [bytes.subarray(0, at), bytes.subarray(at)]]);
  }
  return ways;
}

for (const vector of vectors) {
  test(`${vector.fault ? `refused as ${vector.fault}` : 'taken'}: ${vector.name}`, () => {
    const bytes = bytesOf(vector.bytes);
    const options: FeedOptions = vector;
    const whole = feed(core, [bytes], options);
    assertFed(vector, whole, 'whole');
    if (vector.fault === undefined) assert.equal(whole.needed, null, 'every byte was taken');
    for (const around of [0x00, 0x01, 0x30, 0xff]) {
      core.memory.fill(around, core.CHUNK_OFFSET, core.CHUNK_OFFSET + aroundBytes);
      assert.deepEqual(feed(core, [bytes], options), whole, `bytes outside decided: ${around}`);
    }
    for (const [how, pieces] of splits(bytes)) {
      const fed = feed(core, pieces, options);
      assertFed(vector, fed, how);
      assert.deepEqual(fed.rows, whole.rows, how);
      assert.ok(fed.body.equals(whole.body), `segment body, ${how}`);
      if (how === 'byte by byte') {
        assert.ok(
          fed.given <= (vector.faultAfter ?? bytes.length),
          `fault known after ${fed.given}`,
        );
      }
    }
  });
}

test('there is a vector for every fault that a device’s bytes can have', () => {
  const lastOfDevice = 49;
  const seen = new Set(vectors.map((vector) => vector.fault));
  for (const [name, number] of Object.entries(faults)) {
    if (number <= lastOfDevice) assert.ok(seen.has(name as keyof typeof faults), name);
  }
});

test('a partial packet says its whole size as soon as that is known', () => {
  const packet = Buffer.from(`3082010007706c616e742f61${'00'.repeat(121)}`, 'hex');
  for (let given = 1; given < packet.length; given++) {
    const { needed } = feed(core, [packet.subarray(0, given)], { version: 4 });
    assert.equal(needed, given < 3 ? 0 : packet.length, `after ${given} bytes`);
  }
});
