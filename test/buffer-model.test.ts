/**
 * The buffer against a naive model: every frame is one entry in a list, every lane a position in
 * it, every outcome a count. Random operations, then both must say the same, after each of them,
 * and the file too. What the model takes from the buffer is only when an advance was applied and
 * that a cursor jumped; how many frames that makes it counts for itself.
 */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type {
  CursorPosition,
  EgressToBuffer,
  LaneSpec,
  SessionChange,
} from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { type Outcome, outcomes } from '../agent/events.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';
import { randomFrom, seedOfRun } from './support/random.ts';

const folder = tempFolder();
after(() => folder.remove());

const kib = 1024;
const firstSeed = seedOfRun();
const rounds = 3;
const steps = 400;
const checkFileEvery = 40;
const framesMost = 6;

const cloud = laneSpec('cloud');
const once = laneSpec('cloud', { delivery: 'at-most-once' });
const lagging = laneSpec('edge', { lag: { bytes: 12 * kib, ageMs: 1e12, over: 'skip' } });
const lanes = [cloud, once, lagging];
const routes = [
  routeTo('both', [cloud.lane, lagging.lane]),
  routeTo('once', [once.lane]),
  routeTo(
    'all',
    lanes.map((spec) => spec.lane),
  ),
];
/** Outcomes that egress reports; the rest are the buffer's own. */
const reported = ['confirmed', 'buried', 'expired', 'sentOnce'] as const;

interface ModelLane {
  readonly spec: LaneSpec;
  position: CursorPosition;
  appended: number;
  counts: Record<Outcome, number>;
  /** Evicted and skipped together: a jump does not say which. */
  jumped: number;
}

class Model {
  /** Route index of each frame of each segment. */
  readonly segments: number[][] = [];
  readonly lanes = new Map<string, ModelLane>();
  readonly sent = new Map<number, EgressToBuffer>();
  /** By `client kind id`; the length of its body. */
  readonly sessions = new Map<string, number>();

  constructor() {
    const zero = () =>
      Object.fromEntries(outcomes.map((name) => [name, 0])) as Record<Outcome, number>;
    for (const spec of lanes) {
      const position = { segment: 0, frame: 0 };
      this.lanes.set(spec.lane, { spec, position, appended: 0, counts: zero(), jumped: 0 });
    }
  }

  lane(name: string): ModelLane {
    const lane = this.lanes.get(name);
    assert.ok(lane);
    return lane;
  }

  append(frames: number[]): void {
    this.segments.push(frames);
    for (const lane of this.lanes.values()) {
      lane.appended += frames.filter((route) => aimsAt(route, lane.spec.lane)).length;
    }
  }

  change(changes: readonly SessionChange[]): void {
    for (const change of changes) {
      const prefix = `${change.client} ${change.kind} `;
      if (change.op === 'put') this.sessions.set(prefix + change.id, change.body.length);
      else if (change.op === 'delete') this.sessions.delete(prefix + change.id);
      else
        for (const key of this.sessions.keys())
          if (key.startsWith(prefix)) this.sessions.delete(key);
    }
  }

  /** Frames of a lane from one position up to another. */
  between(name: string, from: CursorPosition, to: CursorPosition): CursorPosition[] {
    const found: CursorPosition[] = [];
    for (let segment = from.segment; segment <= to.segment; segment++) {
      const frames = this.segments[segment] ?? [];
      frames.forEach((route, frame) => {
        if (!aimsAt(route, name)) return;
        if (segment === from.segment && frame < from.frame) return;
        if (segment === to.segment && frame >= to.frame) return;
        found.push({ segment, frame });
      });
    }
    return found;
  }

  answered(id: number): void {
    const advance = this.sent.get(id);
    assert.ok(advance, `advance ${id} was never sent, or answered twice`);
    this.sent.delete(id);
    const lane = this.lane(advance.lane);
    if (advance.generation !== generations.get(advance.lane)) return;
    lane.position = normal(this, advance.to);
    for (const name of outcomes) lane.counts[name] += advance.outcomes[name] ?? 0;
  }

  jump(name: string, to: CursorPosition): void {
    const lane = this.lane(name);
    lane.jumped += this.between(name, lane.position, to).length;
    lane.position = to;
  }
}

/** As the rig was told; an advance of an older one has no effect. */
let generations = new Map<string, number>();

function aimsAt(route: number, lane: string): boolean {
  return routes[route]?.targets.some((target) => target.lane === lane) ?? false;
}

function normal(model: Model, to: CursorPosition): CursorPosition {
  const frames = model.segments[to.segment]?.length ?? Number.POSITIVE_INFINITY;
  return to.frame >= frames ? { segment: to.segment + 1, frame: 0 } : to;
}

for (let round = 0; round < rounds; round++) {
  for (const whenFull of ['hold', 'dropOldest'] as const) {
    const seed = firstSeed + round;
    test(`appended = Σ outcomes + backlog, whatever happens (${whenFull}, seed ${seed})`, () => {
      campaign(whenFull, seed);
    });
  }
}

/** Found by chance: all segments made room for a change of sessions, and then a start. */
for (const seed of [5_064, 2_118_513_078]) {
  test(`numbers go on where they were, also when nothing is left (seed ${seed})`, () => {
    campaign('dropOldest', seed);
  });
}

function campaign(whenFull: 'hold' | 'dropOldest', seed: number): void {
  const random = randomFrom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const model = new Model();
  let path = join(folder.path, `${whenFull}-${seed}.db`);
  let crashes = 0;
  const room = whenFull === 'hold' ? 64 * kib * kib : 160 * kib;
  const deadRoom = whenFull === 'hold' ? 24 * kib : 2 * kib;
  const open = (): BufferRig => {
    const options = optionsFor(path, { whenFull, bytes: room, deadLetterBytes: deadRoom });
    const rig = new BufferRig({ options, lanes, routes });
    generations = new Map(lanes.map((spec) => [spec.lane, 1]));
    rig.onAnswered = (id) => model.answered(id);
    rig.onJump = (lane, generation, position) => {
      model.jump(lane, position);
      generations.set(lane, generation);
    };
    return rig;
  };
  let rig = open();
  for (let step = 0; step < steps; step++) {
    const what = random();
    if (what < 0.4) append(rig, model, below);
    else if (what < 0.45) change(rig, model, below);
    else if (what < 0.85) advance(rig, model, below);
    else if (what < 0.9) rig.writer.flush();
    else if (what < 0.94) rig.writer.tick();
    else if (what < 0.96) rig.writer.tidy();
    else if (what < 0.98) {
      rig.writer.stop();
      model.sent.clear();
      rig = open();
    } else {
      crashes += 1;
      path = crash(rig, path, crashes);
      model.sent.clear();
      rig = open();
    }
    agree(rig, model);
    if (step % checkFileEvery === 0) agreeOnDisk(path, model);
  }
  assert.deepEqual(rig.seen('unexpected'), []);
  assert.ok(rig.lane(lagging.lane).outcomes.skipped > 0, 'the campaign reached the lag bound');
  const evicted = lanes.reduce((sum, spec) => sum + rig.lane(spec.lane).outcomes.evicted, 0);
  assert.equal(evicted > 0, whenFull === 'dropOldest');
  rig.writer.stop();
  agreeOnDisk(path, model);
}

function append(rig: BufferRig, model: Model, below: (limit: number) => number): void {
  const frames = Array.from({ length: 1 + below(framesMost) }, () => below(routes.length));
  const counts = routes.map((_, route) => frames.filter((one) => one === route).length);
  const before = rig.committed.length;
  // Jumps that make room are told of, and counted, before the model has the new segment.
  const changes = below(3) === 0 ? changesOf(below) : [];
  rig.append(counts, 200 + below(8 * kib), changes);
  assert.equal(rig.committed.length, before + 1, 'there was room, or it was made');
  model.append(frames);
  model.change(changes);
}

/** A batch without a segment. */
function change(rig: BufferRig, model: Model, below: (limit: number) => number): void {
  const changes = changesOf(below);
  const commit = rig.change(...changes);
  assert.equal(rig.commits.at(-1), commit);
  model.change(changes);
}

/** Few clients and identifiers, so that rows are put again, deleted and cleared. */
function changesOf(below: (limit: number) => number): SessionChange[] {
  return Array.from({ length: 1 + below(4) }, () => {
    const place = { scope: 'listener', client: `c${below(3)}` };
    const kind = below(4) === 0 ? 'will' : 'qos2';
    const id = kind === 'will' ? 0 : 1 + below(8);
    const what = below(10);
    if (what === 0) return { op: 'clear', ...place, kind };
    if (what < 4) return { op: 'delete', ...place, kind, id };
    return { op: 'put', ...place, kind, id, body: new Uint8Array(below(200)) };
  });
}

/** Egress only ever moves on from where its last advance, answered or not, ended. */
function advance(rig: BufferRig, model: Model, below: (limit: number) => number): void {
  const spec = lanes[below(lanes.length)] ?? cloud;
  const waiting = [...model.sent.values()].filter((one) => one.lane === spec.lane);
  const generation = generations.get(spec.lane) ?? 0;
  const last = waiting.findLast((one) => one.generation === generation);
  const from = last ? normal(model, last.to) : model.lane(spec.lane).position;
  const segment = Math.min(from.segment + below(6), model.segments.length);
  const frames = model.segments[segment]?.length ?? 0;
  const least = segment === from.segment ? from.frame : 0;
  const to = { segment, frame: Math.min(frames, least + below(framesMost)) };
  const passed = model.between(spec.lane, from, to);
  const counts: Partial<Record<Outcome, number>> = {};
  const buried: EgressToBuffer['buried'][number][] = [];
  for (const { segment, frame } of passed) {
    const name = reported[below(reported.length)] ?? 'confirmed';
    counts[name] = (counts[name] ?? 0) + 1;
    if (name !== 'buried') continue;
    const body = new Uint8Array(20 + below(100));
    buried.push({ segment, frame, routeId: 1, reason: 'test', detail: '', body });
  }
  const id = rig.nextAdvanceId;
  // Known before it is sent: `now` is answered within the call.
  const stale = below(20) === 0 && generation > 1;
  const sent = {
    kind: 'advance' as const,
    ...{ id, lane: spec.lane, to, outcomes: counts, buried, damaged: [] },
    generation: stale ? generation - 1 : generation,
    now: below(4) === 0,
  };
  model.sent.set(id, sent);
  rig.advance(sent);
}

/** The files as a power cut would leave them, had every write reached the disk. */
function crash(rig: BufferRig, path: string, count: number): string {
  const next = `${path}.${count}`;
  for (const end of ['', '-wal']) if (existsSync(path + end)) copyFileSync(path + end, next + end);
  rig.onAnswered = () => {};
  rig.onJump = () => {};
  rig.writer.stop();
  return next;
}

function agree(rig: BufferRig, model: Model): void {
  const rows = rig.writer.sessions();
  assert.deepEqual(
    new Map(rows.map(({ client, kind, id, body }) => [`${client} ${kind} ${id}`, body.length])),
    model.sessions,
  );
  for (const lane of model.lanes.values()) {
    const gauge = rig.lane(lane.spec.lane);
    const end = { segment: model.segments.length, frame: 0 };
    const backlog = model.between(lane.spec.lane, lane.position, end).length;
    const { evicted, skipped, ...own } = gauge.outcomes;
    assert.deepEqual(gauge.position, lane.position, lane.spec.lane);
    assert.equal(gauge.appendedFrames, lane.appended);
    assert.equal(gauge.backlogFrames, backlog);
    assert.equal(evicted + skipped, lane.jumped);
    for (const name of reported) assert.equal(own[name], lane.counts[name]);
    const sum = Object.values(gauge.outcomes).reduce((total, count) => total + count, 0);
    assert.equal(gauge.appendedFrames, sum + gauge.backlogFrames);
    assert.ok(gauge.backlogBytes > 0 || backlog === 0);
  }
}

/** A reader that sums the log anew sees what the writer carries along. */
function agreeOnDisk(path: string, model: Model): void {
  const reader = new BufferReader(path);
  const stat = reader.stat();
  reader.close();
  for (const gauge of stat.lanes) {
    const lane = model.lane(gauge.lane);
    const sum = Object.values(gauge.outcomes).reduce((total, count) => total + count, 0);
    assert.equal(gauge.appendedFrames, lane.appended);
    assert.equal(gauge.appendedFrames, sum + gauge.backlogFrames);
    assert.deepEqual(gauge.position, lane.position);
  }
}
