/**
 * Where the repository is, and what it says of itself: its version, and the one time that stands in
 * every package. That time is the last commit's, so that two builds of a commit are the same bytes;
 * SOURCE_DATE_EPOCH overrides it, as everywhere where builds are to be reproducible.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { execute } from './execute.ts';
import { Refusal } from './refusal.ts';

export const root = join(import.meta.dirname, '..', '..');

export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly description: string;
  readonly license: string;
  readonly dependencies: Readonly<Record<string, string>>;
}

export function readManifest(): Manifest {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Manifest;
}

/** Seconds since 1970. */
export async function sourceEpoch(): Promise<number> {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined) {
    if (/^\d{1,11}$/.test(given)) return Number(given);
    throw new Refusal(`SOURCE_DATE_EPOCH is ${given}`, 'Set it to seconds since 1970, or not.');
  }
  const remedy = 'Build in a git clone, or set SOURCE_DATE_EPOCH to the time of the release.';
  const printed = await execute('git', ['log', '-1', '--format=%ct'], { cwd: root, remedy });
  return Number(printed.trim());
}
