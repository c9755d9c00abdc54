/**
 * Debian roots that debootstrap makes once and that are kept, never changed afterwards:
 *
 *   $XDG_CACHE_HOME/tidegate-test/<name>-<hash of the recipe>/
 *
 * The hash is in the name, so that a changed recipe makes a new folder and an old one is never
 * taken for it. A folder appears under its name only when it is whole.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { runTool } from './run-tool.ts';

export interface Kept {
  readonly folder: string;
  /** 0 when it was there already. */
  readonly madeInMs: number;
}

function cacheFolder(): string {
  const cache = process.env.XDG_CACHE_HOME ?? '';
  return join(cache === '' ? join(homedir(), '.cache') : cache, 'tidegate-test');
}

/**
 * @param make fills the folder it is given
 * @throws Error when it cannot be made: not root, a tool or the mirror is missing
 */
export function keptFolder(name: string, recipe: unknown, make: (work: string) => void): Kept {
  const hash = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 12);
  const folder = join(cacheFolder(), `${name}-${hash}`);
  if (existsSync(folder)) return { folder, madeInMs: 0 };
  if (process.getuid?.() !== 0) {
    throw new Error(`${folder} has to be made once, by root (debootstrap)`);
  }
  const started = performance.now();
  mkdirSync(cacheFolder(), { recursive: true });
  const work = mkdtempSync(`${folder}-`);
  try {
    make(work);
    renameSync(work, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return { folder, madeInMs: performance.now() - started };
}

/** A small Debian in `root`, from TIDEGATE_TEST_DEBIAN_MIRROR or where debootstrap looks. */
export function bootstrap(
  suite: string,
  root: string,
  options: readonly string[],
  withinMs: number,
): void {
  const mirror = process.env.TIDEGATE_TEST_DEBIAN_MIRROR ?? '';
  const from = mirror === '' ? [] : [mirror];
  runTool('debootstrap', ['--variant=minbase', ...options, suite, root, ...from], withinMs);
}
