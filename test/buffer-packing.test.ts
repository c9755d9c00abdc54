/**
 * Bodies in fewer bytes: what is packed comes out as it went in, beside plain ones, over damage and
 * salvage; what lies about itself is found and costs nothing. Bodies here are real segments.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { segmentRegionBytes } from '../agent/bounds.ts';
import { migrations, openPlain, openWriter, pragmaNumber } from '../agent/buffer/database.ts';
import { pack, unpack } from '../agent/buffer/packing.ts';
import type { BufferOptions, BufferStart } from '../agent/buffer/protocol.ts';
import { BufferReader } from '../agent/buffer/reader.ts';
import { loadCore } from '../agent/frames/core.ts';
import { SegmentReader } from '../agent/frames/segment-reader.ts';
import { writeSegment } from '../agent/frames/segment-writer.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';
import { rawFrame } from './support/raw-frame.ts';

const folder = tempFolder();
after(() => folder.remove());

const kib = 1024;
const tuning = { checkpointPages: 100 };
const packedMagic = 'TGZ1';
const cloud = laneSpec('cloud');
const routes = [routeTo('all', [cloud.lane])];
const core = loadCore();
const frames = new SegmentReader(loadCore());
let files = 0;

function startWith(change: Partial<BufferOptions> = {}): BufferStart {
  files += 1;
  const options = optionsFor(join(folder.path, `${files}.db`), change);
  return { options, lanes: [cloud], routes };
}

/** What devices of a plant say: texts that resemble each other, and numbers that do not. */
function telemetry(count: number, from = 0): { routeId: number; raw: Buffer }[] {
  return Array.from({ length: count }, (_, i) => {
    const n = from + i;
    const device = `press-${n % 40}`;
    const value = {
      temperature: ((n * 7919) % 9973) / 100,
      vibration: ((n * 104729) % 7907) / 1e3,
    };
    const payload = JSON.stringify({ ...value, unit: 'C', state: 'running', seq: n });
    return { routeId: 1, raw: rawFrame({ device, topicName: `plant/${device}/t`, payload }) };
  });
}

function bodyAt(place: { sequence: number; firstFrame: number }, count: number): Buffer {
  const at = { epoch: '0'.repeat(16), ...place, createdMs: 0, livedMs: 0 };
  return Buffer.from(writeSegment(core, at, telemetry(count, place.firstFrame)));
}

/** @returns the plain body of the segment that was committed */
function append(rig: BufferRig, count: number): Buffer {
  const place = rig.claim(count);
  const body = bodyAt(place, count);
  const bytes = new Uint8Array(body).buffer;
  const times = { createdMs: Date.now(), livedMs: rig.writer.livedMs() };
  const segment = { ...place, ...times, frames: count, body: bytes, routes: [[1, count]] as const };
  const commit = place.sequence + 1;
  rig.writer.append({ kind: 'append', commit, segment, sessions: [] });
  assert.equal(rig.committed.at(-1), place.sequence);
  return body;
}

function storedIn(path: string): Buffer[] {
  const db = openPlain(path, { readonly: false });
  const bodies = db.prepare<[], Buffer>('SELECT body FROM segment ORDER BY sequence').pluck().all();
  db.close();
  return bodies;
}

function store(path: string, sequence: number, body: Buffer): void {
  const db = openPlain(path, { readonly: false });
  db.prepare('UPDATE segment SET body = ? WHERE sequence = ?').run(body, sequence);
  db.close();
}

function readAll(path: string): Buffer[] {
  const reader = new BufferReader(path);
  const bodies = reader.read(0, 1e9, 1e3).map(({ body }) => body);
  reader.close();
  return bodies;
}

const isPacked = (stored: Buffer): boolean => stored.toString('latin1', 0, 4) === packedMagic;

const holds = (body: Buffer): boolean => !('fault' in frames.open(body));

/** A stored body whose frame is blocks of 128 KiB of zeros, four bytes each. */
function zeros(statedBytes: number, blocks: number, windowLog: number): Buffer {
  const header = Buffer.alloc(8);
  header.write(packedMagic);
  header.writeUInt32LE(statedBytes, 4);
  const smallestWindowLog = 10;
  const frameStart = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, (windowLog - smallestWindowLog) << 3]);
  const repeated = 1;
  const block = Buffer.alloc(4);
  block.writeUIntLE(((128 * kib) << 3) | (repeated << 1), 0, 3);
  const all = Buffer.concat(Array.from({ length: blocks }, () => block));
  all[all.length - 4] = (all[all.length - 4] ?? 0) | 1; // the last one
  return Buffer.concat([header, frameStart, all]);
}

test('plain and packed segments stand side by side, as the config was when they came', () => {
  const start = startWith();
  const rig = new BufferRig(start);
  const bodies: Buffer[] = [];
  for (const [index, compression] of (['none', 'zstd', 'none', 'zstd'] as const).entries()) {
    const options = { ...start.options, compression };
    rig.writer.configure({ kind: 'configure', id: index, lanes: [cloud], routes, options });
    bodies.push(append(rig, 200), append(rig, 3));
  }
  assert.equal(rig.lane(cloud.lane).backlogFrames, 4 * 203);
  const plainBytes = bodies.reduce((sum, { length }) => sum + length, 0);
  assert.equal(rig.lane(cloud.lane).backlogBytes, plainBytes, 'lag counts what is behind, plain');
  rig.writer.stop();
  const { path } = start.options;
  const [no, yes] = [false, true];
  assert.deepEqual(storedIn(path).map(isPacked), [no, no, yes, yes, no, no, yes, yes]);
  assert.deepEqual(readAll(path), bodies);
  const again = new BufferRig({ ...start, options: { ...start.options, compression: 'none' } });
  assert.equal(again.lane(cloud.lane).backlogBytes, plainBytes);
  again.writer.stop();
});

test('the reader gives as many segments as their plain bodies allow', () => {
  const start = startWith({ compression: 'zstd' });
  const rig = new BufferRig(start);
  const { length } = append(rig, 100);
  for (let i = 0; i < 4; i++) append(rig, 100);
  rig.writer.stop();
  const reader = new BufferReader(start.options.path);
  assert.equal(reader.read(0, length * 2 + kib, 10).length, 2);
  reader.close();
});

test('a body that would not get smaller stays plain', () => {
  const start = startWith({ compression: 'zstd' });
  const rig = new BufferRig(start);
  const bodies = [rig.append([1], 20 * kib), rig.append([1], 40), rig.append([1], 1)];
  rig.writer.stop();
  const expected = bodies.map(({ body }) => Buffer.from(body));
  assert.deepEqual(storedIn(start.options.path), expected);
  assert.deepEqual(readAll(start.options.path), expected);
});

test('the largest segment there is comes out whole', () => {
  const body = Buffer.alloc(segmentRegionBytes, 'a text that is said again and again');
  const packed = pack(body, 'zstd');
  assert.ok(packed.length < body.length / 100);
  assert.deepEqual(unpack(packed), body);
});

test('a file of telemetry in big batches grows by less than half of what it would', () => {
  const fileBytes = (['none', 'zstd'] as const).map((compression) => {
    const start = startWith({ compression });
    const rig = new BufferRig(start);
    for (let i = 0; i < 30; i++) append(rig, 300);
    rig.writer.stop();
    return statSync(start.options.path).size;
  });
  const [plain = 0, packed = 0] = fileBytes;
  assert.ok(packed * 2 < plain, `${packed} of ${plain} bytes`);
});

test('no flipped bit of a packed body gives another one: it is damaged, or what went in', () => {
  const body = bodyAt({ sequence: 0, firstFrame: 0 }, 40);
  const packed = pack(body, 'zstd');
  assert.ok(isPacked(packed) && holds(unpack(packed)));
  let found = 0;
  for (let bit = 0; bit < packed.length * 8; bit++) {
    const flipped = Buffer.from(packed);
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    const read = unpack(flipped);
    if (holds(read)) assert.deepEqual(read, body, `bit ${bit}`);
    else found += 1;
  }
  // A few bits of a zstd frame mean nothing: with them flipped the body is the same.
  assert.ok(found > packed.length * 8 * 0.95, `${found} of ${packed.length * 8}`);
});

test('a packed body that was cut anywhere, and one that says another length, is damaged', () => {
  const packed = pack(bodyAt({ sequence: 0, firstFrame: 0 }, 40), 'zstd');
  for (let end = 0; end < packed.length; end++) assert.ok(!holds(unpack(packed.subarray(0, end))));
  const plainBytes = packed.readUInt32LE(4);
  for (const said of [0, 1, packed.length, plainBytes - 1, plainBytes + 1, segmentRegionBytes]) {
    const lying = Buffer.from(packed);
    lying.writeUInt32LE(said, 4);
    assert.equal(unpack(lying), lying, `says ${said}`);
  }
});

test('a body that unpacks to gigabytes, or says so, costs no memory', () => {
  const region = segmentRegionBytes;
  const blockBytes = 128 * kib;
  const whole = zeros(region, region / blockBytes, 20);
  assert.deepEqual(unpack(whole), Buffer.alloc(region), 'the frames below are well made');
  const wideWindow = zeros(region, region / blockBytes, 27);
  assert.equal(unpack(wideWindow), wideWindow, 'a window of 128 MiB');
  const hostile = [
    wideWindow,
    zeros(region, 8_192, 20),
    zeros(region, 8_192, 30),
    zeros(region + 1, 8_192, 20),
    zeros(0xffffffff, 8_192, 20),
  ];
  const beforeKib = process.resourceUsage().maxRSS;
  for (const stored of hostile) assert.equal(unpack(stored), stored);
  const grownKib = process.resourceUsage().maxRSS - beforeKib;
  assert.ok(grownKib < 16 * kib, `grown by ${grownKib} KiB`);
});

test('a damaged packed body is set aside as it is, counted, and the rest goes on', () => {
  const start = startWith({ compression: 'zstd' });
  const { path } = start.options;
  const rig = new BufferRig(start);
  const bodies = [append(rig, 50), append(rig, 60), append(rig, 70)];
  const broken = Buffer.from(storedIn(path)[1] ?? []);
  broken[broken.length - 1] = (broken.at(-1) ?? 0) ^ 1;
  store(path, 1, broken);
  assert.deepEqual(readAll(path).map(holds), [true, false, true]);
  const to = { segment: 3, frame: 0 };
  const outcomes = { confirmed: 120, damaged: 60 };
  rig.advance({ lane: cloud.lane, to, outcomes, damaged: [1], now: true });
  assert.deepEqual(rig.seen('bufferDamaged'), [{ segment: 1, frames: 60, kept: true }]);
  assert.equal(rig.lane(cloud.lane).outcomes.damaged, 60);
  append(rig, 5);
  rig.writer.stop();
  const db = openPlain(path, { readonly: false });
  const aside = db.prepare<[], { bytes: number; body: Buffer }>(
    'SELECT bytes, body FROM damaged_segment',
  );
  assert.deepEqual(aside.all(), [{ bytes: bodies[1]?.length, body: broken }]);
  db.close();
});

test('salvage takes packed bodies as they are, and counts the one that does not unpack', () => {
  const start = startWith({ compression: 'zstd' });
  const { path } = start.options;
  const rig = new BufferRig(start);
  const bodies = Array.from({ length: 30 }, () => append(rig, 200));
  const plainBody = Buffer.from(rig.append([7], 9 * kib).body);
  append(rig, 1);
  rig.writer.stop();
  const cut = Buffer.from(storedIn(path)[4] ?? []);
  cut.fill(0, cut.length >> 1);
  store(path, 4, cut);
  const before = storedIn(path);
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.alloc(4_096, 0xa5), 0, 4_096, 0);
  closeSync(file);
  const next = new BufferRig(start);
  assert.equal(next.seen('bufferSalvaged').length, 1);
  assert.equal(next.lane(cloud.lane).outcomes.damaged, 200);
  assert.equal(next.lane(cloud.lane).backlogFrames, 29 * 200 + 7 + 1);
  next.writer.stop();
  assert.deepEqual(
    storedIn(path),
    before.filter((_, sequence) => sequence !== 4),
  );
  assert.deepEqual(readAll(path).slice(0, 30), [...bodies.toSpliced(4, 1), plainBody]);
});

test('a file of layout 2 goes forward, and its plain bodies are read beside packed ones', () => {
  const start = startWith({ compression: 'zstd' });
  const { path } = start.options;
  openWriter(path, tuning, migrations.slice(0, 2)).close();
  const old = openPlain(path, { readonly: false });
  const plain = bodyAt({ sequence: 0, firstFrame: 0 }, 20);
  old.prepare('INSERT INTO route VALUES (1, ?, ?)').run('all', JSON.stringify(routes[0]));
  old
    .prepare('INSERT INTO segment VALUES (0, 0, 20, ?, 1000, 1000, ?, ?)')
    .run(plain.length, '[[1,20]]', plain);
  assert.equal(pragmaNumber(old, 'user_version'), 2);
  old.close();
  const rig = new BufferRig(start);
  const packed = append(rig, 30);
  rig.writer.stop();
  const db = openPlain(path, { readonly: true });
  assert.equal(pragmaNumber(db, 'user_version'), 3);
  db.close();
  assert.deepEqual(storedIn(path).map(isPacked), [false, true]);
  assert.deepEqual(readAll(path), [plain, packed]);
});

test('a tidegate that knows layout 2 refuses a file of layout 3, and leaves it alone', () => {
  const start = startWith({ compression: 'zstd' });
  const rig = new BufferRig(start);
  append(rig, 30);
  rig.writer.stop();
  const before = readFileSync(start.options.path);
  assert.throws(() => openWriter(start.options.path, tuning, migrations.slice(0, 2)), {
    code: 'bufferNewer',
  });
  assert.deepEqual(readFileSync(start.options.path), before);
});
