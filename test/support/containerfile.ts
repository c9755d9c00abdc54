/**
 * deploy/Containerfile as a list of instructions, continued lines joined. What the file uses is
 * understood: no heredocs, no escape directive.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const containerfilePath = fileURLToPath(
  new URL('../../deploy/Containerfile', import.meta.url),
);

export interface Instruction {
  readonly keyword: string;
  readonly rest: string;
}

const all: readonly Instruction[] = readFileSync(containerfilePath, 'utf8')
  .replaceAll(/^#.*\n/gm, '')
  .replaceAll(/\\\n\s*/g, '')
  .split('\n')
  .filter((line) => line.trim() !== '')
  .map((line) => {
    const [keyword = '', ...words] = line.split(/\s+/);
    return { keyword, rest: words.join(' ') };
  });

export const instructions = (keyword: string) => all.filter((one) => one.keyword === keyword);

/** What the image itself is made by: from the last FROM on. */
export const lastStage: readonly Instruction[] = all.slice(
  all.findLastIndex(({ keyword }) => keyword === 'FROM'),
);

export function theInstruction(keyword: string): string {
  const [found, ...more] = lastStage.filter((one) => one.keyword === keyword);
  if (!found || more.length > 0) throw new Error(`${keyword} does not stand there once`);
  return found.rest;
}

/** An instruction in its exec form. */
export function theWords(keyword: string): string[] {
  const text = theInstruction(keyword);
  return JSON.parse(text.slice(text.indexOf('['))) as string[];
}
