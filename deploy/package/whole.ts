/**
 * Proves that pruning left a dependency whole: what one of its files imports or requires by a
 * relative path, and what its manifest names as an entry for Node, is kept if npm brought it.
 *
 * It reads specifiers as text, so that a require in a function that runs once a year counts like
 * one at the top. What npm did not bring either (guarded requires, other platforms) is no matter.
 */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import type { Dependency } from './dependencies.ts';
import { forOtherMachines } from './prune.ts';
import { Refusal } from './refusal.ts';
import type { Target } from './target.ts';

const specifiers = /(?:\brequire\(|\bfrom|\bimport\(|\bimport) *(['"`])(\.[^'"`$\n]*)\1/g;
const suffixes = ['', '.js', '.cjs', '.mjs', '.json', '.node', '/index.js', '/index.cjs'];
/** Conditions of `exports` that Node does not meet. */
const notNode = new Set('types browser deno bun worker react-native workerd edge-light'.split(' '));

/** @param kept paths relative to the dependency's folder */
export function assertWhole(
  staged: string,
  dependency: Dependency,
  kept: readonly string[],
  target: Target,
): void {
  const folder = join(staged, dependency.path);
  const has = new Set(kept);
  const entries = entriesOf(dependency).map((entry) => [entry, 'package.json'] as const);
  const used = kept
    .filter((file) => /\.[cm]?js$/.test(file))
    .flatMap((file) => usesOf(folder, file).map((use) => [use, file] as const));
  for (const [wanted, by] of [...entries, ...used]) {
    const found = suffixes.map((suffix) => normalize(`${wanted}${suffix}`));
    const brought = found.find((path) => isFile(join(folder, path)));
    if (brought === undefined || brought.startsWith('..') || has.has(brought)) continue;
    if (forOtherMachines(brought, target)) continue;
    throw new Refusal(
      `${dependency.path}/${brought} was taken away, and ${by} of the package wants it`,
      'Mend the rules in deploy/package/prune.ts.',
    );
  }
}

function usesOf(folder: string, file: string): string[] {
  const text = readFileSync(join(folder, file), 'utf8');
  return [...text.matchAll(specifiers)].map(([, , path = '']) => join(dirname(file), path));
}

function entriesOf({ manifest }: Dependency): string[] {
  const { exports, main } = manifest;
  return exports === undefined ? [main ?? 'index.js'] : leavesOf(exports);
}

/** Targets of `exports`; patterns name no file. */
function leavesOf(node: unknown): string[] {
  if (typeof node === 'string') return node.includes('*') ? [] : [node];
  if (typeof node !== 'object' || node === null) return [];
  const unmet = (key: string) => notNode.has(key) || (key === 'default' && 'node' in node);
  return Object.entries(node).flatMap(([key, below]) => (unmet(key) ? [] : leavesOf(below)));
}

function isFile(path: string): boolean {
  return existsSync(path) && statSync(path).isFile();
}
