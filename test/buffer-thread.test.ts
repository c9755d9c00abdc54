/**
 * The buffer as the others have it: a thread, its port for the main thread, its ports for egress.
 * What is decided about the log is tested on the writer itself; here, that it is said, and when.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { MessagePort } from 'node:worker_threads';
import { cursorDelayMs } from '../agent/bounds.ts';
import { type BufferPort, openBuffer } from '../agent/buffer/buffer.ts';
import { readMeta } from '../agent/buffer/meta.ts';
import type { BufferToEgress, EgressToBuffer } from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';

const folder = tempFolder();
const opened: BufferPort[] = [];
after(async () => {
  for (const buffer of opened) await buffer.stop();
  folder.remove();
});

const framesEach = 4;
const cloud = laneSpec('cloud');
const edge = laneSpec('edge');
const all = routeTo('all', [cloud.lane, edge.lane]);
let files = 0;

function freshPath(): string {
  files += 1;
  return join(folder.path, `${files}.db`);
}

class Egress {
  readonly heard: BufferToEgress[] = [];
  readonly #port: MessagePort;
  #id = 0;

  constructor(port: MessagePort) {
    this.#port = port;
    port.on('message', (message: BufferToEgress) => this.heard.push(message));
  }

  advance(lane: string, segment: number, now: boolean): number {
    const id = ++this.#id;
    const what = { lane, generation: 1, to: { segment, frame: 0 }, now };
    const outcomes = { confirmed: framesEach };
    const advance: EgressToBuffer = {
      ...{ kind: 'advance', id, ...what, outcomes, buried: [], damaged: [] },
    };
    this.#port.postMessage(advance);
    return id;
  }

  hasAdvanced(lane: string, id: number): boolean {
    const is = (one: BufferToEgress) =>
      one.kind === 'advanced' && one.lane === lane && one.id === id;
    return this.heard.some(is);
  }
}

async function open(path: string): Promise<BufferPort> {
  const start = { options: optionsFor(path), lanes: [cloud, edge], routes: [all] };
  const buffer = await openBuffer(start, () => {});
  opened.push(buffer);
  return buffer;
}

function append(buffer: BufferPort, sequence: number, commit = sequence + 1): ArrayBuffer {
  const body = new ArrayBuffer(512);
  const routes: [number, number][] = [[buffer.opened.routeIds[0] ?? 0, framesEach]];
  const place = { sequence, firstFrame: sequence * framesEach, frames: framesEach };
  const times = { createdMs: Date.now(), livedMs: buffer.opened.livedMs };
  const segment = { ...place, ...times, body, routes };
  buffer.append({ commit, segment, sessions: [] });
  return body;
}

function committing(buffer: BufferPort): Promise<void> {
  return new Promise((resolve) => buffer.onCommitted(() => resolve()));
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'in time');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('a body is transferred, and others read it once `committed` came', async () => {
  const path = freshPath();
  const buffer = await open(path);
  const committed = committing(buffer);
  const body = append(buffer, 0);
  assert.equal(body.byteLength, 0);
  await committed;
  const reader = new BufferReader(path);
  const [segment] = reader.read(0, 1, 10);
  assert.equal(segment?.body.length, 512);
  assert.deepEqual(segment?.routes, [[1, framesEach]]);
  assert.equal(reader.route(1)?.name, 'all');
  assert.equal(reader.route(2), undefined);
  assert.deepEqual(reader.read(1, 1, 10), []);
  reader.close();
  await buffer.stop();
});

test('egress hears where its lanes stand, then of every commit', async () => {
  const buffer = await open(freshPath());
  const one = new Egress(buffer.connectEgress([cloud.lane]));
  const other = new Egress(buffer.connectEgress([edge.lane]));
  append(buffer, 0);
  append(buffer, 1);
  await until(() => other.heard.length >= 4);
  const start = { segment: 0, frame: 0 };
  assert.deepEqual(other.heard, [
    { kind: 'cursor', lane: edge.lane, generation: 1, position: start },
    { kind: 'committed', lastSequence: -1 },
    { kind: 'committed', lastSequence: 0 },
    { kind: 'committed', lastSequence: 1 },
  ]);
  assert.equal(one.heard.filter((message) => message.kind === 'cursor').length, 1);
  await buffer.stop();
});

test('a batch without a segment is answered by its number, and wakes no egress', async () => {
  const path = freshPath();
  const buffer = await open(path);
  const egress = new Egress(buffer.connectEgress([cloud.lane]));
  const committed: [number, number | null][] = [];
  buffer.onCommitted(({ commit, sequence }) => committed.push([commit, sequence]));
  const row = { scope: 's', client: 'c', kind: 'qos2', id: 7 } as const;
  const body = new Uint8Array([1, 2]);
  append(buffer, 0);
  buffer.append({ commit: 2, segment: null, sessions: [{ op: 'put', ...row, body }] });
  append(buffer, 1, 3);
  await until(() => committed.length === 3 && egress.heard.length === 4);
  assert.deepEqual(committed, [
    [1, 0],
    [2, null],
    [3, 1],
  ]);
  const woken = egress.heard.flatMap((one) => (one.kind === 'committed' ? one.lastSequence : []));
  assert.deepEqual(woken, [-1, 0, 1]);
  await buffer.stop();
  const next = await open(path);
  assert.deepEqual(next.opened.sessions, [{ ...row, body }]);
  await next.stop();
});

test('a cursor rides on a commit, goes alone after a delay, or at once with `now`', async () => {
  const buffer = await open(freshPath());
  const egress = new Egress(buffer.connectEgress([cloud.lane, edge.lane]));
  for (let i = 0; i < 4; i++) append(buffer, i);
  await until(() => egress.heard.some((one) => one.kind === 'committed' && one.lastSequence === 3));
  const startedMs = performance.now();
  const alone = egress.advance(cloud.lane, 1, false);
  await until(() => egress.hasAdvanced(cloud.lane, alone));
  assert.ok(performance.now() - startedMs >= cursorDelayMs * 0.9);
  const waiting = egress.advance(cloud.lane, 2, false);
  const atOnce = egress.advance(edge.lane, 1, true);
  await until(() => egress.hasAdvanced(edge.lane, atOnce));
  assert.ok(egress.hasAdvanced(cloud.lane, waiting), 'what waits rides along');
  const { lanes } = await buffer.stat();
  const backlogs = lanes.map((lane) => [lane.lane, lane.backlogFrames]);
  assert.deepEqual(backlogs, [
    [cloud.lane, 2 * framesEach],
    [edge.lane, 3 * framesEach],
  ]);
  await buffer.stop();
});

test('gauges come by themselves, stop keeps what waited, the next start goes on', async () => {
  const path = freshPath();
  const buffer = await open(path);
  const egress = new Egress(buffer.connectEgress([cloud.lane, edge.lane]));
  buffer.putMeta('lastConfig', 'text');
  append(buffer, 0);
  await until(() => buffer.gauges().lanes[0]?.backlogFrames === framesEach);
  egress.advance(cloud.lane, 1, false);
  await buffer.stop();
  assert.equal(readMeta(path, 'lastConfig'), 'text');
  const next = await open(path);
  assert.equal(next.opened.nextSequence, 1);
  assert.equal(next.opened.nextFrame, framesEach);
  assert.equal(next.opened.epoch, buffer.opened.epoch);
  assert.deepEqual(next.opened.routeIds, buffer.opened.routeIds);
  const [lane] = (await next.stat()).lanes;
  assert.deepEqual(lane?.position, { segment: 1, frame: 0 });
  await next.stop();
});
