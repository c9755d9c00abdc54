/**
 * Sessions in the buffer: what exactly once and Wills stand on. A change is on disk with the
 * segment it came with or not at all, in the order it was said, and counts like everything else.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { sessionAgeMs } from '../agent/bounds.ts';
import { migrations, openPlain, openWriter, pragmaNumber } from '../agent/buffer/database.ts';
import type { BufferOptions, SessionChange, SessionRow } from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { Sessions } from '../agent/buffer/sessions.ts';
import { wasApplied } from '../agent/buffer/sync-recovery.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';

const folder = tempFolder();
after(() => folder.remove());

const kib = 1024;
const smallBytes = 1024 * kib;
const dayMs = 24 * 3_600_000;
const cloud = laneSpec('cloud');
let files = 0;

function freshPath(): string {
  files += 1;
  return join(folder.path, `${files}.db`);
}

function open(path: string, change: Partial<BufferOptions> = {}): BufferRig {
  const routes = [routeTo('all', [cloud.lane])];
  return new BufferRig({ options: optionsFor(path, change), lanes: [cloud], routes });
}

function qos2(id: number, client = 'c', bytes = 0): SessionRow {
  const body = new Uint8Array(bytes).fill(id);
  return { scope: '127.0.0.1:1883', client, kind: 'qos2', id, body };
}

function put(row: SessionRow): SessionChange {
  return { op: 'put', ...row };
}

function gone({ body: _, ...row }: SessionRow): SessionChange {
  return { op: 'delete', ...row };
}

test('changes are applied in their order, and are there at the next start', () => {
  const path = freshPath();
  const rig = open(path);
  const will: SessionRow = { ...qos2(0), kind: 'will', body: new Uint8Array([9]) };
  rig.append([1], kib, [put(qos2(1)), put(qos2(2)), put(will), put(qos2(1, 'other'))]);
  rig.change(gone(qos2(1)), put(qos2(1, 'c', 3)));
  assert.deepEqual(rig.writer.sessions(), [qos2(1, 'c', 3), qos2(2), will, qos2(1, 'other')]);
  rig.change({ op: 'clear', scope: will.scope, client: 'c', kind: 'qos2' }, put(qos2(3)));
  assert.deepEqual(rig.commits, [1, 2, 3]);
  rig.writer.stop();
  const next = open(path);
  assert.deepEqual(next.writer.sessions(), [qos2(3), will, qos2(1, 'other')]);
  assert.equal(next.writer.stat().sessions, 3);
  next.writer.stop();
});

test('what comes with a held segment waits with it, and what came later waits behind it', () => {
  const path = freshPath();
  const rig = open(path, { bytes: smallBytes });
  rig.append([1], kib, [put(qos2(1))]);
  let held = 0;
  while (rig.committed.length === held + 1) {
    held += 1;
    rig.append([1], 20 * kib, [put(qos2(held + 1))]);
  }
  const release = rig.change(gone(qos2(1)));
  rig.writer.tick();
  const ids = rig.writer.sessions().map((row) => row.id);
  assert.ok(ids.includes(1) && !ids.includes(held + 1));
  const to = { segment: held, frame: 0 };
  rig.advance({ lane: cloud.lane, to, outcomes: { confirmed: held }, now: true });
  assert.equal(rig.commits.at(-1), release);
  const after = rig.writer.sessions().map((row) => row.id);
  assert.ok(!after.includes(1) && after.includes(held + 1));
  rig.writer.stop();
});

test('in a full buffer a release passes, and what it frees counts', () => {
  const rig = open(freshPath(), { bytes: smallBytes });
  rig.append([1]);
  let puts = 0;
  while (rig.commits.length === puts + 1 && puts < 1_000) {
    puts += 1;
    rig.change(put({ ...qos2(0, `client ${puts}`, 30 * kib), kind: 'will' }));
  }
  assert.ok(puts > 10, 'it took what there was room for');
  assert.ok(rig.writer.gauges().usedBytes <= smallBytes, 'sessions count against buffer.bytes');
  rig.writer.stop();
  const full = open(join(folder.path, `${files}.db`), { bytes: smallBytes / 2 });
  const release = full.change(gone({ ...qos2(0, 'client 1'), kind: 'will' }));
  assert.deepEqual(full.commits, [release]);
  full.writer.stop();
});

test('rows that nobody touched for seven days of lived time go, at open and while running', () => {
  const path = freshPath();
  const rig = open(path);
  rig.change(put(qos2(1)), put(qos2(2)));
  rig.nowMs += 4 * dayMs;
  rig.change(put(qos2(2)));
  rig.writer.tick();
  rig.nowMs += 2 * dayMs;
  rig.writer.tick();
  assert.equal(rig.writer.sessions().length, 2);
  rig.nowMs += 1 * dayMs + 60_000;
  rig.writer.tick();
  assert.deepEqual(rig.writer.sessions(), [qos2(2)]);
  assert.deepEqual(rig.seen('sessionsExpired'), [{ sessions: 1 }]);
  rig.nowMs += sessionAgeMs;
  rig.writer.stop();
  const next = open(path);
  assert.deepEqual(next.writer.sessions(), []);
  assert.deepEqual(next.seen('sessionsExpired'), [{ sessions: 1 }]);
  next.writer.stop();
});

test('after a failed sync a batch without a segment is known by what it left behind', () => {
  const db = openWriter(freshPath(), { checkpointPages: 100 });
  const sessions = new Sessions(db);
  const clear: SessionChange = { op: 'clear', scope: qos2(1).scope, client: 'c', kind: 'qos2' };
  sessions.apply([put(qos2(1)), put(qos2(2)), put(qos2(9, 'other'))], 0);
  const batches: SessionChange[][] = [
    [put(qos2(1, 'c', 5))],
    [gone(qos2(2))],
    [put(qos2(3)), gone(qos2(3)), put(qos2(4))],
    [clear, put(qos2(5))],
    [gone(qos2(5)), put(qos2(6)), clear],
  ];
  for (const changes of batches) {
    const append = { kind: 'append' as const, commit: 1, segment: null, sessions: changes };
    assert.equal(wasApplied(db, [], append), false, JSON.stringify(changes));
    sessions.apply(changes, 0);
    assert.equal(wasApplied(db, [], append), true, JSON.stringify(changes));
  }
  db.close();
});

test('a file of layout 1 goes forward with all it holds, and gains the sessions', () => {
  const path = freshPath();
  openWriter(path, { checkpointPages: 100 }, migrations.slice(0, 1)).close();
  const old = openPlain(path, { readonly: false });
  old.exec(`
    INSERT INTO route VALUES (1, 'all', '${JSON.stringify(routeTo('all', [cloud.lane]))}');
    INSERT INTO segment VALUES (0, 0, 5, 4, 1000, 1000, '[[1,5]]', x'01020304');
    INSERT INTO cursor VALUES ('${cloud.lane}', 'cloud', 'at-least-once', 0, 2, 2, 5, 1, 1, 0, 0, 0,
      0, 0);
    INSERT INTO dead_letter VALUES (1, '${cloud.lane}', 'recordInvalid', 'why', 1, 0, 1, 1000, 1,
      x'07');
  `);
  const epoch = old.prepare("SELECT value FROM meta WHERE key = 'epoch'").pluck().get();
  assert.equal(pragmaNumber(old, 'user_version'), 1);
  old.close();
  const reader = new BufferReader(path);
  const before = reader.stat();
  assert.deepEqual([before.layoutVersion, before.sessions, before.deadLetters], [1, 0, 1]);
  reader.close();
  const rig = open(path);
  assert.equal(rig.writer.epoch, epoch);
  assert.equal(rig.lane(cloud.lane).backlogFrames, 3);
  rig.append([1], kib, [put(qos2(1))]);
  assert.deepEqual(rig.writer.sessions(), [qos2(1)]);
  rig.writer.stop();
  const after = new BufferReader(path);
  assert.equal(after.deadLetterBody(1)?.length, 1);
  assert.deepEqual(after.read(0, 4, 1)[0]?.body, Buffer.from([1, 2, 3, 4]));
  assert.deepEqual([after.stat().layoutVersion, after.stat().sessions], [migrations.length, 1]);
  after.close();
});
