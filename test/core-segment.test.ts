/**
 * Segments: what goes into one comes out of it, nothing that is damaged passes, and the scan stops
 * in time when the segment, the table or the budget is used up.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ingestFlags, loadCore, stops, verdicts } from '../agent/frames/core.ts';
import { decodeProperties } from '../agent/frames/properties.ts';
import { type OpenSegment, SegmentReader } from '../agent/frames/segment-reader.ts';
import { call } from './vectors/call.ts';
import { bytesOf, feed } from './vectors/vector.ts';

const bitsPerByte = 8;
const crcAt = 12;

function coreWithRoute(filter = '#', maxPayload = 0): ReturnType<typeof loadCore> {
  const core = loadCore();
  core.routeAdd(core.bytes.write(filter, core.SCRATCH_OFFSET), 77, maxPayload, 0);
  return core;
}

function opened(body: Uint8Array): OpenSegment {
  const open = new SegmentReader(loadCore()).open(body);
  if (!('frame' in open)) throw new Error(open.fault);
  return open;
}

const publish5 = bytesOf(`
  3b                        PUBLISH, DUP, QoS 1, RETAIN
  20                        Remaining Length 32
  0005                      Topic Name: 5 bytes
  612f62c3bc                a/bü
  0102                      Packet Identifier
  12                        Property Length 18
  0101                      Payload Format Indicator 1
  0200000e10                Message Expiry Interval 3600
  03000174                  Content Type t
  26000161000162            User Property a: b
  7b7d00ff                  payload`);

test('CRC32C gives the values the standard gives', () => {
  const core = loadCore();
  const of = (bytes: Uint8Array): number => {
    core.memory.set(bytes, core.CHUNK_OFFSET);
    return core.crc32c(core.CHUNK_OFFSET, bytes.length);
  };
  assert.equal(of(Buffer.from('123456789')), 0xe3069283);
  assert.equal(of(Buffer.alloc(0)), 0);
  // RFC 3720, B.4
  assert.equal(of(Buffer.alloc(32)), 0x8a9136aa);
  assert.equal(of(Buffer.alloc(32, 0xff)), 0x62a8ab43);
  assert.equal(of(Buffer.from(Array.from({ length: 32 }, (_, i) => i))), 0x46dd794e);
  assert.equal(of(Buffer.from(Array.from({ length: 32 }, (_, i) => 31 - i))), 0x113fdb5c);
});

test('CRC32C agrees with one bit at a time, at every length and alignment', () => {
  const core = loadCore();
  const bytes = Buffer.from(Array.from({ length: 100 }, (_, i) => (i * 37 + 11) & 0xff));
  core.memory.set(bytes, core.CHUNK_OFFSET);
  for (let from = 0; from < bitsPerByte; from++) {
    for (let length = 0; length + from <= bytes.length; length++) {
      let crc = ~0;
      for (const byte of bytes.subarray(from, from + length)) {
        crc ^= byte;
        for (let bit = 0; bit < bitsPerByte; bit++)
          crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
      }
      assert.equal(core.crc32c(core.CHUNK_OFFSET + from, length), ~crc >>> 0, `${from}+${length}`);
    }
  }
});

test('a frame comes out of its segment with every field it had', () => {
  const core = coreWithRoute();
  const flags = ingestFlags.capture | ingestFlags.clockUnsynced;
  const clock = { arrivalMs: 1.5e12, livedMs: 42.5 };
  assert.equal(call(core, publish5, { device: 'dévice', version: 5, flags, ...clock }), 1);
  assert.equal(core.stop(), stops.end);
  assert.equal(core.counts[0], 1);
  const bytes = core.seal(0x89abcdef, 0x01234567, 2 ** 40, 2 ** 41, 1.6e12, 43.5);
  assert.equal(bytes, core.segmentBytes());
  const open = opened(
    Buffer.from(core.memory.slice(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + bytes)),
  );
  assert.equal(open.epoch, '0123456789abcdef');
  assert.equal(open.sequence, 2 ** 40);
  assert.equal(open.firstFrame, 2 ** 41);
  assert.equal(open.frames, 1);
  assert.equal(open.createdMs, 1.6e12);
  assert.equal(open.livedMs, 43.5);
  const frame = open.frame(0);
  assert.equal(frame.number, 2 ** 41);
  assert.deepEqual(
    [frame.routeId, frame.protocol, frame.qos, frame.retain, frame.dup, frame.buryReason],
    [77, 1, 1, true, true, 0],
  );
  assert.deepEqual([frame.clockUnsynced, frame.arrivalMs, frame.livedMs], [true, 1.5e12, 42.5]);
  assert.deepEqual([frame.expirySeconds, frame.partition, frame.key], [3600, null, null]);
  assert.deepEqual([frame.eventId, frame.trace], [null, null]);
  assert.deepEqual([frame.device, frame.client, frame.topicName], ['dévice', 'dévice', 'a/bü']);
  assert.equal(Buffer.from(frame.payload).toString('hex'), '7b7d00ff');
  assert.deepEqual(decodeProperties(frame.properties), {
    payloadFormat: 1,
    expirySeconds: 3600,
    contentType: 't',
    userProperties: [['a', 'b']],
  });
  assert.equal(frame.raw.length, bytes - 64);
  assert.throws(() => open.frame(1), RangeError);
});

test('optional fields that other protocols fill are read where the layout has them', () => {
  const core = loadCore();
  const parts = ['device', 't/n', 'pp', 'payload', 'key', 'event', 'trace', 'client'];
  const bytes = Buffer.from(parts.join(''));
  const frame = Buffer.alloc(64);
  const whole = 64 + bytes.length;
  frame.writeUInt32LE(whole, 0);
  frame.writeUInt16LE(6, 32);
  frame.writeUInt16LE(3, 34);
  frame.writeUInt32LE(2, 36);
  frame.writeUInt32LE(7, 40);
  for (const [at, length] of [
    [44, 3],
    [46, 5],
    [48, 5],
    [50, 6],
  ] as const)
    frame.writeUInt16LE(length, at);
  frame.writeInt32LE(3, 52);
  const body = sealed(core, [Buffer.concat([frame, bytes])], 1);
  const view = opened(body).frame(0);
  const text = (value: Uint8Array | null): string => Buffer.from(value ?? []).toString();
  assert.deepEqual(
    [view.device, view.topicName, text(view.properties), text(view.payload), text(view.key)],
    parts.slice(0, 5),
  );
  assert.deepEqual(
    [view.eventId, view.trace, view.client, view.partition],
    ['event', 'trace', 'client', 3],
  );
});

/** A body of our own making, with a checksum that holds. */
function sealed(core: ReturnType<typeof loadCore>, frames: Buffer[], count: number): Buffer {
  const bytes = core.seal(1, 2, 3, 4, 5, 6);
  const header = Buffer.from(core.memory.slice(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + bytes));
  const body = Buffer.concat([header.subarray(0, 64), ...frames]);
  body.writeUInt32LE(body.length, 8);
  body.writeUInt32LE(count, 40);
  return resealed(core, body);
}

function resealed(core: ReturnType<typeof loadCore>, body: Buffer): Buffer {
  body.writeUInt32LE(0, crcAt);
  core.memory.set(body, core.CHUNK_OFFSET);
  body.writeUInt32LE(core.crc32c(core.CHUNK_OFFSET, body.length), crcAt);
  return body;
}

test('no bit flip in a body escapes', () => {
  const core = coreWithRoute();
  const { body } = feed(core, [publish5, publish5], { version: 5 });
  const reader = new SegmentReader(loadCore());
  assert.ok('frame' in reader.open(body));
  for (let bit = 0; bit < body.length * bitsPerByte; bit++) {
    const damaged = Buffer.from(body);
    const at = Math.floor(bit / bitsPerByte);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (bit % bitsPerByte));
    assert.ok('fault' in reader.open(damaged), `bit ${bit} escaped`);
  }
  for (let cut = 0; cut < body.length; cut++) {
    assert.ok('fault' in reader.open(body.subarray(0, cut)), `cut at ${cut} escaped`);
  }
  assert.ok('fault' in reader.open(Buffer.concat([body, Buffer.alloc(1)])), 'a byte too many');
});

test('a body that lies about itself under a checksum that holds is refused by name', () => {
  const core = coreWithRoute();
  const { body } = feed(core, [publish5], { version: 5 });
  const reader = new SegmentReader(loadCore());
  const faultOf = (change: (copy: Buffer) => void): string | null => {
    const copy = Buffer.from(body);
    change(copy);
    const open = reader.open(resealed(core, copy));
    return 'fault' in open ? open.fault : null;
  };
  assert.equal(
    faultOf(() => {}),
    null,
  );
  assert.equal(
    faultOf((copy) => copy.writeUInt32LE(0x31534755, 0)),
    'segmentMagic',
  );
  assert.equal(
    faultOf((copy) => copy.writeUInt16LE(2, 4)),
    'segmentVersion',
  );
  assert.equal(
    faultOf((copy) => copy.writeUInt16LE(1, 6)),
    'segmentFlags',
  );
  assert.equal(
    faultOf((copy) => copy.writeUInt32LE(body.length - 1, 8)),
    'segmentLength',
  );
  assert.equal(
    faultOf((copy) => copy.writeUInt32LE(2, 40)),
    'segmentFrames',
  );
  for (const [at, width] of [
    [64, 4],
    [96, 2],
    [98, 2],
    [100, 4],
    [104, 4],
    [108, 2],
    [114, 2],
  ] as const) {
    assert.equal(
      faultOf((copy) => copy.writeUIntLE(0xff, at, width)),
      'segmentFrames',
      `at ${at}`,
    );
    const most = 256 ** width - 1;
    assert.equal(
      faultOf((copy) => copy.writeUIntLE(most, at, width)),
      'segmentFrames',
      `at ${at}`,
    );
  }
  const longer = faultOf((copy) => {
    copy.writeUInt32LE(copy.readUInt32LE(64) + 1, 64);
    copy.writeUInt32LE(copy.readUInt32LE(104) + 1, 104);
  });
  assert.equal(longer, 'segmentFrames', 'a last frame that says it goes on behind the body');
});

test('a payload over maxBytes is buried with its reason, one at the bound is admitted', () => {
  const core = coreWithRoute('#', 4);
  const packet = (payload: string): Buffer =>
    Buffer.from(
      `30${(3 + payload.length / 2).toString(16).padStart(2, '0')}000161${payload}`,
      'hex',
    );
  const { rows, body } = feed(core, [packet('00000000'), packet('0000000000')], { version: 4 });
  assert.deepEqual(
    rows.map(({ verdict }) => verdict),
    [1, 4],
  );
  const open = opened(body);
  assert.deepEqual([open.frame(0).buryReason, open.frame(1).buryReason], [0, 2]);
});

test('a full segment stops the scan before the packet that does not fit, and loses none', () => {
  const core = coreWithRoute();
  const payload = Buffer.alloc(100_000, 1);
  const packet = Buffer.concat([Buffer.from('30a38d06000161', 'hex'), payload]);
  let frames = 0;
  const tooMany = core.SEGMENT_BYTES / payload.length + 1;
  while (frames < tooMany && call(core, packet) === 1) frames++;
  assert.equal(core.stop(), stops.segmentFull);
  assert.equal(core.consumed(), 0);
  assert.equal(core.segmentFrames(), frames);
  assert.equal(frames, Math.floor((core.SEGMENT_BYTES - 64) / (64 + 1 + payload.length)));
  const bytes = core.seal(1, 2, 3, 4, 5, 6);
  core.segmentReset();
  assert.equal(core.verify(bytes), 0);
  assert.equal(core.segmentBytes(), 64);
  assert.equal(core.counts[0], 0);
  assert.equal(call(core, packet), 1, 'room again');
});

test('QoS 2 is captured only where the host says it can answer it', () => {
  const core = coreWithRoute();
  const packet = Buffer.from('34050001610007', 'hex');
  const passed = feed(core, [packet], { version: 4 }).rows[0];
  assert.deepEqual([passed?.verdict, passed?.route, passed?.qos], [verdicts.pass, 0, 2]);
  const captured = feed(core, [packet], { version: 4, flags: ingestFlags.captureQos2 });
  assert.equal(captured.rows[0]?.verdict, verdicts.admit);
  assert.equal(opened(captured.body).frame(0).qos, 2);
});

test('the budget stops the scan before the first frame beyond it', () => {
  const core = coreWithRoute('a');
  const chunk = Buffer.from(`${'3003000161'.repeat(3)}c0003003000162`, 'hex');
  assert.equal(call(core, chunk, { budget: 2 }), 2);
  assert.equal(core.stop(), stops.budget);
  assert.equal(core.consumed(), 10);
  assert.equal(call(core, chunk.subarray(10), { budget: 1 }), 3, 'passing ones are free');
  assert.equal(core.stop(), stops.end);
});

test('more packets than rows are taken in two calls', () => {
  const core = coreWithRoute('a');
  const count = core.TABLE_ROWS + 5;
  const chunk = Buffer.from('c000'.repeat(count), 'hex');
  assert.equal(call(core, chunk), core.TABLE_ROWS);
  assert.equal(core.stop(), stops.tableFull);
  const { rows, needed } = feed(core, [chunk], { version: 4 });
  assert.equal(rows.length, count);
  assert.equal(needed, null);
});
