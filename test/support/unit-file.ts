/**
 * The unit as systemd reads it: the values of a key in order, and the system calls that its filter
 * leaves, with groups expanded by the `systemd-analyze` of this machine.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const unitPath = fileURLToPath(
  new URL('../../deploy/systemd/tidegate.service', import.meta.url),
);

const lines = readFileSync(unitPath, 'utf8')
  .split('\n')
  .filter((line) => /^[A-Z]\w*=/.test(line));

export function valuesOf(key: string): string[] {
  return lines
    .filter((line) => line.startsWith(`${key}=`))
    .map((line) => line.slice(key.length + 1));
}

export function theValueOf(key: string): string {
  const [value, ...more] = valuesOf(key);
  if (value === undefined || more.length > 0) throw new Error(`${key}= does not stand there once`);
  return value;
}

/** `90s`, `20s`; the unit writes no other. */
export function secondsOf(key: string): number {
  const seconds = /^(\d+)s$/.exec(theValueOf(key))?.[1];
  if (seconds === undefined) throw new Error(`${key}=${theValueOf(key)} is not in seconds`);
  return Number(seconds);
}

function expand(name: string): string[] {
  if (!name.startsWith('@')) return [name];
  const text = execFileSync('systemd-analyze', ['syscall-filter', name], { encoding: 'utf8' });
  const members = text
    .split('\n')
    .slice(1)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return members.flatMap(expand);
}

/** Names of the calls that SystemCallFilter= allows. */
export function allowedCalls(): Set<string> {
  const allowed = new Set<string>();
  for (const value of valuesOf('SystemCallFilter')) {
    const denies = value.startsWith('~');
    const names = value.replace(/^~/, '').split(/\s+/).flatMap(expand);
    for (const name of names) {
      if (denies) allowed.delete(name);
      else allowed.add(name);
    }
  }
  return allowed;
}

/** AF_…, as RestrictAddressFamilies= allows them. */
export function allowedFamilies(): Set<string> {
  return new Set(theValueOf('RestrictAddressFamilies').split(/\s+/));
}
