/**
 * Which files of a dependency go along: those that can run on the target, its manifest, and its
 * licence. The rules go by what a file is (its suffix, its place at the package's top), never by
 * what somebody saw being loaded: a module that is required once a year, in an error's path, must
 * be there. `whole.ts` then proves that nothing that the rest names was taken away.
 */
import { readdirSync } from 'node:fs';
import { basename, join, normalize } from 'node:path';
import type { Dependency, PackageManifest } from './dependencies.ts';
import type { Target } from './target.ts';

const runs = /\.(js|cjs|mjs|json|wasm|node)$/;
export const licenceFile = /^((un)?licen[cs]e|copying|notice|copyrightnotice)(\.(md|txt))?$/i;

/** Folders at the top of a package that hold no code of it. Deeper down a name proves nothing. */
const asideFolders = new Set(
  `test tests spec example examples bench benchmark benchmarks doc docs fixtures tools scripts types
  browser`.split(/\s+/),
);
/** At the top of a package: tests, measurements, configs of tools. */
const asideFiles = /^(\.|test|bench|example|eslint|tsconfig|Gruntfile|.*\.config\.|abstractTest)/;

/** What only this package has besides: sources of its binary, builds for browsers. */
const aside: Readonly<Record<string, RegExp>> = {
  'better-sqlite3': /^(deps|src)\//,
  koffi: /^(vendor|lib)\/|^cnoke|trampolines/,
  mqtt: /^dist\//,
  protobufjs: /^dist\//,
};

/** Paths of files, relative to the dependency's folder, sorted. */
export function filesThatRun(folder: string, { path, manifest }: Dependency, target: Target) {
  const own = aside[manifest.name];
  const commands = new Set(commandsOf(manifest));
  return readdirSync(join(folder, path), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(join(folder, path).length + 1))
    .filter((file) => !file.startsWith('node_modules/'))
    .filter(
      (file) =>
        isLicence(file) || (goesAlong(file, target) && !own?.test(file) && !commands.has(file)),
    )
    .sort();
}

/** Its own command line; nobody starts that here. */
function commandsOf({ bin }: PackageManifest): string[] {
  const named = typeof bin === 'string' ? [bin] : Object.values(bin ?? {});
  return named.map((path) => normalize(path));
}

function isLicence(file: string): boolean {
  return !file.includes('/') && licenceFile.test(file);
}

/** By the names that binaries, and what loads them, have in all packages seen. */
export function forOtherMachines(file: string, { node }: Target): boolean {
  if (/(^|[/.])(darwin|win32|freebsd|openbsd|android|linuxmusl|musl)[-_]/.test(file)) return true;
  return /(^|[/.])linux[-_](x64|arm64)/.exec(file)?.[2] === (node === 'x64' ? 'arm64' : 'x64');
}

function goesAlong(file: string, target: Target): boolean {
  const [first = '', ...deeper] = file.split('/');
  if (!runs.test(file) || /(^|\/)\./.test(file)) return false;
  if (forOtherMachines(file, target)) return false;
  if (deeper.length > 0) return !asideFolders.has(first);
  return first === 'package.json' || !asideFiles.test(basename(file));
}
