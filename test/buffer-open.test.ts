/**
 * Opening the buffer: what every connection must have, who may open it, which files are refused,
 * how a layout goes forward.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  assertDurable,
  migrations,
  openPlain,
  openReadOnly,
  openWriter,
  pragmaNumber,
} from '../agent/buffer/database.ts';
import { forgetLane } from '../agent/buffer/forget.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { TidegateError } from '../agent/errors.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';

const folder = tempFolder();
after(() => folder.remove());
const tuning = { checkpointPages: 100 };
const cloud = laneSpec('cloud');
let files = 0;

function freshPath(): string {
  files += 1;
  return join(folder.path, `${files}.db`);
}

function refusedAs(code: string): (error: unknown) => boolean {
  return (error) => error instanceof TidegateError && error.code === code;
}

function open(path: string, lanes = [cloud]): BufferRig {
  const routes = [routeTo('all', [cloud.lane])];
  return new BufferRig({ options: optionsFor(path), lanes, routes });
}

test('every connection has WAL and synchronous=FULL; the file auto_vacuum from the start', () => {
  const path = freshPath();
  const writer = openWriter(path, tuning);
  const reader = openReadOnly(path);
  for (const db of [writer, reader]) {
    assert.equal(db.pragma('journal_mode', { simple: true }), 'wal');
    assert.equal(pragmaNumber(db, 'synchronous'), 2);
    assert.equal(pragmaNumber(db, 'auto_vacuum'), 2);
    db.close();
  }
});

test('what is in the buffer only its owner may read, whatever the umask', () => {
  const before = process.umask(0o022);
  try {
    const path = freshPath();
    const rig = open(path);
    for (const suffix of ['', '-wal', '-shm', '.lock']) {
      assert.equal(statSync(path + suffix).mode & 0o777, 0o600, suffix);
    }
    rig.writer.stop();
  } finally {
    process.umask(before);
  }
});

test('a connection with less than FULL is refused, whoever lowered it', () => {
  const db = openWriter(freshPath(), tuning);
  for (const level of ['NORMAL', 'OFF', 'EXTRA']) {
    db.pragma(`synchronous = ${level}`);
    assert.throws(() => assertDurable(db), refusedAs('bufferNotDurable'));
  }
  db.pragma('synchronous = FULL');
  assertDurable(db);
  db.pragma('journal_mode = DELETE');
  assert.throws(() => assertDurable(db), refusedAs('bufferNotDurable'));
  db.close();
});

test('no other file of the agent opens SQLite', () => {
  const source = readFileSync(new URL('../agent/buffer/database.ts', import.meta.url), 'utf8');
  assert.equal(source.match(/new Database\(/g)?.length, 1);
});

test('a second process on the same file ends with 75, a second opening here is refused', () => {
  const path = freshPath();
  const rig = open(path);
  assert.throws(() => open(path), refusedAs('bufferLocked'));
  assert.throws(() => forgetLane(path, cloud.lane), refusedAs('bufferLocked'));
  const child = openInChild(path);
  assert.equal(child.status, 75, child.stderr);
  assert.match(child.stdout, /bufferLocked/);
  rig.writer.stop();
  const next = openInChild(path);
  assert.equal(next.status, 0, next.stderr);
});

test('the lock dies with a process that is killed', () => {
  const path = freshPath();
  const killed = openInChild(path, "process.kill(process.pid, 'SIGKILL')");
  assert.equal(killed.signal, 'SIGKILL', killed.stderr);
  open(path).writer.stop();
});

test('before anything is acknowledged, a start moves what an earlier run left in the WAL', () => {
  const path = freshPath();
  const rig = open(path);
  rig.append([3]);
  const copy = freshPath();
  for (const end of ['', '-wal']) copyFileSync(path + end, copy + end);
  rig.writer.stop();
  assert.ok(statSync(`${copy}-wal`).size > 0);
  const next = open(copy);
  assert.equal(statSync(`${copy}-wal`).size, 0);
  assert.equal(next.lane(cloud.lane).backlogFrames, 3);
  next.writer.stop();
});

test('a file from a newer tidegate is refused, and not touched', () => {
  const path = freshPath();
  open(path).writer.stop();
  const db = openPlain(path, { readonly: false });
  db.pragma(`user_version = ${migrations.length + 1}`);
  db.close();
  const before = readFileSync(path);
  assert.throws(() => open(path), refusedAs('bufferNewer'));
  assert.throws(() => new BufferReader(path), refusedAs('bufferNewer'));
  assert.deepEqual(readFileSync(path), before);
});

test("another program's database is refused, and not touched", () => {
  const path = freshPath();
  const db = openPlain(path, { readonly: false });
  db.exec('CREATE TABLE photos (id INTEGER PRIMARY KEY)');
  db.close();
  const before = readFileSync(path);
  assert.throws(() => open(path), refusedAs('bufferCannotOpen'));
  assert.deepEqual(readFileSync(path), before);
});

test('a folder that does not exist, and a file that is none, cannot be opened', () => {
  assert.throws(() => open(join(folder.path, 'none', 'b.db')), refusedAs('bufferCannotOpen'));
  mkdirSync(join(folder.path, 'folder'));
  assert.throws(() => open(join(folder.path, 'folder')), refusedAs('bufferCannotOpen'));
  assert.throws(() => new BufferReader(freshPath()), refusedAs('bufferCannotOpen'));
});

test('an older layout goes forward in one transaction and keeps its rows', () => {
  const path = freshPath();
  const rig = open(path);
  rig.append([3]);
  rig.writer.stop();
  const newer = [
    ...migrations,
    'ALTER TABLE dead_letter ADD COLUMN note TEXT',
    'CREATE TABLE later (id INTEGER PRIMARY KEY)',
  ];
  const broken = [...newer.slice(0, -1), 'CREATE TABLE later (id', ''];
  assert.throws(() => openWriter(path, tuning, broken));
  const unchanged = openReadOnly(path);
  assert.equal(pragmaNumber(unchanged, 'user_version'), migrations.length);
  const columns = unchanged.prepare('SELECT count(*) FROM pragma_table_info(?)').pluck();
  assert.equal(columns.get('dead_letter'), 10);
  unchanged.close();
  const db = openWriter(path, tuning, newer);
  assert.equal(pragmaNumber(db, 'user_version'), newer.length);
  assert.equal(db.prepare('SELECT sum(frames) FROM segment').pluck().get(), 3);
  assert.equal(db.prepare('SELECT count(note) FROM dead_letter').pluck().get(), 0);
  db.close();
});

test('a lane that left the config stays and pins its backlog until it is forgotten', () => {
  const path = freshPath();
  const first = open(path);
  for (let i = 0; i < 5; i++) first.append([2]);
  first.writer.stop();
  const other = laneSpec('other');
  const second = open(path, [other]);
  assert.equal(second.lane(cloud.lane).configured, false);
  assert.equal(second.lane(cloud.lane).backlogFrames, 10);
  second.writer.tidy();
  assert.equal(second.writer.gauges().segments, 5);
  second.writer.stop();
  assert.throws(() => forgetLane(path, 'nobody/at-least-once'), refusedAs('laneUnknown'));
  assert.equal(forgetLane(path, cloud.lane).backlogFrames, 10);
  const third = open(path, [other]);
  assert.deepEqual(
    third.writer.gauges().lanes.map((lane) => lane.lane),
    [other.lane],
  );
  third.writer.tidy();
  assert.equal(third.writer.gauges().segments, 1);
  third.writer.stop();
});

test('a new lane starts at the end of the log, or at its oldest segment on request', () => {
  const path = freshPath();
  const first = open(path);
  first.append([2]);
  first.append([3]);
  first.writer.stop();
  const routes = [routeTo('all', [cloud.lane, 'late/at-least-once', 'early/at-least-once'])];
  const late = laneSpec('late');
  const early = laneSpec('early', { from: 'oldest' });
  const lanes = [cloud, late, early];
  const rig = new BufferRig({ options: optionsFor(path), lanes, routes });
  assert.equal(rig.lane(late.lane).position.segment, 2);
  assert.equal(rig.lane(early.lane).position.segment, 0);
  assert.equal(rig.lane(early.lane).backlogFrames, 0, 'the stored route had no target there');
  rig.append([4]);
  assert.equal(rig.lane(late.lane).appendedFrames, 4);
  rig.writer.stop();
  const again = laneSpec('again', { from: 'oldest' });
  const aimed = [routeTo('all', [cloud.lane, late.lane, early.lane])];
  const last = new BufferRig({
    options: optionsFor(path),
    lanes: [...lanes, again],
    routes: aimed,
  });
  assert.equal(last.lane(late.lane).backlogFrames, 4);
  assert.equal(forgetAndReopen(path, last), 4);
});

/** An `oldest` lane counts the frames of kept segments whose stored route has a target in it. */
function forgetAndReopen(path: string, rig: BufferRig): number {
  rig.writer.stop();
  forgetLane(path, 'early/at-least-once');
  const early = laneSpec('early', { from: 'oldest' });
  const next = new BufferRig({ options: optionsFor(path), lanes: [early], routes: [] });
  const { appendedFrames, backlogFrames } = next.lane(early.lane);
  assert.equal(appendedFrames, backlogFrames);
  next.writer.stop();
  return backlogFrames;
}

function openInChild(path: string, then = 'process.exit(0)'): ReturnType<typeof spawnText> {
  const buffer = new URL('../agent/buffer/buffer.ts', import.meta.url);
  const start = { options: optionsFor(path), lanes: [], routes: [] };
  return spawnText(`
    import { openBuffer } from ${JSON.stringify(buffer.href)};
    try {
      await openBuffer(${JSON.stringify(start)}, () => {});
    } catch (error) {
      console.log(error.code);
      process.exit(error.exit);
    }
    ${then};
  `);
}

function spawnText(script: string) {
  const file = join(folder.path, 'child.ts');
  writeFileSync(file, script);
  return spawnSync(process.execPath, [file], { encoding: 'utf8' });
}
