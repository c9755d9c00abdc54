/**
 * The lock of a buffer file keeps others out whoever made it: also when root worked on the buffer
 * with a command before the agent, which is another user, started.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { takeLock } from '../agent/buffer/lock.ts';
import { tempFolder } from './support/buffer-rig.ts';

const nobody = 65_534;
const isRoot = process.geteuid?.() === 0;

/** As a user whom the modes of files bind. */
function asNobody(action: () => void): void {
  if (isRoot) process.seteuid?.(nobody);
  try {
    action();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

test('a lock file that may only be read is refused: locking it would keep nobody out', (t) => {
  const folder = tempFolder();
  t.after(() => folder.remove());
  chmodSync(folder.path, 0o755);
  const path = join(folder.path, 'tidegate.db');
  writeFileSync(`${path}.lock`, '', { mode: 0o444 });
  asNobody(() => {
    assert.throws(() => takeLock(path), {
      code: 'bufferCannotOpen',
      message: `${path}.lock may not be written by this user`,
    });
  });
});

test('the lock writes nothing, and is free again after its release', (t) => {
  const folder = tempFolder();
  t.after(() => folder.remove());
  const path = join(folder.path, 'tidegate.db');
  const lock = takeLock(path);
  assert.throws(() => takeLock(path), { code: 'bufferLocked' });
  lock.release();
  takeLock(path).release();
  assert.equal(statSync(`${path}.lock`).size, 0);
});

test('a lock that root makes belongs to whom the buffer belongs', (t) => {
  const folder = tempFolder();
  t.after(() => folder.remove());
  const path = join(folder.path, 'tidegate.db');
  writeFileSync(path, '');
  if (isRoot) chownSync(path, nobody, nobody);
  takeLock(path).release();
  assert.equal(statSync(`${path}.lock`).uid, statSync(path).uid);
});
