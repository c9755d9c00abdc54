/**
 * Token buckets against a naive model with a map and no bounds; and what the bounds are for: a
 * budget cannot be gamed by filling the table (promise 6).
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { connectionsMax, limitBuckets } from '../agent/bounds.ts';
import {
  type Core,
  limitOver,
  limitPer,
  loadCore,
  row,
  stops,
  verdicts,
} from '../agent/frames/core.ts';
import { SegmentReader } from '../agent/frames/segment-reader.ts';
import { seedOfRun } from './support/random.ts';
import { call } from './vectors/call.ts';

const seed = seedOfRun();
const msPerSecond = 1_000;
const epsilon = 1e-6;

interface Limit {
  readonly per: keyof typeof limitPer;
  readonly messages: number;
  readonly bytes: number;
  readonly burst: number;
  readonly burstBytes: number;
  readonly over: keyof typeof limitOver;
}

interface Frame {
  readonly device: string;
  readonly topicName: string;
  readonly payload: number;
  readonly afterMs: number;
}

function coreWith(limits: readonly Limit[]): Core {
  const core = loadCore();
  core.routeAdd(core.bytes.write('#', core.SCRATCH_OFFSET), 1, 0, 0);
  for (const one of limits) add(core, 0, one);
  return core;
}

function add(core: Core, route: number, one: Limit): number {
  return core.limitAdd(
    route,
    limitPer[one.per],
    one.messages,
    one.bytes,
    one.burst,
    one.burstBytes,
    limitOver[one.over],
  );
}

function packetOf(frame: Frame): Buffer {
  const name = Buffer.from(frame.topicName);
  const remaining = 2 + name.length + frame.payload;
  const bytes = remaining < 128 ? [remaining] : [(remaining & 127) | 128, remaining >> 7];
  const head = Buffer.from([0x30, ...bytes, 0, name.length]);
  return Buffer.concat([head, name, Buffer.alloc(frame.payload)]);
}

interface Answer {
  readonly verdict: number;
  readonly limit: number;
  readonly waitMs: number;
}

function offer(core: Core, frame: Frame, livedMs: number): Answer {
  const rows = call(core, packetOf(frame), { device: frame.device, livedMs, budget: 1 });
  core.segmentReset();
  if (core.stop() === stops.held) {
    assert.equal(rows, 0);
    assert.equal(core.consumed(), 0);
    return { verdict: verdicts.hold, limit: core.heldLimit(), waitMs: core.waitMs() };
  }
  return { verdict: core.rows[row.verdict] ?? -1, limit: core.rows[row.limit] ?? -2, waitMs: 0 };
}

/** Buckets without a table: one for each key there ever was. */
class Naive {
  readonly #buckets = new Map<string, { messages: number; bytes: number; atMs: number }>();
  readonly #limits: readonly Limit[];

  constructor(limits: readonly Limit[]) {
    this.#limits = limits;
  }

  offer(frame: Frame, livedMs: number): Answer {
    const size = packetOf(frame).length;
    const waits = this.#limits.map((limit, index) =>
      this.#waitMs(limit, index, frame, size, livedMs),
    );
    const stopped = waits.findIndex((wait) => wait > 0);
    const over = this.#limits[stopped]?.over;
    if (over === undefined) {
      this.#limits.forEach((limit, index) => {
        const bucket = this.#bucket(limit, index, frame, livedMs);
        bucket.messages -= 1;
        bucket.bytes -= size;
      });
      return { verdict: verdicts.admit, limit: -1, waitMs: 0 };
    }
    return {
      verdict: verdicts[over],
      limit: stopped,
      waitMs: over === 'hold' ? Math.max(...waits) : 0,
    };
  }

  #waitMs(limit: Limit, index: number, frame: Frame, size: number, livedMs: number): number {
    const bucket = this.#bucket(limit, index, frame, livedMs);
    const lacks = (need: number, has: number, rate: number): number =>
      rate === 0 || need - has <= epsilon ? 0 : ((need - has) / rate) * msPerSecond;
    return Math.max(
      lacks(1, bucket.messages, limit.messages),
      lacks(Math.min(size, limit.burstBytes), bucket.bytes, limit.bytes),
    );
  }

  #bucket(
    limit: Limit,
    index: number,
    frame: Frame,
    livedMs: number,
  ): { messages: number; bytes: number } {
    const named = { device: frame.device, topicName: frame.topicName, route: '', gateway: '' }[
      limit.per
    ];
    const key = `${index} ${named}`;
    const fresh = { messages: limit.burst, bytes: limit.burstBytes, atMs: livedMs };
    const bucket = this.#buckets.get(key) ?? fresh;
    const seconds = (livedMs - bucket.atMs) / msPerSecond;
    bucket.messages = Math.min(limit.burst, bucket.messages + seconds * limit.messages);
    bucket.bytes = Math.min(limit.burstBytes, bucket.bytes + seconds * limit.bytes);
    bucket.atMs = livedMs;
    this.#buckets.set(key, bucket);
    return bucket;
  }
}

const limitOf = fc
  .record({
    per: fc.constantFrom(
      'device' as const,
      'route' as const,
      'topicName' as const,
      'gateway' as const,
    ),
    messages: fc.constantFrom(0, 0.5, 3, 10, 100),
    bytes: fc.constantFrom(0, 50, 1000, 65_536),
    burst: fc.integer({ min: 1, max: 10 }),
    burstBytes: fc.integer({ min: 20, max: 600 }),
    over: fc.constantFrom('hold' as const, 'drop' as const, 'bury' as const),
  })
  .filter(({ messages, bytes }) => messages > 0 || bytes > 0);

const frameOf = fc.record({
  device: fc.constantFrom('d1', 'd2', 'a-device-with-a-longer-name'),
  topicName: fc.constantFrom('t', 'plant/line/7', 'plant/line/8'),
  payload: fc.constantFrom(0, 10, 100, 400),
  afterMs: fc.constantFrom(0, 0, 1, 7, 100, 333, 2_000),
});

test('verdicts and waits are those of the naive model', (t) => {
  t.diagnostic(`seed ${seed}`);
  const property = fc.property(
    fc.array(limitOf, { minLength: 1, maxLength: 4 }),
    fc.array(frameOf, { maxLength: 60 }),
    (limits, frames) => {
      const core = coreWith(limits);
      core.bucketsClear(seed, 1);
      const naive = new Naive(limits);
      let livedMs = 1_000_000;
      for (const frame of frames) {
        livedMs += frame.afterMs;
        const [actual, expected] = [offer(core, frame, livedMs), naive.offer(frame, livedMs)];
        assert.equal(actual.verdict, expected.verdict);
        assert.equal(actual.limit, expected.limit);
        assert.ok(
          Math.abs(actual.waitMs - expected.waitMs) < 1e-3,
          `${actual.waitMs} ${expected.waitMs}`,
        );
      }
      assert.equal(core.overflows(), 0);
    },
  );
  fc.assert(property, { seed, numRuns: 1_500 });
});

const frame: Frame = { device: 'd', topicName: 't', payload: 10, afterMs: 0 };
const perDevice: Limit = {
  per: 'device',
  messages: 1,
  bytes: 0,
  burst: 2,
  burstBytes: 0,
  over: 'hold',
};

test('a held frame passes once its wait is over, and not a millisecond before', () => {
  const core = coreWith([{ ...perDevice, messages: 3, burst: 1 }]);
  let livedMs = 12_345;
  for (let i = 0; i < 100; i++) {
    if (i === 0) assert.equal(offer(core, frame, livedMs).verdict, verdicts.admit);
    const { waitMs } = offer(core, frame, livedMs);
    assert.ok(waitMs > 0 && waitMs < 334);
    assert.equal(offer(core, frame, livedMs + waitMs - 1).verdict, verdicts.hold);
    livedMs += waitMs;
    assert.equal(offer(core, frame, livedMs).verdict, verdicts.admit, `round ${i}`);
  }
});

test('a frame larger than the byte burst passes a full bucket; the next waits for all', () => {
  const core = coreWith([{ ...perDevice, messages: 0, bytes: 100, burstBytes: 50 }]);
  const large = { ...frame, payload: 395 }; // 400 and more with its header
  const size = packetOf(large).length;
  assert.equal(offer(core, large, 0).verdict, verdicts.admit);
  const { verdict, waitMs } = offer(core, large, 0);
  assert.equal(verdict, verdicts.hold);
  assert.ok(Math.abs(waitMs - (size / 100) * msPerSecond) < 1e-6, `${waitMs}`);
  assert.equal(offer(core, large, waitMs).verdict, verdicts.admit);
});

test('a hold on one limit leaves the others as they were', () => {
  const shared: Limit = {
    per: 'route',
    messages: 1,
    bytes: 0,
    burst: 3,
    burstBytes: 0,
    over: 'drop',
  };
  const core = coreWith([shared, { ...perDevice, burst: 1 }]);
  assert.equal(offer(core, frame, 0).verdict, verdicts.admit);
  for (let i = 0; i < 10; i++) assert.equal(offer(core, frame, 0).verdict, verdicts.hold);
  assert.equal(core.heldShared(), 0);
  const others = ['e', 'f', 'g'].map((device) => offer(core, { ...frame, device }, 0).verdict);
  assert.deepEqual(others, [verdicts.admit, verdicts.admit, verdicts.drop]);
});

test('devices that share a bucket are told so', () => {
  for (const per of ['route', 'gateway', 'topicName', 'device'] as const) {
    const core = coreWith([{ ...perDevice, per, burst: 1 }]);
    offer(core, frame, 0);
    assert.equal(offer(core, frame, 0).verdict, verdicts.hold);
    assert.equal(core.heldShared(), per === 'device' ? 0 : 1, per);
  }
});

test('a limit that buries stores the frame with its reason', () => {
  const core = coreWith([{ ...perDevice, burst: 1, over: 'bury' }]);
  const packet = packetOf(frame);
  assert.equal(call(core, Buffer.concat([packet, packet])), 2);
  const bytes = core.seal(0, 0, 0, 0, 0, 0);
  const body = core.memory.slice(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + bytes);
  const open = new SegmentReader(loadCore()).open(body);
  assert.ok('frame' in open);
  assert.deepEqual([open.frame(0).buryReason, open.frame(1).buryReason], [0, 1]);
});

test('a flood of names cannot give a device its budget back', () => {
  const core = coreWith([perDevice]);
  core.bucketsClear(seed, 2);
  const victim = { ...frame, device: 'flooder' };
  for (let i = 0; i < 2; i++) assert.equal(offer(core, victim, 0).verdict, verdicts.admit);
  let admitted = 0;
  for (let i = 0; i < limitBuckets * 2; i++) {
    if (offer(core, { ...frame, device: `name-${i}` }, 0).verdict === verdicts.admit) admitted++;
    if (i % 1_000 === 0)
      assert.equal(offer(core, victim, 0).verdict, verdicts.hold, `after ${i} names`);
  }
  assert.equal(offer(core, victim, 0).verdict, verdicts.hold);
  const overflows = core.overflows();
  assert.ok(overflows > limitBuckets / 2, `${overflows} overflows are counted`);
  assert.equal(core.overflows(), 0, 'since the last call');
  // Two more than the table has slots: the overflow bucket's own burst.
  assert.ok(admitted <= limitBuckets + perDevice.burst, `${admitted} new names found a bucket`);
  assert.ok(admitted > limitBuckets * 0.8, `${admitted}: the table was used`);
});

test('buckets that are full again make room, and only they do', () => {
  const core = coreWith([perDevice]);
  core.bucketsClear(seed, 3);
  for (let i = 0; i < limitBuckets * 2; i++) offer(core, { ...frame, device: `old-${i}` }, 0);
  assert.ok(core.overflows() > 0);
  // One token was taken of each: a second later all are full again.
  const fullAgainMs = 1_000;
  offer(core, { ...frame, device: 'early' }, fullAgainMs - 1);
  assert.equal(core.overflows(), 1, 'a millisecond before that nothing gives way');
  for (let i = 0; i < limitBuckets / 2; i++)
    offer(core, { ...frame, device: `new-${i}` }, fullAgainMs);
  assert.equal(core.overflows(), 0);
});

test('two limits of one frame never share a bucket, however full the table is', () => {
  const slow = { ...perDevice, messages: 0.001, burst: 1 };
  const core = coreWith([slow, slow]);
  core.bucketsClear(seed, 6);
  let own = 0;
  for (let i = 0; i < limitBuckets; i++) {
    const one = { ...frame, device: `device-${i}` };
    offer(core, one, 0);
    if (core.overflows() > 0) continue;
    own++;
    assert.equal(offer(core, one, 0).verdict, verdicts.hold, one.device);
    assert.equal(core.overflows(), 0, `${one.device} lost a bucket it had`);
  }
  assert.ok(own > limitBuckets * 0.4, `${own} devices had both`);
});

test('as many devices as may be connected each have a bucket of their own', () => {
  const core = coreWith([perDevice]);
  core.bucketsClear(seed, 5);
  for (let i = 0; i < connectionsMax; i++) offer(core, { ...frame, device: `device-${i}` }, 0);
  assert.equal(core.overflows(), 0);
});

test('the overflow bucket is one for all, and says that it is shared', () => {
  const core = coreWith([perDevice]);
  core.bucketsClear(seed, 4);
  for (let i = 0; i < limitBuckets * 3; i++) offer(core, { ...frame, device: `name-${i}` }, 0);
  const answer = offer(core, { ...frame, device: 'latecomer' }, 0);
  assert.equal(answer.verdict, verdicts.hold);
  assert.equal(core.heldShared(), 1);
});
