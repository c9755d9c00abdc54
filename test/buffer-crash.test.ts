/**
 * The buffer thread from the outside: killed in mid-load, on a disk that is full, on a disk whose
 * syncs fail. What was reported as committed is there, each time.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BufferReader } from '../agent/buffer/reader.ts';
import { bodyOf, childLane, childSession, framesEach, rowsKept } from './support/buffer-body.ts';
import { BufferRig, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';
import { patient } from './support/patience.ts';
import { randomFrom, seedOfRun } from './support/random.ts';

const folder = tempFolder();
/** One whose test failed would go on for ever. */
const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
  folder.remove();
});

const kib = 1024;
const mib = 1024 * kib;
const childPath = join(import.meta.dirname, 'support', 'buffer-child.ts');
const withinMs = patient(20_000);

class Child {
  readonly lines: string[] = [];
  readonly process: ChildProcess;
  readonly exited: Promise<number | null>;
  #watchers: (() => void)[] = [];

  constructor(command: string, args: string[]) {
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    children.add(this.process);
    this.exited = new Promise((resolve) => this.process.once('close', (code) => resolve(code)));
    let rest = '';
    this.process.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      this.lines.push(...parts);
      for (const watcher of this.#watchers) watcher();
    });
  }

  get committed(): number[] {
    return this.#told('committed ');
  }

  get released(): number[] {
    return this.#told('released ');
  }

  #told(word: string): number[] {
    return this.lines.flatMap((line) =>
      line.startsWith(word) ? Number(line.slice(word.length)) : [],
    );
  }

  say(line: string): void {
    this.process.stdin?.write(`${line}\n`);
  }

  /** The line's place, once there is such a line at or behind `from`. */
  async line(wanted: string | RegExp, from = 0): Promise<number> {
    const is = (line: string) => (typeof wanted === 'string' ? line === wanted : wanted.test(line));
    const deadline = AbortSignal.timeout(withinMs);
    for (;;) {
      const at = this.lines.findIndex((line, index) => index >= from && is(line));
      if (at >= 0) return at;
      await new Promise<void>((resolve, reject) => {
        this.#watchers.push(resolve);
        deadline.addEventListener('abort', () => {
          reject(new Error(`no ${wanted} in: ${this.lines.slice(-20).join(', ')}`));
        });
      });
    }
  }
}

function childArgs(path: string, bodyBytes: number, change = {}): string[] {
  return [childPath, JSON.stringify(optionsFor(path, change)), String(bodyBytes)];
}

/**
 * Every committed segment is in the file, with its body, and the lane's sums agree; so do the
 * session rows: each came and went in the transaction that it was said with.
 */
function assertAllThere(
  path: string,
  committed: Iterable<number>,
  released: Iterable<number>,
  bodyBytes: number,
): void {
  const routes = [routeTo('all', [childLane.lane])];
  const rig = new BufferRig({ options: optionsFor(path), lanes: [childLane], routes });
  const lane = rig.lane(childLane.lane);
  const rows = rig.writer.sessions();
  const reader = new BufferReader(path);
  const found = new Map(reader.read(0, 1e9, 1e6).map((segment) => [segment.sequence, segment]));
  reader.close();
  rig.writer.stop();
  for (const sequence of committed) {
    if (sequence < lane.position.segment) continue;
    const body = found.get(sequence)?.body;
    assert.ok(body, `segment ${sequence} was committed and is gone`);
    assert.ok(body.equals(Buffer.from(bodyOf(sequence, bodyBytes))));
  }
  const last = [...found.keys()].at(-1) ?? -1;
  const kept = new Set(rows.map((row) => row.id));
  for (const row of rows) assert.deepEqual({ ...row }, childSession(row.id));
  for (const sequence of released) assert.ok(!kept.has(sequence), `${sequence} was released`);
  for (const id of kept) assert.ok(id <= last, `the row of segment ${id} is there without it`);
  for (let id = Math.max(0, last - rowsKept + 1); id <= last; id++) {
    assert.ok(kept.has(id), `segment ${id} is there without its row`);
  }
  assert.ok(kept.size <= rowsKept + 1, 'releases go in the order they were said');
  const sequences = [...found.keys()];
  assert.deepEqual(
    sequences,
    sequences.map((_, index) => (sequences[0] ?? 0) + index),
  );
  const passed = Object.values(lane.outcomes).reduce((sum, count) => sum + count, 0);
  assert.equal(lane.appendedFrames, passed + lane.backlogFrames);
  assert.equal(lane.appendedFrames, ((sequences.at(-1) ?? -1) + 1) * framesEach);
}

test('what was committed survives SIGKILL at any moment, sessions with it', async () => {
  const seed = seedOfRun();
  const random = randomFrom(seed);
  const path = join(folder.path, 'killed.db');
  const committed = new Set<number>();
  const released = new Set<number>();
  for (let kill = 0; kill < 8; kill++) {
    const child = new Child(process.execPath, childArgs(path, 3 * kib));
    await child.line(/^committed/);
    if (random() < 0.5) child.say('pass');
    await new Promise((resolve) => setTimeout(resolve, random() * patient(120)));
    child.process.kill('SIGKILL');
    await child.exited;
    for (const sequence of child.committed) {
      assert.ok(!committed.has(sequence), `seed ${seed}: ${sequence} was committed twice`);
      committed.add(sequence);
    }
    for (const sequence of child.released) released.add(sequence);
  }
  assert.ok(committed.size > 50, `seed ${seed}: only ${committed.size} commits`);
  assert.ok(released.size > 50, `seed ${seed}: only ${released.size} releases`);
  assertAllThere(path, committed, released, 3 * kib);
});

/** A mount of one's own: as root, or as the root of a user namespace. */
const ownRoot = process.getuid?.() === 0 ? [] : ['--map-root-user', '--user'];
const mounting = ['--mount', 'sh', '-c', 'mount -t tmpfs none /mnt'];
const mayMount = spawnSync('unshare', [...ownRoot, ...mounting]).status === 0;
const noMount = mayMount ? false : 'no mount is permitted here; the next test injects ENOSPC';
const fullDisk = 'a full disk: nothing acknowledged is lost, and it goes on once there is room';

test(fullDisk, { skip: noMount }, async () => {
  const mount = join(folder.path, 'small');
  mkdirSync(mount);
  const path = join(mount, 'full.db');
  const result = join(folder.path, 'full-result');
  mkdirSync(result);
  const change = { reserveBytes: 2 * mib, bytes: 1024 * mib };
  const args = childArgs(path, 64 * kib, change).map((arg) => `'${arg}'`);
  const script = [
    `mount -t tmpfs -o size=12m none '${mount}'`,
    `'${process.execPath}' ${args.join(' ')}`,
    `cp '${mount}'/full.db* '${result}'`,
  ].join(' && ');
  const child = new Child('unshare', [...ownRoot, '--mount', 'sh', '-c', script]);
  const filled = await untilStuck(child);
  assert.ok(filled.length > 10);
  child.say('pass');
  const released = await child.line('event bufferReleased', child.lines.length);
  await child.line(/^committed/, released);
  const refilled = await untilStuck(child);
  assert.ok(refilled.length > filled.length + 10, 'all that was passed made room');
  child.say('pass');
  await child.line('event bufferReleased', child.lines.length);
  child.say('stop');
  assert.equal(await child.exited, 0);
  assertAllThere(join(result, 'full.db'), child.committed, child.released, 64 * kib);
});

test('ENOSPC at a write holds that append, and all that follow, until writes succeed', async () => {
  const path = join(folder.path, 'enospc.db');
  const log = join(folder.path, 'enospc.strace');
  const child = straced(path, log, 'pwrite64:error=ENOSPC:when=120..150');
  const full = await child.line('event bufferDiskFull');
  const released = await child.line('event bufferReleased', full);
  const between = child.lines.slice(full, released);
  assert.ok(!between.some((line) => /^(committed|released) /.test(line)), between.join());
  await child.line(/^committed/, child.lines.length);
  child.say('stop');
  assert.equal(await child.exited, 0);
  assert.match(readFileSync(log, 'utf8'), /ENOSPC.*INJECTED/);
  assertAllThere(path, child.committed, child.released, 2 * kib);
});

/**
 * Emptying the WAL may give a full disk room once more; then, while nothing is passed, no further
 * acknowledgement comes.
 */
async function untilStuck(child: Child): Promise<number[]> {
  const quietMs = 1_200;
  const deadline = Date.now() + withinMs;
  for (;;) {
    const before = child.lines.length;
    await new Promise((resolve) => setTimeout(resolve, quietMs));
    const last = child.lines.findLast((line) => /bufferDiskFull|bufferReleased/.test(line));
    const stuck = last === 'event bufferDiskFull' && child.lines.length === before;
    if (stuck) return child.committed;
    assert.ok(Date.now() < deadline, `not stuck: ${child.lines.slice(-5).join(', ')}`);
  }
}

function straced(path: string, log: string, inject: string): Child {
  const what = [
    '-e',
    'trace=fsync,fdatasync,pwrite64',
    '-e',
    `inject=${inject}`,
    '-P',
    `${path}-wal`,
  ];
  const node = [process.execPath, ...childArgs(path, 2 * kib)];
  return new Child('strace', ['-f', '-qq', '-y', '-o', log, ...what, '-P', path, ...node]);
}

/** Commits that follow one another: a segment's and that of a batch without one. */
for (const when of [10, 11]) {
  const failing = `a failed sync (${when})`;
  test(`${failing}: nothing is acknowledged until a whole checkpoint succeeded`, async () => {
    await failOneSync(when);
  });
}

async function failOneSync(when: number): Promise<void> {
  const path = join(folder.path, `sync-${when}.db`);
  const log = join(folder.path, `sync-${when}.strace`);
  const child = straced(path, log, `fsync,fdatasync:error=EIO:when=${when}`);
  const failed = await child.line('event bufferSyncFailed');
  const recovered = await child.line('event bufferSyncRecovered', failed);
  const between = child.lines.slice(failed, recovered);
  assert.ok(!between.some((line) => /^(committed|released) /.test(line)), between.join());
  await child.line(/^committed/, recovered);
  child.say('stop');
  assert.equal(await child.exited, 0);
  const calls = readFileSync(log, 'utf8').split('\n');
  const lie = calls.findIndex((call) => call.includes('EIO'));
  const isSync = (call: string) => call.includes('sync(') && call.includes(`<${path}>`);
  const rewritten = calls.findIndex((call, at) => at > lie && isSync(call));
  assert.ok(lie >= 0, 'a sync was made to fail');
  assert.match(calls[rewritten] ?? '', /= 0$/, 'the pages were synced into the file');
  assertAllThere(path, child.committed, child.released, 2 * kib);
}

test('a sync that goes on failing ends the agent with 74, without a commit', async () => {
  const path = join(folder.path, 'dead.db');
  const log = join(folder.path, 'dead.strace');
  const child = straced(path, log, 'fsync,fdatasync:error=EIO:when=10+');
  const failed = await child.line('event bufferSyncFailed');
  assert.equal(await child.exited, 74);
  assert.equal(child.lines.at(-1), 'failed bufferSyncFailed');
  assert.ok(!child.lines.slice(failed).some((line) => /^(committed|released) /.test(line)));
  writeFileSync(log, '');
  assertAllThere(path, child.committed, child.released, 2 * kib);
});
