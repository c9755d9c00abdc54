/**
 * Room: what happens when the buffer, one lane's lag, or the dead letters' share is full, and when
 * events grow old. Every frame that is given up is counted exactly.
 */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BufferOptions, BuriedFrame, LaneSpec } from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';

const folder = tempFolder();
after(() => folder.remove());

const kib = 1024;
const smallBytes = 1024 * kib;
const bodyBytes = 20 * kib;
const framesEach = 10;
const cloud = laneSpec('cloud');
let files = 0;

function open(change: Partial<BufferOptions>, lanes: LaneSpec[] = [cloud]): BufferRig {
  files += 1;
  const options = optionsFor(join(folder.path, `${files}.db`), { bytes: smallBytes, ...change });
  const routes = [
    routeTo(
      'all',
      lanes.map((spec) => spec.lane),
    ),
    routeTo('first', [cloud.lane]),
  ];
  return new BufferRig({ options, lanes, routes });
}

function fillUntilHeld(rig: BufferRig): void {
  for (let count = 0; count < 1_000; count++) {
    rig.append([framesEach], bodyBytes);
    if (rig.committed.length <= count) return;
  }
  assert.fail('it never held');
}

function passSegments(rig: BufferRig, lane: string, upTo: number): void {
  const { segment } = rig.lane(lane).position;
  const confirmed = (upTo - segment) * framesEach;
  rig.advance({ lane, to: { segment: upTo, frame: 0 }, outcomes: { confirmed }, now: true });
}

function deadLetter(frame: number, bytes: number): BuriedFrame {
  const body = new Uint8Array(bytes).fill(frame);
  return { segment: 0, frame, routeId: 1, reason: 'recordInvalid', detail: 'why', body };
}

test('hold: a full buffer leaves the append unacknowledged until there is room', () => {
  const rig = open({});
  fillUntilHeld(rig);
  const held = rig.committed.length;
  assert.ok(rig.writer.gauges().usedBytes <= smallBytes);
  assert.ok(held * bodyBytes > smallBytes / 2, 'it took what there was room for');
  for (let i = 0; i < 10; i++) rig.writer.tick();
  assert.equal(rig.committed.length, held);
  assert.equal(rig.writer.gauges().holding, 'full');
  passSegments(rig, cloud.lane, 1);
  assert.equal(rig.committed.length, held + 1, 'one went, one came');
  rig.append([framesEach], bodyBytes);
  assert.equal(rig.committed.length, held + 1);
  passSegments(rig, cloud.lane, held);
  rig.writer.tick();
  assert.equal(rig.committed.length, held + 2);
  assert.equal(rig.writer.gauges().holding, null);
  assert.deepEqual(rig.seen('bufferHolding'), [{ reason: 'full' }]);
  assert.equal(rig.seen('bufferReleased').length, 1);
  assert.equal(rig.lane(cloud.lane).outcomes.evicted, 0);
  rig.writer.stop();
});

test('dropOldest: the oldest go, and each lane counts exactly what it had not passed', () => {
  const ahead = laneSpec('ahead');
  const rig = open({ whenFull: 'dropOldest' }, [cloud, ahead]);
  const segments = 100;
  rig.append([framesEach], bodyBytes);
  rig.advance({
    lane: cloud.lane,
    to: { segment: 0, frame: 7 },
    outcomes: { confirmed: 7 },
    now: true,
  });
  for (let i = 1; i < segments; i++) {
    rig.append([framesEach], bodyBytes);
    passSegments(rig, ahead.lane, i);
  }
  const gauges = rig.writer.gauges();
  const { position, outcomes, backlogFrames } = rig.lane(cloud.lane);
  assert.equal(rig.committed.length, segments);
  assert.ok(gauges.usedBytes <= smallBytes);
  assert.equal(gauges.segments, segments - position.segment);
  assert.equal(outcomes.evicted, position.segment * framesEach - 7);
  assert.equal(backlogFrames, (segments - position.segment) * framesEach);
  assert.equal(rig.lane(ahead.lane).outcomes.evicted, 0);
  const told = rig.seen('bufferEvicted').reduce((sum, { frames }) => sum + Number(frames), 0);
  assert.equal(told, outcomes.evicted);
  assert.deepEqual(rig.jumps.at(-1)?.position, position);
  rig.writer.stop();
});

test('an advance from before a jump is answered and ignored', () => {
  const rig = open({ whenFull: 'dropOldest' });
  for (let i = 0; i < 100; i++) rig.append([framesEach], bodyBytes);
  const before = rig.lane(cloud.lane);
  assert.ok(before.outcomes.evicted > 0);
  const to = { segment: before.position.segment + 1, frame: 0 };
  const late = { lane: cloud.lane, to, outcomes: { confirmed: framesEach }, now: true };
  const { id } = rig.advance({ ...late, generation: 1, buried: [deadLetter(0, 10)] });
  assert.deepEqual(rig.answered, [id]);
  assert.deepEqual(rig.lane(cloud.lane), before);
  assert.equal(rig.writer.gauges().deadLetters, 0);
  rig.writer.stop();
});

test('lag skip: a lane that is behind loses its oldest, counted, and no other lane notices', () => {
  const lag = { bytes: 5 * bodyBytes, ageMs: 1e12, over: 'skip' as const };
  const edge = laneSpec('edge', { lag });
  const rig = open({ bytes: 64 * smallBytes }, [cloud, edge]);
  for (let i = 0; i < 12; i++) rig.append([framesEach], bodyBytes);
  const lane = rig.lane(edge.lane);
  assert.equal(lane.backlogBytes, 5 * bodyBytes);
  assert.equal(lane.outcomes.skipped, 7 * framesEach);
  assert.deepEqual(lane.position, { segment: 7, frame: 0 });
  assert.equal(rig.lane(cloud.lane).backlogFrames, 12 * framesEach);
  assert.equal(rig.lane(cloud.lane).outcomes.skipped, 0);
  const told = rig.seen('bufferSkipped').reduce((sum, { frames }) => sum + Number(frames), 0);
  assert.equal(told, 7 * framesEach);
  rig.writer.stop();
});

test('lag hold: a lane may stop acknowledgements only of its own frames', () => {
  const lag = { bytes: 5 * bodyBytes, ageMs: 1e12, over: 'hold' as const };
  const edge = laneSpec('edge', { lag });
  const rig = open({ bytes: 64 * smallBytes }, [cloud, edge]);
  for (let i = 0; i < 5; i++) rig.append([framesEach], bodyBytes);
  rig.append([0, framesEach], bodyBytes);
  assert.equal(rig.committed.length, 6, 'what has no target there does not wait');
  rig.append([framesEach], bodyBytes);
  assert.equal(rig.committed.length, 6);
  assert.equal(rig.writer.gauges().holding, `lag ${edge.lane}`);
  passSegments(rig, edge.lane, 1);
  assert.equal(rig.committed.length, 7);
  rig.writer.stop();
});

test('lag age: skip moves on by lived time without an append, hold waits', () => {
  const lag = { bytes: 1e12, ageMs: 1_000, over: 'skip' as const };
  const edge = laneSpec('edge', { lag });
  const rig = open({ bytes: 64 * smallBytes }, [cloud, edge]);
  rig.append([framesEach]);
  rig.nowMs += 600;
  rig.append([framesEach]);
  rig.nowMs += 600;
  rig.writer.tick();
  assert.equal(rig.lane(edge.lane).outcomes.skipped, framesEach);
  assert.equal(rig.lane(edge.lane).backlogFrames, framesEach);
  rig.writer.stop();
  const strict = laneSpec('cloud', { lag: { ...lag, over: 'hold' } });
  const holding = open({ bytes: 64 * smallBytes }, [strict]);
  holding.append([framesEach]);
  holding.nowMs += 1_200;
  holding.append([framesEach]);
  assert.equal(holding.committed.length, 1);
  passSegments(holding, strict.lane, 1);
  assert.equal(holding.committed.length, 2);
  holding.writer.stop();
});

test('age: dropOldest evicts what has lived longer, hold warns only; both by lived time', () => {
  for (const whenFull of ['hold', 'dropOldest'] as const) {
    const rig = open({ whenFull, ageMs: 60_000 });
    rig.append([framesEach]);
    rig.append([framesEach]);
    rig.nowMs += 61_000;
    rig.append([framesEach]);
    rig.writer.tick();
    const evicted = whenFull === 'dropOldest' ? 2 * framesEach : 0;
    assert.equal(rig.lane(cloud.lane).outcomes.evicted, evicted);
    assert.equal(rig.seen('bufferAged').length, whenFull === 'hold' ? 1 : 0);
    rig.writer.tick();
    assert.equal(rig.seen('bufferAged').length, whenFull === 'hold' ? 1 : 0);
    rig.writer.stop();
  }
});

test('lived time goes on after a restart where it was, and never back', () => {
  const options = optionsFor(join(folder.path, 'lived.db'));
  const start = { options, lanes: [cloud], routes: [] };
  const first = new BufferRig(start);
  first.nowMs += 90_000;
  first.writer.stop();
  const second = new BufferRig(start);
  assert.equal(second.writer.livedMs(), 90_000);
  second.nowMs += 10_000;
  assert.equal(second.writer.livedMs(), 100_000);
  second.writer.stop();
});

test('burial and the cursor past it are one; a full share holds it, or lets the oldest go', () => {
  for (const whenFull of ['hold', 'dropOldest'] as const) {
    const rig = open({ whenFull, deadLetterBytes: 3 * kib, bytes: 64 * smallBytes });
    rig.append([framesEach]);
    const bury = (frame: number) =>
      rig.advance({
        lane: cloud.lane,
        to: { segment: 0, frame: frame + 1 },
        outcomes: { buried: 1 },
        buried: [deadLetter(frame, kib)],
        now: true,
      });
    for (let frame = 0; frame < 5; frame++) bury(frame);
    rig.writer.tick();
    const passed = whenFull === 'hold' ? 3 : 5;
    assert.equal(rig.lane(cloud.lane).outcomes.buried, passed);
    assert.deepEqual(rig.lane(cloud.lane).position, { segment: 0, frame: passed });
    assert.equal(rig.answered.length, passed);
    assert.equal(rig.writer.gauges().deadLetterBytes, 3 * kib);
    const held = whenFull === 'hold' ? 'dead letters full' : null;
    assert.equal(rig.writer.gauges().holding, held);
    const reader = new BufferReader(join(folder.path, `${files}.db`));
    const [oldest] = reader.deadLetters();
    assert.equal(oldest?.reason, 'recordInvalid');
    assert.deepEqual(reader.deadLetterBody(oldest?.id ?? 0)?.[0], passed - 3);
    reader.close();
    const gone = rig.seen('bufferEvicted').reduce((sum, one) => sum + Number(one.deadLetters), 0);
    assert.equal(gone, passed - 3);
    rig.writer.stop();
  }
});

test('a damaged segment is set aside and counted by every lane, and the rest goes on', () => {
  const other = laneSpec('other');
  const rig = open({}, [cloud, other]);
  for (let i = 0; i < 3; i++) rig.append([framesEach]);
  const partly = { lane: cloud.lane, to: { segment: 1, frame: 4 }, outcomes: { confirmed: 14 } };
  rig.advance({ ...partly, now: true });
  for (const lane of [cloud.lane, other.lane]) {
    const confirmed = lane === cloud.lane ? framesEach : 2 * framesEach;
    const to = { segment: 3, frame: 0 };
    rig.advance({ lane, to, outcomes: { confirmed }, damaged: [1], now: true });
  }
  assert.equal(rig.lane(cloud.lane).outcomes.damaged, framesEach - 4);
  assert.equal(rig.lane(other.lane).outcomes.damaged, framesEach);
  assert.equal(rig.lane(cloud.lane).backlogFrames, 0);
  assert.equal(rig.lane(other.lane).backlogFrames, 0);
  assert.equal(rig.writer.stat().damagedSegments, 1);
  assert.equal(rig.seen('bufferDamaged').length, 1);
  assert.deepEqual(rig.seen('unexpected'), []);
  rig.writer.stop();
});

test('trim is bounded in each commit, and what is left goes while nothing else is to do', () => {
  const rig = open({ bytes: 64 * smallBytes });
  const segments = 300;
  for (let i = 0; i < segments; i++) rig.append([1]);
  rig.advance({
    lane: cloud.lane,
    to: { segment: segments, frame: 0 },
    outcomes: { confirmed: segments },
    now: true,
  });
  assert.equal(rig.writer.gauges().segments, segments - 64);
  let stepsLeft = 0;
  while (rig.writer.tidy()) stepsLeft += 1;
  assert.ok(stepsLeft >= 3);
  assert.equal(rig.writer.gauges().segments, 1, 'the newest stays: it numbers the next');
  rig.append([1]);
  assert.deepEqual(rig.lane(cloud.lane).position, { segment: segments, frame: 0 });
  rig.writer.stop();
});

test('the file shrinks in steps when most of it is free', () => {
  const rig = open({ bytes: 256 * smallBytes });
  const segments = 60;
  for (let i = 0; i < segments; i++) rig.append([1], 512 * kib);
  const path = join(folder.path, `${files}.db`);
  rig.advance({
    lane: cloud.lane,
    to: { segment: segments, frame: 0 },
    outcomes: { confirmed: segments },
    now: true,
  });
  while (rig.writer.tidy());
  for (let i = 0; i < 20; i++) rig.writer.tick();
  rig.writer.stop();
  assert.ok(statSync(path).size < 20 * smallBytes, `${statSync(path).size} bytes are left`);
});

test('the reserve is real blocks of the size asked for', () => {
  const path = join(folder.path, 'reserve.db');
  const rig = new BufferRig({
    options: optionsFor(path, { reserveBytes: 2 * smallBytes }),
    lanes: [cloud],
    routes: [],
  });
  const { size, blocks } = statSync(`${path}.reserve`);
  assert.equal(size, 2 * smallBytes);
  assert.ok(blocks * 512 >= size);
  rig.writer.stop();
});
