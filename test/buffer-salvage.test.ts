/**
 * Damage: a file that SQLite cannot read is moved aside, whole, and what it holds becomes a new one
 * in which every lane's account agrees.
 */
import assert from 'node:assert/strict';
import {
  closeSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { openReadOnly } from '../agent/buffer/database.ts';
import { readMeta } from '../agent/buffer/meta.ts';
import type { BufferStart } from '../agent/buffer/protocol.ts';
import { eachRawRow } from '../agent/buffer/raw-pages.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';

const folder = tempFolder();
after(() => folder.remove());

const pageBytes = 4096;
const segments = 40;
const framesEach = 10;
const cloud = laneSpec('cloud');
const once = laneSpec('edge', { delivery: 'at-most-once' });
let files = 0;

interface Prepared {
  readonly start: BufferStart;
  readonly path: string;
  readonly bodies: Map<number, Buffer>;
  readonly epoch: string;
}

/** 40 segments of several pages, of which `cloud` has passed 5 and a half, with one dead letter. */
function prepare(): Prepared {
  files += 1;
  const path = join(folder.path, `${files}.db`);
  const routes = [routeTo('both', [cloud.lane, once.lane])];
  const start = { options: optionsFor(path), lanes: [cloud, once], routes };
  const rig = new BufferRig(start);
  const bodies = new Map<number, Buffer>();
  for (let i = 0; i < segments; i++) {
    const { sequence, body } = rig.append([framesEach], 9_000 + i);
    bodies.set(sequence, Buffer.from(body));
  }
  const letter = { segment: 5, frame: 4, routeId: 1, reason: 'recordInvalid', detail: 'why' };
  rig.advance({
    lane: cloud.lane,
    to: { segment: 5, frame: 5 },
    outcomes: { confirmed: 54, buried: 1 },
    buried: [{ ...letter, body: Buffer.from('the frame') }],
    now: true,
  });
  rig.advance({ lane: once.lane, to: { segment: 5, frame: 0 }, outcomes: { sentOnce: 50 } });
  rig.writer.flush();
  const { epoch } = rig.writer;
  rig.writer.stop();
  return { start, path, bodies, epoch };
}

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

function ruins(pages: number): Buffer {
  return Buffer.alloc(pages * pageBytes, 0xa5);
}

function asideOf(path: string): string[] {
  return readdirSync(folder.path).filter((name) => name.startsWith(`${basename(path)}.damaged-`));
}

/**
 * Opens what is damaged, and checks what must hold whatever was lost.
 * @returns the segments whose bodies are whole; of the others the CRC will tell when they are read
 */
function salvaged({ start, path, bodies, epoch }: Prepared): Set<number> {
  const damaged = readFileSync(path);
  const rig = new BufferRig(start);
  assert.equal(rig.seen('bufferSalvaged').length, 1);
  const [aside] = asideOf(path).filter((name) => !name.endsWith('-wal'));
  assert.ok(aside);
  assert.deepEqual(readFileSync(join(folder.path, aside)), damaged, 'moved aside as it was');
  assert.notEqual(rig.writer.epoch, epoch);
  const reader = new BufferReader(path);
  const found = reader
    .read(0, 1e9, 1e3)
    .filter(({ sequence, body }) => bodies.get(sequence)?.equals(body));
  reader.close();
  for (const name of [cloud.lane, once.lane]) {
    const lane = rig.lane(name);
    const sum = Object.values(lane.outcomes).reduce((total, count) => total + count, 0);
    assert.equal(lane.appendedFrames, sum + lane.backlogFrames);
  }
  const before = rig.committed.length;
  rig.append([framesEach]);
  assert.equal(rig.committed.length, before + 1);
  rig.writer.stop();
  const again = new BufferRig(start);
  assert.equal(again.seen('bufferSalvaged').length, 0);
  again.writer.stop();
  return new Set(found.map((segment) => segment.sequence));
}

test('without its first page nothing is lost: rows are read from the leaf pages', () => {
  const prepared = prepare();
  overwrite(prepared.path, 0, ruins(1));
  const found = salvaged(prepared);
  for (let sequence = 5; sequence < segments; sequence++) assert.ok(found.has(sequence));
  const reader = new BufferReader(prepared.path);
  assert.equal(reader.deadLetters()[0]?.reason, 'recordInvalid');
  assert.equal(reader.deadLetterBody(1)?.toString(), 'the frame');
  const [lane] = reader.stat().lanes;
  assert.deepEqual(lane?.position, { segment: 5, frame: 5 });
  assert.equal(lane?.outcomes.confirmed, 54);
  assert.equal(lane?.outcomes.damaged, 0);
  reader.close();
});

test('what only the WAL has is salvaged with it', () => {
  const prepared = prepare();
  const rig = new BufferRig(prepared.start);
  const { sequence, body } = rig.append([framesEach], 9_000);
  prepared.bodies.set(sequence, Buffer.from(body));
  const wal = readFileSync(`${prepared.path}-wal`);
  const file = readFileSync(prepared.path);
  rig.writer.stop();
  overwrite(prepared.path, 0, file);
  overwriteWhole(`${prepared.path}-wal`, wal);
  overwrite(prepared.path, 0, ruins(1));
  // Page 1 is in the WAL, so SQLite might go on; its own header check comes first.
  const found = salvagedOrOpened(prepared);
  assert.ok(found.has(sequence));
});

function overwriteWhole(path: string, bytes: Buffer): void {
  const file = openSync(path, 'w');
  writeSync(file, bytes);
  closeSync(file);
}

function salvagedOrOpened(prepared: Prepared): Set<number> {
  const rig = new BufferRig(prepared.start);
  const reader = new BufferReader(prepared.path);
  const found = reader.read(0, 1e9, 1e3);
  for (const { sequence, body } of found) assert.deepEqual(body, prepared.bodies.get(sequence));
  reader.close();
  rig.writer.stop();
  return new Set(found.map((segment) => segment.sequence));
}

test('the configs an agent starts with, and what it remembers of its fleet, are salvaged', () => {
  const { start, path } = prepare();
  const before = new BufferRig(start);
  const kept = { config: 'routes: []', local: 'a: b', fleet: JSON.stringify({ seen: 'x' }) };
  for (const [key, value] of Object.entries(kept)) before.writer.putMeta(key, value);
  before.writer.stop();
  overwrite(path, 0, ruins(1));
  new BufferRig(start).writer.stop();
  assert.equal(asideOf(path).length > 0, true);
  for (const [key, value] of Object.entries(kept)) assert.equal(readMeta(path, key), value, key);
});

test('pages in ruins anywhere cost what lay on them, and the sums still agree', () => {
  for (const place of [0.3, 0.5, 0.7, 0.9]) {
    const prepared = prepare();
    const pages = statSync(prepared.path).size / pageBytes;
    overwrite(prepared.path, Math.floor(pages * place) * pageBytes, ruins(3));
    const db = openReadOnly(prepared.path);
    const whole = db.pragma('integrity_check', { simple: true }) === 'ok';
    db.close();
    assert.ok(!whole);
    overwriteWhole(`${prepared.path}.salvage`, Buffer.alloc(0));
    const found = salvaged(prepared);
    const missing = segments - 5 - [...found].filter((sequence) => sequence >= 5).length;
    assert.ok(missing <= 3, `${missing} segments are gone with 3 pages at ${place}`);
  }
});

test('a file cut short is salvaged up to the cut', () => {
  const prepared = prepare();
  const size = statSync(prepared.path).size;
  const half = Math.floor(size / 2 / pageBytes) * pageBytes;
  overwriteWhole(prepared.path, readFileSync(prepared.path).subarray(0, half));
  const found = salvaged(prepared);
  assert.ok(found.size > 5);
});

test('a file that is no database at all is kept aside, and a new one begins', () => {
  const prepared = prepare();
  overwriteWhole(
    prepared.path,
    Buffer.from('not a database, and longer than a header '.repeat(99)),
  );
  assert.equal(salvaged(prepared).size, 0);
});

test('lost cursors begin at the oldest segment, at-most-once ones at the end', () => {
  const prepared = prepare();
  const root = rootPageOf(prepared.path, 'cursor');
  overwrite(prepared.path, (root - 1) * pageBytes, ruins(1));
  salvaged(prepared);
  const reader = new BufferReader(prepared.path);
  const lanes = new Map(reader.stat().lanes.map((lane) => [lane.lane, lane]));
  reader.close();
  assert.equal(lanes.get(cloud.lane)?.outcomes.confirmed, 0);
  assert.ok((lanes.get(cloud.lane)?.backlogFrames ?? 0) >= (segments - 5) * framesEach);
  assert.equal(lanes.get(once.lane)?.backlogFrames, framesEach, 'only what came afterwards');
});

function rootPageOf(path: string, table: string): number {
  const db = openReadOnly(path);
  const root = db.prepare('SELECT rootpage FROM sqlite_schema WHERE name = ?').pluck().get(table);
  db.close();
  return Number(root);
}

test('a swap that a crash cut short is finished at the next start', () => {
  const prepared = prepare();
  const stamp = '20260101T000000000Z';
  renameSync(prepared.path, `${prepared.path}.salvaged-${stamp}`);
  overwriteWhole(prepared.path, ruins(2));
  const rig = new BufferRig(prepared.start);
  assert.equal(rig.lane(cloud.lane).outcomes.confirmed, 54);
  assert.deepEqual(asideOf(prepared.path), [`${basename(prepared.path)}.damaged-${stamp}`]);
  rig.writer.stop();
});

/** More rows than one page has: some stand in the pages above the leaves. */
test('sessions are salvaged with the rest, and released ones do not come back', () => {
  const prepared = prepare();
  const rig = new BufferRig(prepared.start);
  const row = (id: number) =>
    ({ scope: 'listener', client: `c${id % 7}`, kind: 'qos2', id }) as const;
  const bodyOf = (id: number) => Uint8Array.from(Buffer.alloc(100, id));
  const all = Array.from({ length: 600 }, (_, index) => index + 1);
  rig.change(...all.map((id) => ({ op: 'put' as const, ...row(id), body: bodyOf(id) })));
  const gone = all.filter((id) => id % 7 > 2);
  rig.change(...gone.map((id) => ({ op: 'delete' as const, ...row(id) })));
  const kept = rig.writer.sessions();
  assert.equal(kept.length, all.length - gone.length);
  rig.writer.stop();
  overwrite(prepared.path, 0, ruins(1));
  salvaged(prepared);
  const next = new BufferRig(prepared.start);
  assert.deepEqual(next.writer.sessions(), kept);
  next.writer.stop();
});

test('the raw reader gives the rows that SQLite gives', () => {
  const { path } = prepare();
  const db = openReadOnly(path);
  const expected = db
    .prepare<[], { sequence: number; body: Buffer }>('SELECT sequence, body FROM segment')
    .all();
  db.close();
  const bodies = new Map<number, Buffer>();
  eachRawRow(path, ({ rowid, values }) => {
    const body = values.at(-1);
    if (values.length === 8 && rowid !== null && Buffer.isBuffer(body)) bodies.set(rowid, body);
  });
  for (const { sequence, body } of expected) assert.deepEqual(bodies.get(sequence), body);
});
