/**
 * The command line as its users run it: `node agent/main.ts …` as a process of its own, with what
 * it said and its exit code.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** @param input what stands on its standard input */
export async function tidegate(args: readonly string[], input = ''): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args]);
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk) => {
    said.out += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    said.err += String(chunk);
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return await new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, ...said }));
  });
}
