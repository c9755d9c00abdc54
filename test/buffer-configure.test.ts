/**
 * A new config on a running buffer: lanes come and go, bounds change in place, egress connects
 * anew. Nothing that was committed is lost or counted twice by it.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { MessagePort } from 'node:worker_threads';
import { type BufferPort, openBuffer } from '../agent/buffer/buffer.ts';
import type { BufferOptions, BufferToEgress, LaneSpec } from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { TidegateError } from '../agent/errors.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';

const folder = tempFolder();
const opened: BufferPort[] = [];
after(async () => {
  for (const buffer of opened) await buffer.stop();
  folder.remove();
});

const kib = 1024;
const smallBytes = 1024 * kib;
const cloud = laneSpec('cloud');
const edge = laneSpec('edge');
const both = routeTo('both', [cloud.lane, edge.lane]);
const first = routeTo('first', [cloud.lane]);
let files = 0;

function freshOptions(change: Partial<BufferOptions> = {}): BufferOptions {
  files += 1;
  return optionsFor(join(folder.path, `${files}.db`), change);
}

function configure(
  rig: BufferRig,
  options: BufferOptions,
  lanes: readonly LaneSpec[],
  routes = [first],
): void {
  const id = rig.configured.length + 1;
  rig.writer.configure({ kind: 'configure', id, lanes, routes, options });
  const answer = rig.configured.at(-1);
  assert.equal(answer?.id, id);
  rig.routeIds = answer?.routeIds ?? [];
}

test('a new lane begins as at open, and is on disk when `configured` is said', () => {
  const options = freshOptions();
  const rig = new BufferRig({ options, lanes: [cloud], routes: [both] });
  rig.append([3]);
  rig.append([2]);
  const oldest = laneSpec('old', { from: 'oldest' });
  const aimed = routeTo('aimed', [cloud.lane, edge.lane, oldest.lane]);
  const late = { ...edge, from: 'oldest' as const };
  configure(rig, options, [cloud, late, oldest], [both, aimed]);
  assert.deepEqual(rig.routeIds, [1, 2]);
  assert.equal(rig.lane(edge.lane).backlogFrames, 5, 'stored routes had a target there');
  assert.equal(rig.lane(oldest.lane).backlogFrames, 0);
  const other = laneSpec('other');
  configure(rig, options, [cloud, late, oldest, other], [both, aimed]);
  assert.deepEqual(rig.lane(other.lane).position, { segment: 2, frame: 0 });
  const reader = new BufferReader(options.path);
  const lanes = reader.stat().lanes.map((lane) => [lane.lane, lane.backlogFrames]);
  reader.close();
  assert.deepEqual(lanes, [
    [cloud.lane, 5],
    [edge.lane, 5],
    [oldest.lane, 0],
    [other.lane, 0],
  ]);
  rig.append([1, 4]);
  assert.equal(rig.lane(oldest.lane).backlogFrames, 4);
  assert.equal(rig.lane(edge.lane).appendedFrames, 10);
  rig.writer.stop();
});

test('a lane that left pins its backlog, and goes on where it was when it is back', () => {
  const options = freshOptions();
  const rig = new BufferRig({ options, lanes: [cloud, edge], routes: [both] });
  for (let i = 0; i < 4; i++) rig.append([1]);
  configure(rig, options, [cloud], [both]);
  assert.equal(rig.lane(edge.lane).configured, false);
  const to = { segment: 4, frame: 0 };
  rig.advance({ lane: cloud.lane, to, outcomes: { confirmed: 4 }, now: true });
  rig.writer.tidy();
  assert.equal(rig.writer.gauges().segments, 4);
  configure(rig, options, [cloud, edge], [both]);
  assert.deepEqual(rig.lane(edge.lane).position, { segment: 0, frame: 0 });
  assert.ok(rig.lane(edge.lane).configured);
  rig.writer.stop();
});

test('bounds change in place: what was held passes, what is too much is skipped or evicted', () => {
  const options = freshOptions({ bytes: smallBytes });
  const strict = laneSpec('cloud', { lag: { bytes: 30 * kib, ageMs: 1e12, over: 'hold' } });
  const rig = new BufferRig({ options, lanes: [strict], routes: [first] });
  rig.append([1], 20 * kib);
  rig.append([1], 20 * kib);
  assert.deepEqual([rig.committed.length, rig.writer.gauges().holding], [1, `lag ${cloud.lane}`]);
  configure(rig, options, [cloud]);
  assert.deepEqual([rig.committed.length, rig.writer.gauges().holding], [2, null]);
  let count = 2;
  while (rig.committed.length === count && count < 1_000) {
    count += 1;
    rig.append([1], 20 * kib);
  }
  configure(rig, { ...options, bytes: 2 * smallBytes }, [cloud]);
  assert.equal(rig.committed.length, count);
  assert.equal(rig.writer.gauges().limitBytes, 2 * smallBytes);
  const skip = laneSpec('cloud', { lag: { bytes: 60 * kib, ageMs: 1e12, over: 'skip' } });
  configure(rig, { ...options, bytes: 2 * smallBytes }, [skip]);
  assert.equal(rig.lane(cloud.lane).backlogFrames, 3);
  configure(rig, { ...options, bytes: smallBytes / 2, whenFull: 'dropOldest' }, [cloud]);
  for (let i = 0; i < 40; i++) rig.append([1], 20 * kib);
  assert.equal(rig.committed.length, count + 40);
  assert.ok(rig.writer.gauges().usedBytes <= smallBytes / 2);
  configure(rig, { ...options, whenFull: 'dropOldest', ageMs: 1_000 }, [cloud]);
  const before = rig.lane(cloud.lane).outcomes.evicted;
  rig.nowMs += 2_000;
  rig.writer.tick();
  assert.ok(rig.lane(cloud.lane).outcomes.evicted > before);
  rig.writer.stop();
});

test('the path cannot change', async () => {
  const options = freshOptions();
  const start = { options, lanes: [cloud], routes: [first] };
  const buffer = await openBuffer(start, () => {});
  opened.push(buffer);
  const other = { ...options, path: `${options.path}.other` };
  const isInternal = (error: unknown) =>
    error instanceof TidegateError && error.code === 'internal';
  await assert.rejects(buffer.configure([cloud], [first], other), isInternal);
  assert.deepEqual(await buffer.configure([cloud], [both, first], options), [2, 1]);
  await buffer.stop();
});

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

interface Heard {
  readonly port: MessagePort;
  readonly messages: BufferToEgress[];
}

function hear(port: MessagePort): Heard {
  const messages: BufferToEgress[] = [];
  port.on('message', (message: BufferToEgress) => messages.push(message));
  return { port, messages };
}

function advance(port: MessagePort, generation: number, segment: number): void {
  const what = { lane: cloud.lane, generation, to: { segment, frame: 0 } };
  const rest = { outcomes: { confirmed: 1 }, buried: [], damaged: [], now: true };
  port.postMessage({ kind: 'advance', id: segment, ...what, ...rest });
}

test('egress connects anew: an old port says nothing more', async () => {
  const options = freshOptions();
  const buffer = await openBuffer({ options, lanes: [cloud], routes: [first] }, () => {});
  opened.push(buffer);
  for (let sequence = 0; sequence < 4; sequence++) {
    const place = { sequence, firstFrame: sequence, frames: 1, createdMs: 1, livedMs: 1 };
    const segment = { ...place, body: new ArrayBuffer(100), routes: [[1, 1] as const] };
    buffer.append({ commit: sequence + 1, segment, sessions: [] });
  }
  await buffer.stat();
  const old = hear(buffer.connectEgress([cloud.lane]));
  await buffer.stat();
  advance(old.port, 1, 1);
  const next = hear(buffer.connectEgress([cloud.lane]));
  await until(() => next.messages.length > 0);
  assert.deepEqual(next.messages[0], {
    ...{ kind: 'cursor', lane: cloud.lane, generation: 2 },
    position: { segment: 1, frame: 0 },
  });
  advance(old.port, 1, 2);
  advance(old.port, 2, 3);
  advance(next.port, 1, 4);
  await until(() => next.messages.some((one) => one.kind === 'advanced'));
  const [unmoved] = (await buffer.stat()).lanes;
  assert.deepEqual(unmoved?.position, { segment: 1, frame: 0 });
  advance(next.port, 2, 2);
  old.port.close();
  await until(() => next.messages.some((one) => one.kind === 'advanced' && one.id === 2));
  const [lane] = (await buffer.stat()).lanes;
  assert.deepEqual(lane?.position, { segment: 2, frame: 0 });
  assert.equal(lane?.outcomes.confirmed, 2);
  const answered = next.messages.flatMap((one) => (one.kind === 'advanced' ? one.id : []));
  assert.deepEqual(answered, [4, 2], 'of its own two, and of nobody else');
  await buffer.stop();
});
