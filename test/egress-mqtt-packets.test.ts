/**
 * The packets of MQTT upstreams, as another implementation (mqtt-packet) reads and writes them:
 * PUBLISH with its properties, and the acknowledgements among all that a server says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import mqttPacket, { type IPublishPacket, type Packet } from 'mqtt-packet';
import {
  type Acknowledgement,
  AcknowledgementSplitter,
} from '../agent/egress/mqtt-acknowledgements.ts';
import { encodePublish } from '../agent/egress/mqtt-publish.ts';
import type { EgressRecord } from '../agent/egress/record.ts';
import { mqttUnsaid } from '../agent/egress/unsaid.ts';
import { WindowSegment } from '../agent/egress/window.ts';

const anyText = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 60 })
  .map((text) => text.toWellFormed().replaceAll(new RegExp(mqttUnsaid, 'gu'), '0'));

test('a PUBLISH is what another implementation reads, of both versions, for any record', () => {
  const anyRecord = fc.record({
    topic: anyText.map((text) => `t/${text.replaceAll(/[+#]/g, '')}`),
    value: fc.uint8Array({ maxLength: 300 }),
    fixed: fc.array(fc.tuple(anyText, anyText), { maxLength: 3 }),
    headers: fc.array(fc.tuple(anyText, anyText), { maxLength: 12 }),
    contentType: fc.option(anyText, { nil: undefined }),
    responseTopic: fc.option(fc.constant('answers/here'), { nil: undefined }),
    correlationData: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: undefined }),
    payloadFormat: fc.option(fc.constantFrom(0, 1), { nil: undefined }),
    expirySeconds: fc.option(fc.integer({ min: 1, max: 0xffff_ffff })),
    version: fc.constantFrom(4 as const, 5 as const),
    qos: fc.constantFrom(0 as const, 1 as const, 2 as const),
    retain: fc.boolean(),
  });
  fc.assert(
    fc.property(anyRecord, (one) => {
      const { contentType, responseTopic, correlationData, payloadFormat } = one;
      const properties = { contentType, responseTopic, correlationData, payloadFormat };
      const record = {
        place: { topic: one.topic, headers: one.fixed, encodedHeaders: null },
        headers: one.headers,
        value: one.value,
        segment: new WindowSegment(1, 1, 0, 0),
        carried: {
          retain: true,
          expiresAtMs: null,
          properties: { ...properties, userProperties: [] },
        },
      } as unknown as EgressRecord;
      const { version, qos, retain, expirySeconds } = one;
      const duplicate = qos === 2;
      const bytes = encodePublish(record, {
        version,
        qos,
        retain,
        duplicate,
        packetId: 0x1234,
        expirySeconds,
      });
      const read = parseOne(bytes, version);
      assert.deepEqual(
        [read.topic, read.qos, read.retain, read.dup],
        [one.topic, qos, retain, duplicate],
      );
      if (qos > 0) assert.equal(read.messageId, 0x1234);
      assert.deepEqual(Buffer.from(read.payload), Buffer.from(one.value));
      if (version === 4) return;
      const got = read.properties ?? {};
      assert.equal(got.contentType, contentType);
      assert.equal(got.responseTopic, responseTopic);
      assert.equal(got.messageExpiryInterval, expirySeconds ?? undefined);
      assert.equal(
        got.payloadFormatIndicator,
        payloadFormat === undefined ? undefined : payloadFormat === 1,
      );
      assert.deepEqual(got.correlationData, correlationData && Buffer.from(correlationData));
      assert.deepEqual(pairsOf(got.userProperties), pairsOf([...one.fixed, ...one.headers]));
    }),
    { numRuns: 300 },
  );
});

function parseOne(bytes: Buffer, protocolVersion: number): IPublishPacket {
  const parser = mqttPacket.parser({ protocolVersion });
  const found: Packet[] = [];
  parser.on('packet', (packet) => found.push(packet));
  assert.equal(parser.parse(bytes), 0, 'nothing is left over');
  assert.equal(found.length, 1);
  return found[0] as IPublishPacket;
}

/** By name: the oracle gathers values of one name. */
function pairsOf(pairs: unknown): Record<string, string[]> {
  const all: Record<string, string[]> = Object.create(null);
  const list = Array.isArray(pairs) ? pairs : Object.entries(pairs ?? {});
  for (const [name, value] of list) {
    const known = all[name] ?? [];
    all[name] = [...known, ...[value].flat()];
  }
  return all;
}

test('acknowledgements are found however the bytes are cut, and the rest passes unchanged', () => {
  const packets: Packet[] = [
    { cmd: 'connack', returnCode: 0, reasonCode: 0, sessionPresent: false },
    {
      cmd: 'puback',
      messageId: 1,
      reasonCode: 0x97,
      properties: { reasonString: 'x'.repeat(300) },
    },
    { cmd: 'pingresp' },
    { cmd: 'pubrec', messageId: 0x1234, reasonCode: 0 },
    { cmd: 'publish', topic: 't', payload: 'y'.repeat(20_000), qos: 0, dup: false, retain: false },
    { cmd: 'pubcomp', messageId: 65_535, reasonCode: 0 },
    { cmd: 'disconnect', reasonCode: 0x8b },
  ];
  const wires = packets.map((packet) => mqttPacket.generate(packet, { protocolVersion: 5 }));
  const all = Buffer.concat(wires);
  const others = Buffer.concat(wires.filter((_, i) => ![1, 3, 5].includes(i)));
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (cuts) => {
      const told: Acknowledgement[] = [];
      const splitter = new AcknowledgementSplitter({
        acknowledged: (one) => told.push(one),
        told: () => undefined,
      });
      const rest: Buffer[] = [];
      for (let at = 0, i = 0; at < all.length; i++) {
        const end = at + (cuts[i % cuts.length] as number);
        rest.push(...splitter.split(all.subarray(at, end)));
        at = end;
      }
      assert.deepEqual(told, [
        { kind: 'puback', packetId: 1, reasonCode: 0x97 },
        { kind: 'pubrec', packetId: 0x1234, reasonCode: 0 },
        { kind: 'pubcomp', packetId: 65_535, reasonCode: 0 },
      ]);
      assert.deepEqual(Buffer.concat(rest), others);
    }),
  );
});

test('a PUBLISH refuses what MQTT has no string for', () => {
  const record = (value: string) =>
    ({
      place: { topic: 't', headers: [], encodedHeaders: null },
      headers: [['n', value]],
      value: new Uint8Array(0),
      carried: null,
    }) as unknown as EgressRecord;
  const form = {
    qos: 1,
    retain: false,
    duplicate: false,
    packetId: 1,
    expirySeconds: null,
  } as const;
  for (const value of ['x'.repeat(65_536), 'a\0b']) {
    assert.throws(() => encodePublish(record(value), { version: 5, ...form }), {
      code: 'recordInvalid',
    });
    encodePublish(record(value), { version: 4, ...form });
  }
  encodePublish(record('x'.repeat(65_535)), { version: 5, ...form });
});
