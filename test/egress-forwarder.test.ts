/**
 * The forwarder's loop against an upstream that a test holds in its hand: when outcomes come, and
 * whether they come, is the test's choice; the buffer's side adds up what it is told.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EgressRecord, Frame } from '../agent/egress/record.ts';
import { LivedTime } from '../agent/egress/segment-source.ts';
import type { Upstream, UpstreamSink } from '../agent/egress/upstream.ts';
import { TidegateError } from '../agent/errors.ts';
import { FakeLog, frameOf, LaneRig, routeOf, seeded, waitFor } from './support/egress-rig.ts';

class HandUpstream implements Upstream {
  readonly sink: UpstreamSink;
  /** Not yet answered. */
  held: EgressRecord[] = [];
  sent = 0;
  most = 0;
  connects = 0;
  abandoned = 0;
  refuse: TidegateError | null = null;
  /** Answers at once. */
  answers = true;

  constructor(sink: UpstreamSink) {
    this.sink = sink;
  }
  get pending(): number {
    return this.held.length;
  }
  get inFlight(): number {
    return 0;
  }
  async connect(): Promise<void> {
    this.connects += 1;
    if (this.refuse !== null) throw this.refuse;
  }
  submit(record: EgressRecord): void {
    this.held.push(record);
    this.sent += 1;
    this.most = Math.max(this.most, this.held.length);
  }
  flush(): void {
    if (this.answers) queueMicrotask(() => this.confirm());
  }
  confirm(which: (record: EgressRecord) => boolean = () => true): void {
    const answered = this.held.filter(which);
    this.held = this.held.filter((record) => !answered.includes(record));
    for (const { segment, frame } of answered) this.sink.confirmed(segment, frame);
    this.sink.progress();
  }
  pause(): void {}
  resume(): void {}
  async abandon(): Promise<void> {
    this.abandoned += 1;
    this.held = [];
  }
  async close(): Promise<void> {}
}

const rigs: LaneRig[] = [];
afterEach(async () => {
  await Promise.all(rigs.splice(0).map((rig) => rig.forwarder.stop()));
});

function handRig(options: ConstructorParameters<typeof LaneRig>[2] = {}): [LaneRig, HandUpstream] {
  const log = new FakeLog();
  log.routes.set(1, routeOf());
  let upstream: HandUpstream | undefined;
  const make = (sink: UpstreamSink) => {
    upstream = new HandUpstream(sink);
    return upstream;
  };
  const rig = new LaneRig(log, make, { random: () => 0.01, ...options });
  rigs.push(rig);
  return [rig, upstream as unknown as HandUpstream];
}

const frames = (count: number, fields: Partial<Frame> = {}): Frame[] =>
  Array.from({ length: count }, (_, i) => frameOf({ value: String(i), ...fields }));

test('a lane gives every frame exactly one outcome', async () => {
  const [rig] = handRig();
  rig.log.routes.set(2, routeOf({ lane: 'archive/at-least-once' }));
  rig.log.routes.set(3, routeOf({ topic: 'not a topic' }));
  rig.append([...frames(5), ...frames(3, { routeId: 2 }), ...frames(2, { buryReason: 1 })]);
  rig.append([...frames(2, { buryReason: 2 }), ...frames(1, { routeId: 3 })]);
  rig.append(frames(4));
  const damaged = rig.log.segments[2];
  if (damaged !== undefined) damaged.damaged = true;
  rig.append([
    ...frames(3, { expirySeconds: 5, livedMs: -6_000 }),
    ...frames(1, { expirySeconds: 5 }),
  ]);
  rig.append(frames(1, { routeId: 99 }));
  rig.start();
  await rig.settledAll(19);
  await sleep(30);
  assert.deepEqual(rig.outcomes, {
    confirmed: 6,
    buried: 6,
    evicted: 0,
    expired: 3,
    damaged: 4,
    skipped: 0,
    sentOnce: 0,
  });
  assert.deepEqual(
    rig.buried.map(({ reason }) => reason),
    ['limit', 'limit', 'payloadTooLarge', 'payloadTooLarge', 'topicInvalid', 'routeUnknown'],
  );
  assert.deepEqual(rig.position, { segment: 6, frame: 0 });
  assert.deepEqual(
    rig.advances.flatMap(({ damaged: set }) => set),
    [3],
  );
});

test('a lane buries what goes in a circle, by its own reason, and forwards the rest', async () => {
  const [rig] = handRig();
  rig.log.properties = (bytes) => ({ userProperties: [['tidegate-via', `gw${bytes[0]}`]] });
  rig.append([...frames(2, { properties: Uint8Array.of(1) }), ...frames(1)]);
  rig.append(frames(1, { properties: Uint8Array.of(7) }));
  rig.start();
  await rig.settledAll();
  assert.deepEqual([rig.outcomes.confirmed, rig.outcomes.buried], [2, 2]);
  assert.deepEqual(
    rig.buried.map(({ reason }) => reason),
    ['loop', 'loop'],
  );
});

test('a lane begins within a segment where its cursor stands', async () => {
  const [rig, upstream] = handRig();
  rig.append(frames(10));
  rig.position = { segment: 1, frame: 7 };
  rig.start();
  await rig.settledAll(3);
  await sleep(20);
  assert.equal(upstream.sent, 3);
  assert.deepEqual(rig.position, { segment: 2, frame: 0 });
});

test('a lane holds no more than its window, however large the backlog is', async () => {
  const [rig, upstream] = handRig({ bounds: { frames: 100, bytes: 1_000_000 } });
  upstream.answers = false;
  for (let i = 0; i < 50; i++) rig.append(frames(30));
  rig.start();
  await waitFor(() => upstream.held.length >= 90);
  await sleep(30);
  assert.equal(upstream.most, 90);
  // One frame stays unanswered: the others are, but the window does not move past it.
  upstream.confirm((record) => record.frame !== 0 || record.segment.sequence !== 1);
  await sleep(30);
  assert.equal(rig.settled, 0);
  assert.equal(upstream.sent, 90);
  upstream.answers = true;
  upstream.confirm();
  await rig.settledAll();
  assert.ok(upstream.most <= 100);
});

test('no room before the cursor is on disk: a kill repeats one window at most', async () => {
  const [rig, upstream] = handRig({ bounds: { frames: 60, bytes: 1_000_000 } });
  rig.answers = false;
  for (let i = 0; i < 10; i++) rig.append(frames(20));
  rig.start();
  await waitFor(() => rig.settled === 60);
  await sleep(50);
  assert.equal(upstream.sent, 60);
  assert.equal(
    rig.advances.some(({ now }) => now),
    true,
    'pressed, it asks for a commit at once',
  );
});

test('a lane drops what it holds after a jump and ignores answers from before it', async () => {
  const [rig, upstream] = handRig();
  upstream.answers = false;
  for (let i = 0; i < 4; i++) rig.append(frames(10));
  rig.start();
  await waitFor(() => upstream.held.length === 40);
  const old = upstream.held;
  rig.jump({ segment: 3, frame: 0 });
  await waitFor(() => upstream.abandoned === 1 && upstream.held.length === 20);
  for (const { segment, frame } of old) upstream.sink.confirmed(segment, frame);
  upstream.sink.progress();
  await sleep(30);
  assert.equal(rig.settled, 0);
  upstream.confirm();
  await rig.settledAll(20);
  assert.deepEqual(rig.position, { segment: 5, frame: 0 });
});

test('a lane reads again from its cursor when its upstream asks for it', async () => {
  const [rig, upstream] = handRig();
  upstream.answers = false;
  rig.append(frames(10));
  rig.start();
  await waitFor(() => upstream.held.length === 10);
  upstream.confirm((record) => record.frame < 4);
  await rig.settledAll(4);
  upstream.sink.restart('topic made anew');
  await waitFor(() => upstream.held.length === 6 && upstream.abandoned === 1);
  assert.deepEqual(
    upstream.held.map(({ frame }) => frame),
    [4, 5, 6, 7, 8, 9],
  );
  upstream.confirm();
  await rig.settledAll(10);
});

test('a lane says what it waits for while its upstream is down', async () => {
  const [rig, upstream] = handRig();
  upstream.refuse = new TidegateError('upstreamUnreachable', 'nobody there');
  rig.append(frames(3));
  rig.start();
  await waitFor(() => upstream.connects > 3);
  const event = rig.events.find(({ name }) => name === 'laneRetrying');
  assert.equal(event?.fields.code, 'upstreamUnreachable');
  assert.match(String(event?.fields.remedy), /events wait in the buffer/);
  assert.equal(upstream.sent, 0);
  upstream.refuse = null;
  await rig.settledAll();
  assert.deepEqual(rig.states.slice(0, 2), ['connecting', 'forwarding']);
});

test('a lane halts where hands are needed, and an operator resumes it', async () => {
  const [rig, upstream] = handRig();
  upstream.answers = false;
  rig.append(frames(3));
  rig.start();
  await waitFor(() => upstream.held.length === 3);
  upstream.sink.halted(new TidegateError('upstreamUnauthorized', 'no right to write'));
  assert.equal(rig.states.at(-1), 'halted');
  const event = rig.events.find(({ name }) => name === 'laneHalted');
  assert.match(String(event?.fields.remedy), /resume/);
  rig.append(frames(3));
  await sleep(30);
  assert.equal(upstream.sent, 3, 'nothing more is read');
  upstream.answers = true;
  rig.forwarder.resume();
  await rig.settledAll();
});

test('a lane stops sending when paused and goes on when resumed', async () => {
  const [rig, upstream] = handRig();
  rig.start();
  rig.append(frames(3));
  await rig.settledAll();
  rig.forwarder.pause();
  rig.append(frames(3));
  await sleep(30);
  assert.equal(upstream.sent, 3);
  rig.forwarder.resume();
  await rig.settledAll();
  assert.deepEqual(rig.states, ['connecting', 'forwarding', 'paused', 'connecting', 'forwarding']);
});

test('a lane drains an old backlog at the rate it was given', async () => {
  const [rig, upstream] = handRig({
    drain: { messagesPerSecond: 100, bytesPerSecond: null },
    lived: new LivedTime(60_000),
  });
  rig.append(frames(400));
  rig.start();
  await sleep(1_000);
  assert.ok(upstream.sent >= 100 && upstream.sent < 260, `${upstream.sent} in the first second`);
});

test('a lane tells the last cursor before it stops', async () => {
  const [rig, upstream] = handRig();
  upstream.answers = false;
  rig.append(frames(10));
  rig.start();
  await waitFor(() => upstream.held.length === 10);
  upstream.held.splice(0, 6).forEach(({ segment, frame }) => {
    upstream.sink.confirmed(segment, frame);
  });
  await rig.forwarder.stop();
  assert.deepEqual(rig.position, { segment: 1, frame: 6 });
  assert.equal(rig.states.at(-1), 'stopped');
});

test('a lane keeps the sum of outcomes exact under random answers and jumps', async () => {
  const seed = Date.now() % 1_000_000;
  console.log(`seed ${seed}`);
  const random = seeded(seed);
  const [rig, upstream] = handRig({ bounds: { frames: 200, bytes: 1_000_000 } });
  upstream.answers = false;
  rig.start();
  let appended = 0;
  for (let i = 0; i < 150; i++) {
    const count = 1 + Math.floor(random() * 40);
    rig.append(frames(count));
    appended += count;
    await sleep(1);
    upstream.confirm(() => random() < 0.7);
  }
  while (rig.settled < appended) {
    upstream.confirm();
    await sleep(2);
  }
  await sleep(20);
  assert.equal(rig.outcomes.confirmed, appended);
  assert.deepEqual(rig.position, { segment: 151, frame: 0 });
});
