/**
 * PUBLISH and CONNECT against mqtt-packet, which shares no code with the core. What it generates
 * the core must take and read the same way. What is mutated the core must refuse, or read as
 * mqtt-packet does; it must never trap, nor let bytes outside the chunk decide.
 *
 * mqtt-packet is laxer: it takes any UTF-8, NUL and wildcards in Topic Names, DUP with QoS 0, a
 * Packet Identifier of 0, Topic Alias 0, repeated properties, a Remaining Length of more bytes than
 * needed, and Subscription Identifiers from clients. So the core may refuse what it takes; where
 * the core takes what it refuses, the test fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { generate, type IConnectPacket, type IPublishPacket } from 'mqtt-packet';
import { ingestFlags, loadCore } from '../agent/frames/core.ts';
import { decodeProperties } from '../agent/frames/properties.ts';
import { mutate, mutations, oracle } from './support/oracle.ts';
import { seedOfRun } from './support/random.ts';
import { type Descriptor, type Fed, feed } from './vectors/vector.ts';

const seed = seedOfRun();
const runs = 4_000;
const publishType = 3;

const core = loadCore();
core.routeAdd(core.bytes.write('#', core.SCRATCH_OFFSET), 7, 0, 0);

const text = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom('a', 'é', '漢', '🌊', '/'),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
    ),
    maxLength: 20,
  })
  .map((value) => value.replaceAll('\u0000', ''));
const topicName = text.map((value) => value.replaceAll(/[+#]/g, '') || 't');
const payload = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);

const properties = fc.record(
  {
    payloadFormatIndicator: fc.boolean(),
    messageExpiryInterval: fc.nat({ max: 2 ** 31 - 1 }),
    topicAlias: fc.integer({ min: 1, max: 65_535 }),
    responseTopic: topicName,
    correlationData: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    userProperties: fc.dictionary(
      text.filter((name) => name !== '__proto__'),
      text,
      { minKeys: 1, maxKeys: 3 },
    ),
    contentType: text,
  },
  { requiredKeys: [] },
);

const publish = (version: 4 | 5): fc.Arbitrary<IPublishPacket> =>
  fc
    .record({
      topic: topicName,
      payload,
      qos,
      retain: fc.boolean(),
      dup: fc.boolean(),
      id: fc.integer({ min: 1, max: 65_535 }),
      properties,
    })
    .map(({ id, properties: given, dup, ...rest }) => {
      const packet: IPublishPacket = { cmd: 'publish', ...rest, dup: dup && rest.qos > 0 };
      if (rest.qos > 0) packet.messageId = id;
      if (version === 5) packet.properties = given;
      return packet;
    });

function assertSame(found: Descriptor, packet: IPublishPacket, version: number): void {
  const own = found.aliased ? '' : Buffer.from(found.topicName, 'hex').toString();
  assert.equal(own, packet.topic);
  assert.equal(found.payload, Buffer.from(packet.payload).toString('hex'));
  assert.equal(found.packetIdentifier, packet.messageId ?? 0);
  assert.deepEqual([found.qos, found.retain, found.dup], [packet.qos, packet.retain, packet.dup]);
  if (version !== 5) return;
  const given = packet.properties ?? {};
  const read = decodeProperties(Buffer.from(found.properties, 'hex'));
  const flat = new Map<string, string | string[]>();
  for (const [name, value] of read.userProperties) {
    const before = flat.get(name);
    flat.set(name, before === undefined ? value : [before, value].flat());
  }
  assert.deepEqual(flat, new Map(Object.entries(given.userProperties ?? {})));
  assert.equal(
    read.payloadFormat === undefined ? undefined : read.payloadFormat === 1,
    given.payloadFormatIndicator,
  );
  assert.equal(read.expirySeconds, given.messageExpiryInterval);
  assert.equal(read.contentType, given.contentType);
  assert.equal(read.responseTopic, given.responseTopic);
  assert.equal(read.topicAlias, given.topicAlias);
  assert.equal(found.topicAlias, given.topicAlias ?? 0);
  const correlation = read.correlationData && Buffer.from(read.correlationData).toString('hex');
  assert.equal(correlation, given.correlationData?.toString('hex'));
}

for (const version of [4, 5] as const) {
  test(`what mqtt-packet generates for version ${version} is read the same way`, (t) => {
    t.diagnostic(`seed ${seed}`);
    fc.assert(
      fc.property(
        fc.array(publish(version), { minLength: 1, maxLength: 5 }),
        fc.nat(),
        (packets, cut) => {
          const bytes = Buffer.concat(
            packets.map((packet) => generate(packet, { protocolVersion: version })),
          );
          const at = cut % bytes.length;
          const fed = feed(core, [bytes.subarray(0, at), bytes.subarray(at)], { version });
          assert.equal(fed.fault, null);
          assert.equal(fed.needed, null);
          assert.equal(fed.rows.length, packets.length);
          const { packets: parsed } = oracle(bytes, version);
          for (const [index, found] of fed.rows.entries()) {
            assertSame(found, parsed[index] as IPublishPacket, version);
          }
        },
      ),
      { seed, numRuns: runs },
    );
  });
}

/** The same bytes with other bytes around them must give the same answer. */
function feedAround(bytes: Buffer, version: number, around: number): Fed {
  core.memory.fill(around, core.CHUNK_OFFSET, core.CHUNK_OFFSET + 4_096);
  core.memory.fill(around, core.SCRATCH_OFFSET, core.SCRATCH_OFFSET + 256);
  return feed(core, [bytes], { version });
}

for (const version of [4, 5] as const) {
  test(`mutated packets of version ${version} are refused, or read as mqtt-packet does`, (t) => {
    t.diagnostic(`seed ${seed}`);
    let taken = 0;
    fc.assert(
      fc.property(publish(version), publish(version), mutations, (first, second, how) => {
        const bytes = mutate(
          Buffer.concat(
            [first, second].map((packet) => generate(packet, { protocolVersion: version })),
          ),
          how,
        );
        const fed = feedAround(bytes, version, 0);
        for (const around of [0xff, 0x30, 0x2b]) {
          const other = feedAround(bytes, version, around);
          assert.deepEqual({ ...other, body: 0 }, { ...fed, body: 0 }, 'bytes outside decided');
          assert.ok(other.body.equals(fed.body));
        }
        const { packets } = oracle(bytes, version);
        const hex = bytes.toString('hex');
        for (const [index, found] of fed.rows.entries()) {
          const packet = packets[index];
          // Other types have a test of their own; beyond one, the oracle may have stopped.
          if (found.type !== publishType) break;
          assert.ok(packet, `the core took packet ${index}, the oracle did not: ${hex}`);
          assertSame(found, packet as IPublishPacket, version);
          taken++;
        }
      }),
      { seed, numRuns: runs },
    );
    t.diagnostic(`${taken} mutated packets were still good`);
    assert.ok(taken > runs / 20, 'the mutations leave something to compare');
  });
}

const firstBytes = [
  ...[0x10, 0x20, 0x30, 0x32, 0x35, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xc0, 0xe0, 0xf0],
] as const;

/** Mostly with a sound first byte and length, so that the bodies are reached. */
const randomPackets = fc
  .array(
    fc.oneof(
      fc
        .tuple(fc.constantFrom(...firstBytes), fc.uint8Array({ maxLength: 60 }))
        .map(([first, body]) => Buffer.of(first, body.length, ...body)),
      fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 4 },
  )
  .map((packets) => Buffer.concat(packets));

test('random bytes never trap the core, and say the same however they come', (t) => {
  t.diagnostic(`seed ${seed}`);
  const phases = fc.constantFrom('open' as const, 'first' as const, 'down' as const);
  fc.assert(
    fc.property(randomPackets, phases, fc.constantFrom(0, 3, 4, 5), (bytes, phase, version) => {
      const options = { version, phase, flags: ingestFlags.auth };
      const whole = feed(core, [bytes], options);
      const pieces = [...bytes].map((byte) => Buffer.of(byte));
      const one = feed(core, pieces, options);
      assert.deepEqual(one.rows, whole.rows);
      assert.equal(one.fault, whole.fault);
      assert.ok(one.body.equals(whole.body));
    }),
    { seed, numRuns: runs },
  );
});

const connect: fc.Arbitrary<IConnectPacket> = fc
  .record({
    version: fc.constantFrom(3 as const, 4 as const, 5 as const),
    clientId: text,
    clean: fc.boolean(),
    keepalive: fc.nat({ max: 65_535 }),
    will: fc.option(fc.record({ topic: topicName, payload, qos, retain: fc.boolean() }), {
      nil: undefined,
    }),
    username: fc.option(
      text.filter((value) => value !== ''),
      { nil: undefined },
    ),
    password: payload.filter((bytes) => bytes.length > 0),
    properties: fc.record(
      {
        sessionExpiryInterval: fc.nat({ max: 2 ** 31 - 1 }),
        receiveMaximum: fc.integer({ min: 1, max: 65_535 }),
        topicAliasMaximum: fc.nat({ max: 65_535 }),
      },
      { requiredKeys: [] },
    ),
  })
  .map(({ version, will, username, password, properties: given, clientId, clean, keepalive }) => {
    const packet: IConnectPacket = {
      cmd: 'connect',
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: version,
      clientId: clientId || 'c',
      clean,
      keepalive,
    };
    if (will !== undefined) packet.will = will;
    if (username !== undefined) Object.assign(packet, { username, password });
    if (version === 5) packet.properties = given;
    return packet;
  });

test('CONNECTs that mqtt-packet generates are taken, and their fields are right', (t) => {
  t.diagnostic(`seed ${seed}`);
  fc.assert(
    fc.property(connect, (packet) => {
      const bytes = generate(packet);
      const fed = feed(core, [bytes], { version: 0, phase: 'first' });
      assert.equal(fed.fault, null);
      const found = fed.rows[0];
      assert.equal(found?.topicAlias, packet.protocolVersion);
      assert.equal(found?.packetIdentifier, packet.keepalive);
      assert.equal(Buffer.from(found?.topicName ?? '', 'hex').toString(), packet.clientId);
      assert.equal(((found?.firstByte ?? 0) & 2) !== 0, packet.clean);
      assert.equal(((found?.firstByte ?? 0) & 4) !== 0, packet.will !== undefined);
    }),
    { seed, numRuns: runs },
  );
});
