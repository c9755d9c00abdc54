/**
 * Reads the repository's own source for the tidy test: which files there are, what they import,
 * how long their functions are, what they declare.
 *
 * It reads lines, no syntax tree: the formatter fixes where a block begins and ends (a block closes
 * on a line with the indentation it opened with), so that lines are enough.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

export const root = join(import.meta.dirname, '..', '..');

export interface Source {
  /** From the repository's root, with slashes. */
  readonly path: string;
  readonly lines: readonly string[];
}

export interface Import {
  /** As written: a package, `node:…`, or a relative path. */
  readonly from: string;
  /** Path from the root when it is relative, else null. */
  readonly file: string | null;
  readonly typeOnly: boolean;
}

export interface Block {
  readonly line: number;
  readonly length: number;
  readonly head: string;
}

/** Tracked files, and untracked ones that are not ignored. */
export function trackedPaths(): string[] {
  const list = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const out = execFileSync('git', ['-c', `safe.directory=${root}`, ...list], { cwd: root });
  return out
    .toString('utf8')
    .split('\0')
    .filter((path) => path !== '' && existsSync(join(root, path)));
}

export function readSource(path: string): Source {
  const lines = readFileSync(join(root, path), 'utf8').split('\n');
  if (lines.at(-1) === '') lines.pop();
  return { path, lines };
}

const importPattern =
  /^(?:import|export)\s+(type\s+)?(?:[^'";]*?\sfrom\s+)?'([^']+)'|\bimport\(\s*'([^']+)'\s*\)/gm;
const typeImportPattern = /:\s*typeof\s+import\(|\btypeof import\(/;

export function importsOf(source: Source): Import[] {
  const code = source.lines.filter((line) => !/^\s*(\*|\/\*|\/\/)/.test(line)).join('\n');
  const imports: Import[] = [];
  for (const match of code.matchAll(importPattern)) {
    const from = match[2] ?? match[3] ?? '';
    const at = code.lastIndexOf('\n', match.index) + 1;
    const line = code.slice(at, code.indexOf('\n', match.index));
    const typeOnly =
      match[1] !== undefined || (match[3] !== undefined && typeImportPattern.test(line));
    const folder = dirname(join(root, source.path));
    const file = from.startsWith('.') ? relative(root, join(folder, from)) : null;
    imports.push({ from, file, typeOnly });
  }
  return imports;
}

/** `@scope/name/file` → `@scope/name`. */
export function packageOf(from: string): string {
  return from
    .split('/')
    .slice(0, from.startsWith('@') ? 2 : 1)
    .join('/');
}

const modifiers = String.raw`(?:(?:public|private|protected|static|override|async|get|set|\*)\s+)*`;
const notControl = String.raw`(?!(?:if|for|while|switch|catch|with)\b)`;
const functionHead = new RegExp(
  [
    String.raw`\bfunction\b.*\{$`,
    String.raw`=>\s*\{$`,
    String.raw`^\s*${modifiers}${notControl}[#\w[\].]+\s*(?:<[^>]*>)?\(.*\)(?::.*)?\s*\{$`,
    // The end of a head that the formatter broke over several lines.
    String.raw`^\s*\)(?::.*)?\s*(?:=>\s*)?\{$`,
  ].join('|'),
);

/** Functions, methods and arrows with a block, of any depth. */
export function functionsOf(source: Source): Block[] {
  const blocks: Block[] = [];
  source.lines.forEach((line, index) => {
    if (!functionHead.test(line) || /^\s*(\*|\/\/|\} else)/.test(line)) return;
    const indent = /^\s*/.exec(line)?.[0] ?? '';
    const close = new RegExp(`^${indent}\\}`);
    const rest = source.lines.slice(index + 1).findIndex((next) => close.test(next));
    if (rest >= 0) blocks.push({ line: index + 1, length: rest + 2, head: line.trim() });
  });
  return blocks;
}

const kinds = 'const|let|function\\*?|class|interface|type';
const declared = new RegExp(
  String.raw`^(?:export )?(?:declare )?(?:abstract )?(?:async )?(?:${kinds})\s+([\w$]+)`,
);

/** Names declared at the top level. */
export function declaredNames(source: Source): string[] {
  return source.lines.flatMap((line) => declared.exec(line)?.[1] ?? []);
}

/** `connectWithinMs` → connect within ms; `hold-queue.ts` → hold queue ts. */
export function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter((word) => word !== '');
}
