/**
 * Dependencies and tree of one target, in a folder: the files as they are installed, before
 * anything packs them. What only wants to run them (a test under emulation) stops here.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { fetchDependencies, reached, runtimeFolder } from './dependencies.ts';
import { readManifest, sourceEpoch } from './repository.ts';
import type { Parts } from './sbom.ts';
import type { Target } from './target.ts';
import { buildTree } from './tree.ts';

export interface Staged {
  readonly tree: string;
  readonly parts: Parts;
}

/** @param version null: as package.json says */
export async function stage(
  target: Target,
  folder: string,
  version: string | null,
  tell: (line: string) => void,
): Promise<Staged> {
  const manifest = readManifest();
  const epoch = await sourceEpoch();
  const staged = join(folder, `staged-${target.node}`);
  tell(`${target.debian}: dependencies from npm`);
  await fetchDependencies(staged, target);
  const runtime = runtimeFolder(staged, target);
  const dependencies = reached(staged);
  const named = { manifest, version: version ?? manifest.version };
  const parts = { ...named, target, epoch, staged, runtime, dependencies };
  const tree = join(folder, `tree-${target.node}`);
  tell(`${target.debian}: the tree, of ${dependencies.length} dependencies`);
  await buildTree(tree, parts);
  rmSync(staged, { recursive: true });
  return { tree, parts };
}
