/**
 * The suite's core, buffer and pipeline parts on arm64, each file by the Node that the installed
 * package brings, on this repository as it stands.
 *
 * What is not run is on one list, with its reason: `notRun`. A test that skips itself counts as not
 * seen.
 */
import assert from 'node:assert/strict';
import { globSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import type { ArmDebian } from './debian.ts';
import type { Sheet } from './sheet.ts';
import { type Told, told } from './told.ts';

const repository = join(import.meta.dirname, '..', '..');
const node = '/usr/lib/tidegate/bin/node';
const inside = join(import.meta.dirname, 'inside.ts');
const fileWithinMs = 1_200_000;
const wordsShown = 2_000;
const patterns = ['core*', 'buffer*', 'filter*', 'ingress', 'sequences', 'seats'];

export interface NotRun {
  readonly file: string;
  readonly test: string;
  readonly because: string;
}

const noStrace = 'its fault is injected by strace, and qemu-user has no ptrace';
export const notRun: readonly NotRun[] = [
  'ENOSPC at a write holds that append, and all that follow, until writes succeed',
  'a failed sync (10): nothing is acknowledged until a whole checkpoint succeeded',
  'a failed sync (11): nothing is acknowledged until a whole checkpoint succeeded',
  'a sync that goes on failing ends the agent with 74, without a commit',
].map((test) => ({ file: 'buffer-crash.test.ts', test, because: noStrace }));

/** What the tests read, under the paths that it has here. */
export function sharedFolders(): string[] {
  return [...new Set([repository, join(repository, 'node_modules')].map((p) => realpathSync(p)))];
}

/** @param names only files whose name contains one; all when there is none */
export function filesOf(names: readonly string[]): string[] {
  return globSync(`{${patterns.join(',')}}.test.ts`, { cwd: join(repository, 'test') })
    .filter((file) => names.length === 0 || names.some((name) => file.includes(name)))
    .sort();
}

export async function runSuite(debian: ArmDebian, files: string[], sheet: Sheet): Promise<void> {
  for (const file of files) {
    await sheet.look(`${file} passes`, async () => {
      const left = notRun.filter((one) => one.file === file).map(({ test }) => test);
      const path = join(repository, 'test', file);
      const told = await runFile(debian, path, left);
      return `${told.length} tests${left.length === 0 ? '' : `, ${left.length} not run`}`;
    });
  }
}

async function runFile(debian: ArmDebian, path: string, left: readonly string[]): Promise<Told[]> {
  const { code, out, err } = await debian.run(fileWithinMs, node, inside, path, ...left);
  const tests = toldIn(out);
  const words = `${out}${err}`.slice(-wordsShown);
  assert.ok(code !== null, `not done after ${fileWithinMs} ms: ${words}`);
  const failed = tests.filter(({ error }) => error !== null);
  const lines = failed.map(({ name, error }) => `${name}: ${error}`);
  assert.ok(lines.length === 0, lines.join('\n'));
  assert.ok(code === 0 && tests.length > 0, `exit ${code}, ${tests.length} tests: ${words}`);
  const skipped = tests.filter(({ skip }) => skip !== null);
  const why = skipped.map(({ name, skip }) => `${name}: skipped, ${skip}`);
  assert.ok(why.length === 0, why.join('\n'));
  return tests;
}

export function toldIn(out: string): Told[] {
  const lines = out.split('\n').filter((line) => line.startsWith(told));
  return lines.map((line) => JSON.parse(line.slice(told.length)) as Told);
}
