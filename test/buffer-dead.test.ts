/**
 * Dead letters that go back into the log, or away. A replayed frame is on disk as a letter or as a
 * frame, never as both and never as neither, and every lane's account agrees all the while.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { replayFrames } from '../agent/bounds.ts';
import { openWriter } from '../agent/buffer/database.ts';
import { forgetLane } from '../agent/buffer/forget.ts';
import type { BufferOptions, DeadSelection, ReplayRequest } from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { wasApplied } from '../agent/buffer/sync-recovery.ts';
import { loadCore } from '../agent/frames/core.ts';
import { Replay, type ReplayParts } from '../agent/frames/replay.ts';
import { type FrameView, SegmentReader } from '../agent/frames/segment-reader.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';
import { rawFrame } from './support/raw-frame.ts';

const folder = tempFolder();
after(() => folder.remove());

const kib = 1024;
const cloud = laneSpec('cloud');
const edge = laneSpec('edge');
const both = routeTo('both', [cloud.lane, edge.lane]);
const all: DeadSelection = { ids: null, lane: null, reason: null };
const begin: ReplayRequest = { selection: all, route: null, after: 0, upTo: null };
let files = 0;

function open(change: Partial<BufferOptions> = {}, routes = [both]): BufferRig {
  files += 1;
  const options = optionsFor(join(folder.path, `${files}.db`), change);
  return new BufferRig({ options, lanes: [cloud, edge], routes });
}

function frameOf(index: number): Buffer {
  return rawFrame({ device: 'd', topicName: 'both/t', payload: `p${index}`, buryReason: 1 });
}

/** One segment of so many frames, all of them buried by the lane; what was before is confirmed. */
function bury(rig: BufferRig, count: number, lane = cloud.lane, bodyOf = frameOf): void {
  const { sequence } = rig.append([count]);
  const confirmed = rig.lane(lane).backlogFrames - count;
  const letter = { segment: sequence, routeId: 1, reason: 'recordTooLarge', detail: 'why' };
  rig.advance({
    ...{ lane, to: { segment: sequence + 1, frame: 0 } },
    outcomes: { confirmed, buried: count },
    buried: Array.from({ length: count }, (_, frame) => ({
      ...letter,
      ...{ frame, body: bodyOf(frame) },
    })),
    now: true,
  });
}

/** As the agent joins the two, with the writer in the place of the thread. */
function replayOn(rig: BufferRig, insert?: ReplayParts['insert']): Replay {
  return new Replay({
    epoch: rig.writer.epoch,
    report: (name, fields = {}) => rig.events.push({ name, fields }),
    takeDead: async (request) => rig.writer.takeDead(request),
    discardDead: async (selection) => {
      rig.writer.discardDead({ kind: 'discardDead', id: 1, selection });
      return rig.discarded.at(-1) ?? 0;
    },
    async insert(make, replayed) {
      if (insert) return insert(make, replayed);
      const place = { ...rig.claim(replayed.length), createdMs: 1, livedMs: 1 };
      const batch = { commit: 1, segment: make(place), sessions: [], replayed };
      rig.writer.append({ kind: 'append', ...batch });
    },
  });
}

function accountsAgree(rig: BufferRig): void {
  for (const lane of rig.writer.gauges().lanes) {
    const sum = Object.values(lane.outcomes).reduce((total, count) => total + count, 0);
    assert.equal(lane.appendedFrames, sum + lane.backlogFrames, lane.lane);
  }
}

test('a replayed frame goes to the lane that buried it only, and its letter is gone', async () => {
  const rig = open();
  bury(rig, 3);
  const before = rig.lane(edge.lane);
  const step = await replayOn(rig).step(begin);
  assert.deepEqual(step, { replayed: 3, refused: [], after: 3, upTo: 3, more: false });
  assert.equal(rig.lane(cloud.lane).backlogFrames, 3);
  assert.equal(rig.lane(cloud.lane).appendedFrames, 6);
  assert.equal(rig.lane(cloud.lane).outcomes.buried, 3);
  assert.deepEqual(rig.lane(edge.lane), before);
  assert.equal(rig.writer.gauges().deadLetters, 0);
  assert.equal(rig.writer.gauges().deadLetterBytes, 0);
  accountsAgree(rig);
  const reader = new BufferReader(join(folder.path, `${files}.db`));
  const stored = reader.read(1, 1, 1)[0];
  assert.ok(stored);
  const segment = new SegmentReader(loadCore()).open(new Uint8Array(stored.body));
  assert.ok('frame' in segment);
  assert.deepEqual(
    [segment.sequence, segment.firstFrame, segment.frames, segment.epoch],
    [1, 3, 3, rig.writer.epoch],
  );
  for (let index = 0; index < 3; index++) {
    const frame: FrameView = segment.frame(index);
    assert.equal(Buffer.from(frame.payload).toString(), `p${index}`);
    assert.equal(frame.buryReason, 0, 'it would be buried again');
    const targets = reader.route(frame.routeId)?.targets.map((target) => target.lane);
    assert.deepEqual(targets, [cloud.lane]);
  }
  reader.close();
  rig.writer.stop();
});

test('a replay that waits for room changes nothing; its COMMIT changes both', async () => {
  const rig = open({ bytes: 1024 * kib });
  bury(rig, 2);
  let sent = rig.committed.length;
  while (rig.committed.length === sent && sent < 1_000) {
    rig.append([1], 20 * kib);
    sent += 1;
  }
  const held = sent - 1;
  let make: Parameters<ReplayParts['insert']>[0] | null = null;
  let ids: readonly number[] = [];
  await replayOn(rig, async (made, replayed) => {
    make = made;
    ids = replayed;
  }).step(begin);
  assert.ok(make);
  const place = { ...rig.claim(2), createdMs: 1, livedMs: 1 };
  const segment = (make as Parameters<ReplayParts['insert']>[0])(place);
  rig.writer.append({ kind: 'append', commit: 1, segment, sessions: [], replayed: ids });
  assert.equal(rig.writer.gauges().deadLetters, 2);
  assert.equal(rig.lane(cloud.lane).outcomes.buried, 2);
  const backlog = rig.lane(cloud.lane).backlogFrames;
  for (const lane of [cloud.lane, edge.lane]) {
    const confirmed = rig.lane(lane).backlogFrames;
    rig.advance({ lane, to: { segment: held, frame: 0 }, outcomes: { confirmed }, now: true });
  }
  assert.ok(backlog > 2);
  assert.equal(rig.writer.gauges().deadLetters, 0);
  assert.equal(rig.lane(cloud.lane).backlogFrames, 3, 'the held one, and the two');
  accountsAgree(rig);
  rig.writer.stop();
});

test('what cannot go back is refused by name and stays', async () => {
  const rig = open({}, [both, routeTo('elsewhere', [edge.lane]), routeTo('here', [cloud.lane])]);
  bury(rig, 1);
  bury(rig, 1, cloud.lane, () => Buffer.from('not a frame at all'));
  const path = join(folder.path, `${files}.db`);
  const replay = replayOn(rig);
  const elsewhere = await replay.step({ ...begin, route: 'elsewhere' });
  assert.match(elsewhere.refused[0]?.why ?? '', /elsewhere has no target in cloud/);
  assert.match((await replay.step({ ...begin, route: 'no' })).refused[0]?.why ?? '', /no route no/);
  const step = await replay.step({ ...begin, route: 'here' });
  assert.deepEqual([step.replayed, step.refused], [1, [{ id: 2, why: 'its frame is damaged' }]]);
  assert.equal(rig.writer.gauges().deadLetters, 1);
  accountsAgree(rig);
  rig.writer.stop();
  forgetLane(path, cloud.lane);
  const start = { options: optionsFor(path), lanes: [edge], routes: [both] };
  const next = new BufferRig(start);
  const late = await replayOn(next).step(begin);
  assert.match(late.refused[0]?.why ?? '', /no lane cloud/);
  assert.equal(next.writer.gauges().deadLetters, 1);
  next.writer.stop();
});

test('a replay goes in steps of a segment, over what was there when it began', async () => {
  const rig = open();
  for (let i = 0; i < 3; i++) bury(rig, 500);
  const replay = replayOn(rig);
  const first = await replay.step(begin);
  assert.deepEqual([first.replayed, first.more, first.upTo], [replayFrames, true, 1_500]);
  bury(rig, 1);
  const second = await replay.step({ ...begin, after: first.after, upTo: first.upTo });
  assert.deepEqual([second.replayed, second.more], [1_500 - replayFrames, false]);
  assert.equal(rig.writer.gauges().deadLetters, 1);
  accountsAgree(rig);
  rig.writer.stop();
});

test('two replays at once send each letter once', async () => {
  const rig = open();
  bury(rig, 5);
  const replay = replayOn(rig);
  const steps = await Promise.all([replay.step(begin), replay.step(begin)]);
  assert.deepEqual(
    steps.map((step) => step.replayed),
    [5, 0],
  );
  assert.equal(rig.lane(cloud.lane).backlogFrames, 5);
  rig.writer.stop();
});

test('discard takes those that are meant, and a burial that waited finds the room', async () => {
  const rig = open({ deadLetterBytes: 300 });
  bury(rig, 3);
  bury(rig, 2);
  rig.writer.tick();
  assert.equal(rig.writer.gauges().holding, 'dead letters full');
  const replay = replayOn(rig);
  assert.equal(await replay.discard({ ...all, ids: [99] }), 0);
  assert.equal(await replay.discard({ ...all, reason: 'topicInvalid' }), 0);
  assert.equal(await replay.discard({ ...all, lane: edge.lane }), 0);
  assert.equal(await replay.discard({ ...all, ids: [1, 3] }), 2);
  assert.equal(rig.writer.gauges().deadLetters, 3);
  assert.equal(await replay.discard(all), 3);
  assert.equal(rig.writer.gauges().deadLetterBytes, 0);
  rig.writer.tick();
  assert.equal(rig.writer.gauges().holding, null);
  assert.deepEqual(rig.seen('deadDiscarded').at(-1), { deadLetters: 3 });
  accountsAgree(rig);
  rig.writer.stop();
});

test('after a failed sync a discard is known by the letters that are left', () => {
  const rig = open();
  bury(rig, 2);
  rig.writer.stop();
  const db = openWriter(join(folder.path, `${files}.db`), { checkpointPages: 100 });
  assert.equal(wasApplied(db, [], null, [1]), false);
  db.exec('DELETE FROM dead_letter WHERE id = 1');
  assert.equal(wasApplied(db, [], null, [1]), true);
  db.close();
});
