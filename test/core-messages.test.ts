/**
 * Messages of another protocol through the core: what goes in comes out of the segment, a flipped
 * byte never reads outside the chunk, limits and routes hold for them as for MQTT; and subjects as
 * Topic Names, there and back.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { subjectOf } from '../agent/egress/nats-subject.ts';
import {
  deviceRuleShift,
  deviceRules,
  ingestFlags,
  loadCore,
  stops,
} from '../agent/frames/core.ts';
import { decodeProperties } from '../agent/frames/properties.ts';
import { SegmentReader } from '../agent/frames/segment-reader.ts';
import { MessageChunk, type MessageForm, messageBytes } from '../agent/ingress/message-chunk.ts';
import { topicNameOf } from '../agent/ingress/nats-subject.ts';
import { mutate, mutations } from './support/oracle.ts';

type Core = ReturnType<typeof loadCore>;

const flags = ingestFlags.messages | ingestFlags.capture;
const unbounded = 0x7fffffff;

function coreWithRoute(filter = '#'): Core {
  const core = loadCore();
  core.routeAdd(core.bytes.write(filter, core.SCRATCH_OFFSET), 77, 0, 0);
  return core;
}

function ingest(core: Core, bytes: Uint8Array, more = 0, budget = unbounded): number {
  core.memory.set(bytes, core.CHUNK_OFFSET);
  return core.ingest(bytes.length, 0, 0, 5, flags | more, 0, 0, 0, 0, 0, 1, 2, budget);
}

function written(forms: readonly MessageForm[]): Buffer {
  const chunk = new MessageChunk();
  for (const form of forms) assert.equal(chunk.add(form, messageBytes(form)), true);
  return Buffer.from(chunk.bytes);
}

const texts = fc.string({ maxLength: 40, unit: 'grapheme' });
const names = texts.filter((text) => text !== '' && !/[\0+#]/.test(text));
const forms: fc.Arbitrary<MessageForm> = fc.record({
  topicName: names,
  eventId: texts,
  headers: fc.array(fc.tuple(texts, texts), { maxLength: 5 }),
  payload: fc.uint8Array({ maxLength: 200 }),
  key: fc.option(fc.uint8Array({ minLength: 1, maxLength: 40 })),
  partition: fc.option(fc.nat()),
  timestampMs: fc.option(fc.integer({ min: 1, max: 2 ** 48 })),
});

test('every field of a message comes out of the segment as it went in', () => {
  fc.assert(
    fc.property(
      fc.array(forms, { minLength: 1, maxLength: 20 }),
      fc.boolean(),
      (messages, http) => {
        const core = coreWithRoute();
        const routed = messages.filter(({ topicName }) => !topicName.startsWith('$'));
        const over = http ? ingestFlags.http : 0;
        assert.equal(ingest(core, written(messages), over), messages.length);
        assert.equal(core.stop(), stops.end);
        assert.equal(core.segmentFrames(), routed.length);
        const bytes = core.seal(1, 2, 1, 1, 1, 2);
        const body = core.memory.slice(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + bytes);
        const open = new SegmentReader(loadCore()).open(body);
        if (!('frame' in open)) throw new Error(open.fault);
        for (const [index, message] of routed.entries()) {
          const frame = open.frame(index);
          assert.equal(frame.protocol, http ? 3 : 2);
          assert.equal(frame.topicName, message.topicName);
          assert.deepEqual(
            frame.key && Buffer.from(frame.key),
            message.key && Buffer.from(message.key),
          );
          assert.deepEqual(
            [frame.partition, frame.timestampMs],
            [message.partition, message.timestampMs],
          );
          assert.equal(frame.eventId ?? '', message.eventId);
          assert.deepEqual(Buffer.from(frame.payload), Buffer.from(message.payload));
          const { userProperties } = decodeProperties(frame.properties);
          assert.deepEqual(userProperties, message.headers);
        }
      },
    ),
  );
});

test('damaged messages are refused or read within their chunk, never beyond it', () => {
  fc.assert(
    fc.property(fc.array(forms, { minLength: 1, maxLength: 4 }), mutations, (messages, damage) => {
      const core = coreWithRoute();
      const bytes = mutate(written(messages), damage);
      // Behind the chunk lies what a wrong length would take for a message.
      core.memory.fill(0x41, core.CHUNK_OFFSET, core.CHUNK_OFFSET + core.CHUNK_BYTES);
      const rows = ingest(core, bytes);
      assert.ok(core.consumed() <= bytes.length);
      assert.ok(core.stop() === stops.end || core.stop() === stops.fault);
      assert.ok(rows >= core.segmentFrames());
      assert.equal(core.verify(core.seal(1, 2, 1, 1, 1, 2)), 0);
    }),
    { numRuns: 500 },
  );
});

test('a message without a Topic Name, or with a wildcard in it, is a fault of its own', () => {
  for (const topicName of ['', 'a/+', '#', 'a\0b']) {
    const core = coreWithRoute();
    const good = { topicName: 'a', eventId: '', headers: [], payload: Buffer.from('x') };
    const rows = ingest(core, written([good, { ...good, topicName }, good]));
    assert.equal(rows, 1, JSON.stringify(topicName));
    assert.equal(core.stop(), stops.fault);
    assert.equal(core.consumed(), messageBytes(good));
  }
});

test('the device of a message is its Topic Name, a wildcard, or a header', () => {
  const form = {
    ...{ topicName: 'plant/line-1/pump', eventId: 'id', payload: Buffer.from('x') },
    headers: [['Device', 'from header']] as const,
  };
  for (const [rule, name, device] of [
    [deviceRules.topicName, '', 'plant/line-1/pump'],
    [deviceRules.capture + 2, '', 'pump'],
    [deviceRules.property, 'Device', 'from header'],
    [deviceRules.property, 'Other', 'plant/line-1/pump'],
  ] as const) {
    const core = coreWithRoute('plant/+/+');
    const bytes = written([form]);
    core.memory.set(bytes, core.CHUNK_OFFSET);
    const nameBytes = core.bytes.write(name, core.NAME_OFFSET);
    const more = flags | (rule << deviceRuleShift);
    core.ingest(bytes.length, nameBytes, 0, 5, more, 0, 0, 0, 0, 0, 1, 2, unbounded);
    const length = core.seal(1, 2, 1, 1, 1, 2);
    const body = core.memory.slice(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + length);
    const open = new SegmentReader(loadCore()).open(body);
    if (!('frame' in open)) throw new Error(open.fault);
    assert.equal(open.frame(0).device, device);
  }
});

test('a limit holds messages, and the budget ends a call, as for MQTT', () => {
  const core = coreWithRoute();
  core.limitAdd(0, 1, 1, 0, 2, 0, 0);
  const form = { topicName: 'a', eventId: '', headers: [], payload: Buffer.alloc(10) };
  const bytes = written([form, form, form]);
  assert.equal(ingest(core, bytes), 2);
  assert.equal(core.stop(), stops.held);
  assert.equal(core.consumed(), 2 * messageBytes(form));
  assert.equal(ingest(coreWithRoute(), bytes, 0, 1), 1);
});

test('a chunk takes what fits, gives it back from the front, and takes again', () => {
  const chunk = new MessageChunk();
  const form = { topicName: 'a', eventId: '', headers: [], payload: Buffer.alloc(100_000) };
  let fits = 0;
  while (chunk.add(form, messageBytes(form))) fits += 1;
  assert.equal(fits, 5);
  chunk.consume(chunk.firstBytes);
  assert.equal(chunk.add(form, messageBytes(form)), true);
  assert.equal(chunk.bytes.length, 5 * messageBytes(form));
  assert.equal(chunk.firstBytes, messageBytes(form));
});

const tokens = fc
  .string({ minLength: 1, maxLength: 12, unit: 'grapheme' })
  .filter((token) => !/[\s.*>\p{Cc}\p{Cs}]/u.test(token));

test('a subject is a Topic Name that no other subject has, and comes back from it', () => {
  fc.assert(
    fc.property(fc.array(tokens, { minLength: 1, maxLength: 6 }), (parts) => {
      const subject = parts.join('.');
      const topicName = topicNameOf(subject);
      assert.equal(topicName.split('/').length, parts.length);
      assert.ok(!/[+#\0]/.test(topicName));
      assert.equal(subjectOf(topicName), subject);
    }),
  );
  assert.equal(topicNameOf('plant.a/b.50%.+#'), 'plant/a%2Fb/50%25/%2B%23');
});
