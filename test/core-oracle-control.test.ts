/**
 * The packets of a client without a message against mqtt-packet: what it generates the core must
 * take; what is mutated the core must refuse, or mqtt-packet must read it too.
 *
 * mqtt-packet is laxer in what the tests of `core-oracle.test.ts` name, and in Topic Filters.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { generate, type Packet } from 'mqtt-packet';
import { ingestFlags, loadCore, packetTypes } from '../agent/frames/core.ts';
import { mutate, mutations, oracle } from './support/oracle.ts';
import { seedOfRun } from './support/random.ts';
import { feed } from './vectors/vector.ts';

const seed = seedOfRun();
const runs = 4_000;
const core = loadCore();

const id = fc.integer({ min: 1, max: 65_535 });
const level = fc.constantFrom('a', 'é', '🌊', '', '+', '$SYS', 'a longer level');
const filter = fc
  .tuple(fc.array(level, { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, all]) => (all ? [...levels, '#'] : levels).join('/') || '/');
const userProperties = fc.dictionary(fc.constantFrom('a', 'b', 'ü'), fc.constantFrom('', 'x'), {
  minKeys: 1,
});
const reasoned = fc.record(
  { reasonString: fc.constantFrom('', 'because'), userProperties },
  { requiredKeys: [] },
);
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);

type Draft = Record<string, unknown> & { readonly cmd: Packet['cmd'] };

/** Properties and Reason Codes are version 5's alone. */
function of(version: 4 | 5): fc.Arbitrary<Packet> {
  const acknowledging = (cmd: Packet['cmd'], codes: readonly number[]): fc.Arbitrary<Draft> =>
    fc.record({
      cmd: fc.constant(cmd),
      messageId: id,
      reasonCode: fc.constantFrom(...codes),
      properties: reasoned,
    });
  const subscription = fc.record({
    topic: filter,
    qos,
    ...(version === 5 && { nl: fc.boolean(), rap: fc.boolean(), rh: qos }),
  });
  const drafts: fc.Arbitrary<Draft> = fc.oneof(
    acknowledging('puback', [0, 0x10, 0x97]),
    acknowledging('pubrec', [0, 0x10, 0x80]),
    acknowledging('pubrel', [0, 0x92]),
    acknowledging('pubcomp', [0, 0x92]),
    fc.record({ cmd: fc.constant('pingreq' as const) }),
    fc.record({
      cmd: fc.constant('subscribe' as const),
      messageId: id,
      subscriptions: fc.array(subscription, { minLength: 1, maxLength: 4 }),
      properties: fc.record(
        { subscriptionIdentifier: fc.integer({ min: 1, max: 268_435_455 }), userProperties },
        { requiredKeys: [] },
      ),
    }),
    fc.record({
      cmd: fc.constant('unsubscribe' as const),
      messageId: id,
      unsubscriptions: fc.array(filter, { minLength: 1, maxLength: 4 }),
      properties: fc.record({ userProperties }, { requiredKeys: [] }),
    }),
    fc.record({
      cmd: fc.constant('disconnect' as const),
      reasonCode: fc.constantFrom(0, 4, 0x93),
      properties: fc.record(
        { sessionExpiryInterval: fc.nat({ max: 2 ** 31 - 1 }), userProperties },
        { requiredKeys: [] },
      ),
    }),
  );
  return drafts.map((draft) => {
    const { properties: _, reasonCode: __, ...plain } = draft;
    return (version === 5 ? draft : plain) as unknown as Packet;
  });
}

for (const version of [4, 5] as const) {
  test(`what mqtt-packet generates for version ${version} is taken`, (t) => {
    t.diagnostic(`seed ${seed}`);
    fc.assert(
      fc.property(fc.array(of(version), { minLength: 1, maxLength: 5 }), (packets) => {
        const bytes = packets.map((packet) => generate(packet, { protocolVersion: version }));
        const fed = feed(core, [Buffer.concat(bytes)], { version, flags: ingestFlags.auth });
        assert.equal(fed.fault, null);
        const last = packets.findIndex(({ cmd }) => cmd === 'disconnect');
        const read = last < 0 ? packets : packets.slice(0, last + 1);
        for (const [index, packet] of read.entries()) {
          const found = fed.rows[index];
          assert.equal(found?.type, packetTypes[packet.cmd]);
          const code = 'reasonCode' in packet && packet.cmd === 'disconnect' && packet.reasonCode;
          assert.equal(found?.packetIdentifier, packet.messageId ?? (code || 0));
        }
        assert.equal(fed.rows.length, read.length);
      }),
      { seed, numRuns: runs },
    );
  });

  test(`mutated packets of version ${version} are refused, or mqtt-packet reads them too`, (t) => {
    t.diagnostic(`seed ${seed}`);
    let taken = 0;
    fc.assert(
      fc.property(of(version), of(version), mutations, (first, second, how) => {
        const sound = [first, second].map((one) => generate(one, { protocolVersion: version }));
        const bytes = mutate(Buffer.concat(sound), how);
        const fed = feed(core, [bytes], { version, flags: ingestFlags.auth });
        for (const found of fed.rows) {
          // Each alone: where something may be left out, mqtt-packet reads on into the next.
          const own = bytes.subarray(found.start, found.end);
          const [packet] = oracle(own, version).packets;
          const hex = own.toString('hex');
          assert.ok(packet, `the core took it, the oracle did not: ${hex}`);
          assert.equal(found.type, packetTypes[packet.cmd], hex);
          if (packet.messageId !== undefined && packet.cmd !== 'publish') {
            assert.equal(found.packetIdentifier, packet.messageId, hex);
          }
          taken++;
        }
      }),
      { seed, numRuns: runs },
    );
    t.diagnostic(`${taken} mutated packets were still good`);
    assert.ok(taken > runs / 20, 'the mutations leave something to compare');
  });
}
