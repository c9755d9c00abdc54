/**
 * The production dependencies of a target, as npm and the lockfile give them, on any machine.
 *
 * npm takes the target's binaries by --os, --cpu and --libc, runs no script of theirs, and checks
 * every archive against the lockfile's hash. What it leaves is wider than what we ship (peers that
 * only a compiler wants, for one): `reached` follows the manifests from ours, the way Node resolves
 * them, and only what it meets is a dependency here.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { execute } from './execute.ts';
import { Refusal } from './refusal.ts';
import { root } from './repository.ts';
import type { Target } from './target.ts';

export interface PackageManifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly main?: string;
  readonly exports?: unknown;
  readonly bin?: string | Readonly<Record<string, string>>;
  readonly author?: string | { readonly name: string };
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export interface Dependency {
  /** `node_modules/a/node_modules/b`: the same in the staging folder and where it is installed. */
  readonly path: string;
  readonly manifest: PackageManifest;
  /** Paths of what it depends on. */
  readonly needs: readonly string[];
}

const needsNetwork = 'npm has to reach its registry, or to have these archives in its cache.';
const runtimePrefix = 'node-linux-';
/** For compilers: types, and C++ headers. Nothing of them runs. */
const neverRuns = /^(@types\/.*|undici-types|node-addon-api)$/;

/** `npm ci` for the target into `folder`. */
export async function fetchDependencies(folder: string, target: Target): Promise<void> {
  mkdirSync(folder, { recursive: true });
  for (const name of ['package.json', 'package-lock.json']) {
    copyFileSync(join(root, name), join(folder, name));
  }
  const args = ['ci', '--omit=dev', '--ignore-scripts', '--prefer-offline', '--no-audit'];
  const wanted = ['--no-fund', '--os=linux', `--cpu=${target.node}`, '--libc=glibc'];
  const [npm = 'npm', ...before] = npmCommand();
  await execute(npm, [...before, ...args, ...wanted], { cwd: folder, remedy: needsNetwork });
}

/** Under `npm run` the same npm, else the one of the PATH. */
function npmCommand(): string[] {
  const script = process.env.npm_execpath;
  return script?.endsWith('.js') === true ? [process.execPath, script] : ['npm'];
}

/** The folder of the runtime's package, which is no dependency but what runs them. */
export function runtimeFolder(folder: string, target: Target): string {
  const found = join(folder, 'node_modules', `${runtimePrefix}${target.node}`);
  if (existsSync(join(found, 'bin', 'node'))) return found;
  throw new Refusal(
    `npm brought no ${runtimePrefix}${target.node}`,
    'It stands under optionalDependencies of package.json; the lockfile must have it too.',
  );
}

/** Everything our manifest's dependencies lead to, sorted by path. */
export function reached(folder: string): Dependency[] {
  const found = new Map<string, Dependency>();
  const waiting: Dependency[] = [];
  const visit = (from: string, needs: Iterable<string>): string[] =>
    [...needs]
      .filter((name) => !neverRuns.test(name))
      .map((name) => locate(folder, from, name))
      .filter((path) => path !== null)
      .map((path) => {
        if (!found.has(path)) {
          const manifest = manifestOf(folder, path);
          const entry = { path, manifest, needs: [] };
          found.set(path, entry);
          waiting.push(entry);
        }
        return path;
      });
  visit('', Object.keys(manifestOf(folder, '').dependencies ?? {}));
  for (let next = waiting.shift(); next; next = waiting.shift()) {
    const { dependencies, optionalDependencies } = next.manifest;
    const names = new Set(Object.keys({ ...dependencies, ...optionalDependencies }));
    found.set(next.path, { ...next, needs: visit(next.path, names).sort() });
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Those of these names and what they depend on: the rest is part of the bundle. */
export function ledToBy(
  names: readonly string[],
  dependencies: readonly Dependency[],
): readonly Dependency[] {
  const byPath = new Map(dependencies.map((dependency) => [dependency.path, dependency]));
  const found = new Set<Dependency>();
  const visit = (path: string): void => {
    const dependency = byPath.get(path);
    if (dependency === undefined || found.has(dependency)) return;
    found.add(dependency);
    for (const needed of dependency.needs) visit(needed);
  };
  for (const { path, manifest } of dependencies) if (names.includes(manifest.name)) visit(path);
  return dependencies.filter((dependency) => found.has(dependency));
}

/** As Node looks for it: beside, then in each folder above. Null: optional, and not for us. */
function locate(folder: string, from: string, name: string): string | null {
  for (let at = from; ; at = dirname(at)) {
    const path = join(at === '.' ? '' : at, 'node_modules', name);
    if (existsSync(join(folder, path, 'package.json'))) return path;
    if (at === '' || at === '.') return null;
  }
}

function manifestOf(folder: string, path: string): PackageManifest {
  return JSON.parse(readFileSync(join(folder, path, 'package.json'), 'utf8')) as PackageManifest;
}
