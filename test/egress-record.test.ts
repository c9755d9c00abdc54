/**
 * Frame → record: templates, the CloudEvents envelope, and the Kafka record format itself, which
 * another implementation must read back as it was written.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { crc32c, murmur2, Reader, readRecordsBatch } from '@platformatic/kafka';
import fc from 'fast-check';
import type { RouteTarget } from '../agent/buffer/protocol.ts';
import { Backoff } from '../agent/egress/backoff.ts';
import { Drain } from '../agent/egress/drain.ts';
import { RecordBatch } from '../agent/egress/kafka-batch.ts';
import {
  varintBytes,
  writeHeaders,
  writeVarint,
  zigzagVarintAt,
} from '../agent/egress/kafka-varint.ts';
import { positiveMurmur2 } from '../agent/egress/murmur2.ts';
import {
  type EgressRecord,
  type Frame,
  type FrameProperties,
  RouteRenderer,
} from '../agent/egress/record.ts';
import { capturesOf, compileTemplate } from '../agent/egress/template.ts';
import { WindowSegment } from '../agent/egress/window.ts';
import { epoch, frameOf, routeOf } from './support/egress-rig.ts';

const segment = new WindowSegment(1, 10_000, 0, 0);

function render(
  target: Partial<RouteTarget>,
  frame: Partial<Frame> & { value?: string },
  properties: FrameProperties = { userProperties: [] },
): EgressRecord {
  const route = routeOf(target);
  const renderer = new RouteRenderer(route, route.targets[0] as RouteTarget, {
    gateway: route.gateway,
    binding: 'kafka',
    properties: () => properties,
  });
  return renderer.render(frameOf({ number: 42, ...frame }), epoch, segment, 0);
}

const headersOf = (record: EgressRecord) => [...record.place.headers, ...record.headers];

const values = {
  device: 'plant/7',
  client: 'c1',
  topicName: 'a/b/c',
  gateway: 'gw',
  captures: ['x', 'y/z'],
};

test('a template renders every placeholder', () => {
  const template = compileTemplate('{device}|{client}|{topic}|{gateway}|{1}|{2}|{3}.');
  assert.equal(template.render(values), 'plant/7|c1|a/b/c|gw|x|y/z|.');
});

test('a / inside a value becomes . in a Kafka topic, and literals stay', () => {
  assert.equal(compileTemplate('t.{topic}.{2}', '.').render(values), 't.a.b.c.y.z');
});

test('a template captures what the wildcards matched, # with all its levels', () => {
  assert.deepEqual(capturesOf('plant/+/+/#', 'plant/7/s1/a/b'), ['7', 's1', 'a/b']);
  assert.deepEqual(capturesOf('plant/#', 'plant'), ['']);
  assert.deepEqual(capturesOf('+/+', '/x'), ['', 'x']);
});

test('a template refuses a stored template it cannot read', () => {
  assert.throws(() => compileTemplate('{devcie}'), { code: 'recordInvalid' });
  assert.throws(() => compileTemplate('a{device'), { code: 'recordInvalid' });
});

test('a record is a CloudEvent in binary mode with an id that is the same at every retry', () => {
  const record = render({ topic: 't.{1}' }, { device: 'd/ä', topicName: 'plant/7/telemetry' });
  assert.equal(record.place.topic, 't.7');
  assert.equal(String(record.key), 'd/ä');
  assert.deepEqual(Object.fromEntries(headersOf(record)), {
    ce_specversion: '1.0',
    ce_type: 'telemetry',
    ce_source: '//gw1/mqtt/d%2F%C3%A4',
    ce_subject: 'plant/7/telemetry',
    ce_id: `gw1/${epoch}/42`,
    ce_time: '2026-01-02T03:04:05.678Z',
    'tidegate-via': 'gw1',
  });
});

test('a record says when its time is from before the clock was set', () => {
  const record = render({}, { clockUnsynced: true });
  assert.equal(Object.fromEntries(headersOf(record))['tidegate-clock'], 'unsynchronised');
});

test('a record carries MQTT 5 properties along, but lets no device speak for the gateway', () => {
  const record = render(
    {},
    { properties: new Uint8Array(1) },
    {
      contentType: 'application/json',
      userProperties: [
        ['unit', 'C'],
        ['unit', 'K'],
        ['ce_id', 'forged'],
        ['content-type', 'forged'],
        ['tidegate-clock', 'forged'],
        ['tidegate-via', 'gw0'],
      ],
    },
  );
  const headers = headersOf(record);
  assert.deepEqual(
    headers.filter(([name]) => name === 'unit').map(([, value]) => value),
    ['C', 'K'],
  );
  const all = Object.fromEntries(headers);
  assert.equal(all.ce_id, `gw1/${epoch}/42`);
  assert.equal(all['mqtt-ce_id'], 'forged');
  assert.equal(all['content-type'], 'application/json');
  assert.equal(all['mqtt-content-type'], 'forged');
  assert.equal(all['tidegate-clock'], undefined);
  assert.equal(all['tidegate-via'], 'gw0,gw1');
});

test('a record carries Response Topic, Correlation Data and the payload format as headers', () => {
  const correlationData = Buffer.from([0xff, 0x00, 0x61]);
  const record = render(
    {},
    { properties: new Uint8Array(1) },
    {
      responseTopic: 'answers/d1',
      correlationData,
      payloadFormat: 1,
      userProperties: [
        ['mqtt-response-topic', 'forged'],
        ['mqtt-correlation-data', 'forged'],
        ['mqtt-site', 'own'],
      ],
    },
  );
  const all = Object.fromEntries(headersOf(record));
  assert.equal(all['mqtt-response-topic'], 'answers/d1');
  assert.equal(all['mqtt-correlation-data'], correlationData);
  assert.equal(all['mqtt-payload-format'], 'utf-8');
  assert.equal(all['mqtt-mqtt-response-topic'], 'forged');
  assert.equal(all['mqtt-mqtt-correlation-data'], 'forged');
  assert.equal(all['mqtt-site'], 'own');
  const bytes = render(
    {},
    { properties: new Uint8Array(1) },
    { payloadFormat: 0, userProperties: [] },
  );
  assert.equal('mqtt-payload-format' in Object.fromEntries(headersOf(bytes)), false);
});

function hopped(...values: string[]): EgressRecord {
  const userProperties = values.map((value) => ['tidegate-via', value] as const);
  return render({}, { properties: new Uint8Array(1) }, { userProperties });
}

test('a record names the gateways it passed, from one property or several', () => {
  const viaOf = (record: EgressRecord) =>
    headersOf(record).filter(([name]) => name === 'tidegate-via');
  assert.deepEqual(viaOf(hopped('gw5,gw6')), [['tidegate-via', 'gw5,gw6,gw1']]);
  assert.deepEqual(viaOf(hopped('gw5', 'gw6')), [['tidegate-via', 'gw5,gw6,gw1']]);
  assert.equal(viaOf(hopped('a,b,c,d,e,f,g')).length, 1, 'seven hops are not too many');
});

test('a record that comes back to its gateway, or has eight hops, is refused as a loop', () => {
  assert.throws(() => hopped('gw5,gw1'), { code: 'loop' });
  assert.throws(() => hopped('gw5', ' gw1 ', 'gw6'), { code: 'loop' });
  assert.throws(() => hopped('a,b,c,d,e,f,g,h'), { code: 'loop', message: /8 hops/ });
  assert.throws(() => hopped(','.repeat(60_000)), { code: 'loop' });
});

test('a record has only the configured headers with envelope none', () => {
  const record = render({ envelope: 'none', headers: { site: '{1}/{gateway}' } }, {});
  assert.deepEqual(headersOf(record), [['site', 'd1/gw1']]);
});

test('a record has no key when the template renders none', () => {
  assert.equal(render({ key: '' }, {}).key, null);
});

test('a record is refused for a Kafka topic that Kafka would not take', () => {
  for (const topic of ['', '.', '..', 'ä', 'a b', 'x'.repeat(250)]) {
    assert.equal(render({ topic }, {}).place.fault?.code, 'topicInvalid', topic);
  }
  for (const topic of ['a', '...', 'A-z_0.9', 'x'.repeat(249)]) {
    assert.equal(render({ topic }, {}).place.fault, null, topic);
  }
});

test('a record tells apart devices, Topic Names and clients, cached or not', () => {
  const route = routeOf({ topic: '{1}', key: '{client}' });
  const renderer = new RouteRenderer(route, route.targets[0] as RouteTarget, {
    gateway: 'gw1',
    binding: 'kafka',
    properties: () => ({ userProperties: [] }),
  });
  for (let i = 0; i < 20_000; i++) {
    const frame = frameOf({
      device: `d${i % 150}`,
      client: `c${i % 7}`,
      topicName: `plant/${i % 110}/telemetry`,
    });
    const record = renderer.render(frame, epoch, segment, i);
    assert.equal(record.place.topic, String(i % 110));
    assert.equal(String(record.key), `c${i % 7}`);
    assert.equal(Object.fromEntries(record.place.headers).ce_source, `//gw1/mqtt/d${i % 150}`);
  }
});

const codec = {
  bits: 0,
  compress: () => null,
  crc32c: (bytes: Uint8Array) => crc32c(bytes as Buffer),
};
const identity = { producerId: 77n, epoch: 3 };

test('the Kafka record format gives a key the partition a Java producer would', () => {
  // From Kafka's own UtilsTest.testMurmur2.
  const known: [string, number][] = [
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ];
  for (const [key, hash] of known) {
    assert.equal(positiveMurmur2(Buffer.from(key)), hash & 0x7fffffff, key);
  }
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1 }), (key) => {
      assert.equal(positiveMurmur2(key), murmur2(Buffer.from(key)) & 0x7fffffff);
    }),
  );
});

test('the Kafka record format writes and reads varints of every size', () => {
  const buffer = Buffer.alloc(16);
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 50), max: 2 ** 50 }), (value) => {
      const end = writeVarint(buffer, 0, value);
      assert.equal(end, varintBytes(value));
      assert.equal(zigzagVarintAt(buffer, 0), value);
    }),
  );
  for (const edge of [0, -1, 63, 64, -64, -65, 2 ** 30 - 1, -(2 ** 30), 2 ** 31, -(2 ** 31)]) {
    writeVarint(buffer, 0, edge);
    assert.equal(zigzagVarintAt(buffer, 0), edge);
  }
});

test('the Kafka record format writes headers of bytes as they are', () => {
  const bytes = Buffer.from([0xff, 0x00, 0x80]);
  const buffer = Buffer.alloc(16);
  const end = writeHeaders(buffer, 0, [['n', bytes]]);
  assert.equal(buffer.subarray(0, end).toString('hex'), '026e06ff0080');
});

const anyText = fc.string({ unit: 'binary', maxLength: 120 }).map((text) => text.toWellFormed());
const anyRecord = fc.record({
  key: fc.option(fc.uint8Array({ maxLength: 40 })),
  value: fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ minLength: 9_000, maxLength: 9_100 }),
  ),
  fixed: fc.array(fc.tuple(anyText, anyText), { maxLength: 3 }),
  headers: fc.array(fc.tuple(anyText, anyText), { maxLength: 3 }),
  timestampMs: fc.oneof(fc.nat(), fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 })),
});

function batchOf(records: readonly fcRecord[]): RecordBatch {
  const batch = new RecordBatch();
  for (const [frame, one] of records.entries()) {
    batch.append({
      segment,
      frame,
      place: {
        topic: 't',
        key: null,
        keyHash: 0,
        headers: one.fixed,
        unknownTopic: 'hold',
        fault: null,
        encodedHeaders: null,
      },
      key: one.key,
      keyHash: 0,
      value: one.value,
      headers: one.headers,
      timestampMs: one.timestampMs,
      partition: null,
      carried: null,
    });
  }
  return batch;
}

type fcRecord = typeof anyRecord extends fc.Arbitrary<infer T> ? T : never;

function assertHolds(batch: RecordBatch, records: readonly fcRecord[], firstSequence: number) {
  batch.seal(identity, firstSequence, codec);
  const wire = Buffer.from(batch.wire);
  const read = readRecordsBatch(Reader.from(wire));
  assert.equal(read.crc, crc32c(wire.subarray(21)));
  assert.equal(read.length, wire.length - 12);
  assert.deepEqual(
    [read.producerId, read.producerEpoch, read.firstSequence, read.lastOffsetDelta, read.magic],
    [77n, 3, firstSequence, records.length - 1, 2],
  );
  assert.equal(Number(read.maxTimestamp), Math.max(...records.map((one) => one.timestampMs)));
  assert.equal(read.records.length, records.length);
  for (const [i, one] of records.entries()) {
    const got = read.records[i] as (typeof read.records)[number];
    assert.equal(got.offsetDelta, i);
    assert.equal(Number(read.firstTimestamp + got.timestampDelta), one.timestampMs);
    assert.deepEqual(
      got.key == null ? null : Buffer.from(got.key),
      one.key && Buffer.from(one.key),
    );
    assert.deepEqual(Buffer.from(got.value ?? []), Buffer.from(one.value));
    assert.deepEqual(
      got.headers.map(([name, value]) => [String(name), String(value)]),
      [...one.fixed, ...one.headers],
    );
  }
}

test('the Kafka record format is what another implementation reads, for any record', () => {
  fc.assert(
    fc.property(fc.array(anyRecord, { minLength: 1, maxLength: 6 }), (records) => {
      assertHolds(batchOf(records), records, 9);
    }),
    { numRuns: 200 },
  );
});

test('the Kafka record format halves a batch without changing a record', () => {
  fc.assert(
    fc.property(fc.array(anyRecord, { minLength: 2, maxLength: 7 }), (records) => {
      const batch = batchOf(records);
      batch.seal(identity, 0, codec);
      const [left, right] = batch.halve();
      const middle = left.count;
      assertHolds(left, records.slice(0, middle), 0);
      assertHolds(right, records.slice(middle), middle);
      assert.deepEqual([...left.frames, ...right.frames], [...batch.frames]);
    }),
    { numRuns: 100 },
  );
});

test('waiting times grow with full jitter up to the cap and begin again after a success', () => {
  const backoff = new Backoff(() => 0.999_999, 100, 1_000);
  const waits = Array.from({ length: 6 }, () => Math.round(backoff.failed()));
  assert.deepEqual(waits, [100, 200, 400, 800, 1_000, 1_000]);
  backoff.succeeded();
  assert.equal(Math.round(backoff.failed()), 100);
  assert.ok(new Backoff(() => 0).failed() > 0, 'a lucky draw does not spin');
});

test('waiting times shape an old backlog by messages and bytes, and never what is young', () => {
  const drain = new Drain({ messagesPerSecond: 10, bytesPerSecond: null }, 0);
  let sent = 0;
  let nowMs = 0;
  for (; nowMs < 10_000; ) {
    const waitMs = drain.waitMs(60_000, nowMs);
    if (waitMs > 0) nowMs += waitMs;
    else {
      drain.took(100, nowMs);
      sent += 1;
    }
  }
  assert.ok(sent >= 100 && sent <= 112, `${sent} in 10 s at 10/s and a burst of 10`);
  assert.equal(drain.waitMs(1_000, nowMs), 0);
  const bytes = new Drain({ messagesPerSecond: null, bytesPerSecond: 1_000 }, 0);
  bytes.took(3_000, 0);
  assert.ok(Math.abs(bytes.waitMs(60_000, 0) - 2_000) < 5);
});
