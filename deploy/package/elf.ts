/**
 * The machine that an ELF file is for, from its head: 20 bytes say it. A package that carries a
 * binary of another machine would be found out only on a gateway, so the build looks at each.
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { Refusal } from './refusal.ts';
import type { Target } from './target.ts';

const headBytes = 20;
const machineAt = 18;
const magic = Buffer.from('\x7fELF', 'latin1');

/** @returns e_machine, or null for what is not ELF */
export function elfMachine(file: string): number | null {
  const head = Buffer.alloc(headBytes);
  const handle = openSync(file, 'r');
  try {
    if (readSync(handle, head, 0, headBytes, 0) < headBytes) return null;
  } finally {
    closeSync(handle);
  }
  return head.subarray(0, magic.length).equals(magic) ? head.readUInt16LE(machineAt) : null;
}

export function assertMachine(file: string, target: Target): void {
  const machine = elfMachine(file);
  if (machine === target.elfMachine) return;
  throw new Refusal(
    `${file} is for ELF machine ${machine}, ${target.debian} is ${target.elfMachine}`,
    'npm brought a binary of another machine: see deploy/package/prune.ts.',
  );
}
