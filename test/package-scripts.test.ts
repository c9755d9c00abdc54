/**
 * The maintainer scripts of the package, run as dpkg runs them but below a folder (DPKG_ROOT): a
 * version that cannot read the buffer is refused before anything is unpacked, and purge deletes the
 * state, says so, and nothing else. The whole life of a package under systemd is test/install's.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { migrations, openWriter } from '../agent/buffer/database.ts';
import { maintainerScript } from '../deploy/package/deb.ts';

const names = ['preinst', 'postinst', 'prerm', 'postrm'] as const;
const checkpointPages = 1_000;
let root = '';

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'tidegate-scripts-'));
  mkdirSync(state(), { recursive: true });
  mkdirSync(join(root, 'var/lib/misc'));
  for (const name of names) writeFileSync(join(root, name), maintainerScript(name));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function state(...below: string[]): string {
  return join(root, 'var/lib/tidegate', ...below);
}

function note(): string {
  return join(root, 'var/lib/misc/tidegate-unsent');
}

function run(name: (typeof names)[number], ...args: string[]) {
  const env = { PATH: process.env.PATH ?? '', DPKG_ROOT: root };
  return spawnSync('sh', [join(root, name), ...args], { env, encoding: 'utf8' });
}

/** A buffer as a version with so many layouts leaves it, running or not. */
function bufferOf(layouts: number): void {
  const later = Array.from({ length: layouts - migrations.length }, (_, at) => {
    return `CREATE TABLE later${at} (id INTEGER PRIMARY KEY) STRICT;`;
  });
  const db = openWriter(state('tidegate.db'), { checkpointPages }, [...migrations, ...later]);
  db.pragma('wal_checkpoint(TRUNCATE)');
  db.close();
}

test('the scripts are clean by shellcheck, and refuse what dpkg does not say', () => {
  for (const name of names) {
    execFileSync('shellcheck', [join(root, name)]);
    const { status, stderr } = run(name, 'invent');
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`${name} called with unknown argument 'invent'`));
  }
});

test('a buffer that this version can read is no obstacle, nor is none, nor a ruined one', () => {
  for (const action of [['install'], ['upgrade', '0.0.9', '0.1.0']]) {
    assert.equal(run('preinst', ...action).status, 0);
  }
  bufferOf(migrations.length);
  assert.equal(run('preinst', 'upgrade', '0.0.9').status, 0);
  writeFileSync(state('tidegate.db'), 'not a database, and longer than the head of one'.repeat(9));
  assert.equal(run('preinst', 'upgrade', '0.0.9').status, 0);
  writeFileSync(state('tidegate.db'), '');
  assert.equal(run('preinst', 'install', '0.0.9').status, 0);
});

test('a downgrade below the layout of the buffer is refused with the remedy', () => {
  bufferOf(migrations.length + 1);
  const before = readFileSync(state('tidegate.db'));
  for (const action of ['upgrade', 'install']) {
    const { status, stderr } = run('preinst', action, '9.9.9');
    assert.equal(status, 1);
    const layouts = `it has layout ${migrations.length + 1}, and this version reads layouts up to`;
    assert.match(stderr, new RegExp(`${layouts} ${migrations.length}\\.`));
    assert.match(stderr, /apt-mark hold tidegate/);
    assert.match(stderr, /tidegate status/);
  }
  assert.deepEqual(readFileSync(state('tidegate.db')), before);
});

test('a layout of more than one byte is read whole', () => {
  bufferOf(migrations.length);
  const file = readFileSync(state('tidegate.db'));
  file.writeUInt32BE(0x01_00_00, 60);
  writeFileSync(state('tidegate.db'), file);
  assert.match(run('preinst', 'upgrade', '9.9.9').stderr, /layout 65536/);
});

test('removal keeps the state; purge deletes it and says what was in it', () => {
  bufferOf(migrations.length);
  mkdirSync(state('out'));
  writeFileSync(state('out', 'events.jsonl'), '{}\n');
  writeFileSync(state('.hidden'), 'x');
  writeFileSync(note(), 'cloud/at-least-once: 12 events (3456 bytes)\n');
  assert.equal(run('postrm', 'remove').status, 0);
  assert.ok(existsSync(state('tidegate.db')));
  const { status, stdout } = run('postrm', 'purge');
  assert.equal(status, 0);
  assert.match(stdout, /purge deletes .*\/var\/lib\/tidegate \(\S+\) and the buffer in it/);
  assert.match(stdout, /not sent when the package was removed: cloud\/at-least-once: 12 events/);
  assert.ok(!existsSync(state()) && !existsSync(note()));
  assert.equal(run('postrm', 'purge').status, 0, 'a second purge finds nothing to do');
});

test('purge does not follow a link that an administrator made', () => {
  const elsewhere = join(root, 'data');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'tidegate.db'), 'x');
  rmSync(state(), { recursive: true });
  symlinkSync(elsewhere, state());
  const { status, stdout } = run('postrm', 'purge');
  assert.equal(status, 0);
  assert.match(stdout, /leaves .* alone: it is a link/);
  assert.ok(existsSync(join(elsewhere, 'tidegate.db')));
});

test("purge leaves a file system's lost+found where one is mounted there", () => {
  mkdirSync(state('lost+found'));
  writeFileSync(state('tidegate.db'), 'x');
  const { status, stdout } = run('postrm', 'purge');
  assert.equal(status, 0);
  assert.ok(existsSync(state('lost+found')));
  assert.ok(!existsSync(state('tidegate.db')));
  assert.match(stdout, /leaves .* itself/);
});

test('the other calls of dpkg find nothing to do', () => {
  const calls: readonly (readonly [(typeof names)[number], ...string[]])[] = [
    ['preinst', 'abort-upgrade', '0.2.0'],
    ['prerm', 'upgrade', '0.2.0'],
    ['prerm', 'deconfigure', 'in-favour', 'other', '1.0'],
    ['postrm', 'upgrade', '0.2.0'],
    ['postrm', 'abort-install'],
    ['postrm', 'disappear', 'other', '1.0'],
  ];
  for (const [name, ...args] of calls) {
    const { status, stderr } = run(name, ...args);
    assert.deepEqual([status, stderr], [0, ''], `${name} ${args.join(' ')}`);
  }
});
