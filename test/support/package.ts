/**
 * What `npm run package` makes, for the tests of it, laid out in folders as dpkg and tar would do
 * it. A run of many test files builds the packages once (test/run.ts) and names their folder in
 * `TIDEGATE_TEST_PACKAGES`; a test file that runs alone builds its own. Everything is taken away at
 * the end.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const script = fileURLToPath(new URL('../../deploy/package/package.ts', import.meta.url));

export interface Made {
  readonly file: string;
  readonly arch: 'amd64' | 'arm64';
  readonly bytes: number;
  readonly sha256: string;
}

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export const architectures = ['amd64', 'arm64'] as const;
export const nodeNames = { amd64: 'x64', arm64: 'arm64' } as const;

/** As a user runs it; the environment may differ from build to build. */
export function runPackaging(args: readonly string[], env: NodeJS.ProcessEnv = {}): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [script, ...args], {
    encoding: 'utf8',
    env: { ...process.env, ...env },
  });
  return { code: status, out: stdout, err: stderr };
}

export function build(args: readonly string[], env: NodeJS.ProcessEnv = {}): Made[] {
  const { code, out, err } = runPackaging([...args, '--json'], env);
  if (code !== 0) throw new Error(`packaging ended with ${code}: ${err}`);
  return (JSON.parse(out) as { made: Made[] }).made;
}

export const sharedFolderVariable = 'TIDEGATE_TEST_PACKAGES';
const listName = 'made.json';

/** Both packages and both tarballs, for whoever is told of `folder`. */
export function buildShared(folder: string): void {
  const made = build(['--out', folder]);
  writeFileSync(join(folder, listName), JSON.stringify(made));
}

/** Those that the run has built; else built now, into `folder`. */
export function builtFor(arches: readonly Made['arch'][], folder: string): Made[] {
  const shared = process.env[sharedFolderVariable] ?? '';
  if (shared === '') return arches.flatMap((arch) => build(['--arch', arch, '--out', folder]));
  const made = JSON.parse(readFileSync(join(shared, listName), 'utf8')) as Made[];
  return made.filter(({ arch }) => arches.includes(arch));
}

export class BuiltPackages implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-package-'));
  readonly made: readonly Made[];

  constructor(...arches: readonly Made['arch'][]) {
    this.made = builtFor(arches, join(this.folder, 'dist'));
    for (const { arch, file } of this.made) {
      if (file.endsWith('.deb')) {
        mkdirSync(this.tree(arch));
        execFileSync('dpkg-deb', ['-R', file, this.tree(arch)]);
      }
    }
  }

  deb(arch: Made['arch']): string {
    return this.#named(arch, '.deb');
  }

  tarball(arch: Made['arch']): string {
    return this.#named(arch, '.tar.xz');
  }

  /** The unpacked .deb, its control files below DEBIAN. */
  tree(arch: Made['arch']): string {
    return join(this.folder, arch);
  }

  /** Unpacks a tarball. @returns the one folder in it */
  unpack(arch: Made['arch']): string {
    const to = join(this.folder, 'unpacked');
    mkdirSync(to);
    execFileSync('tar', ['-xf', this.tarball(arch), '-C', to]);
    const names = readdirSync(to);
    if (names.length !== 1) throw new Error(`the tarball holds ${names.join(', ')}`);
    return join(to, names[0] ?? '');
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  #named(arch: Made['arch'], suffix: string): string {
    const found = this.made.find((one) => one.arch === arch && one.file.endsWith(suffix));
    if (!found) throw new Error(`no ${suffix} for ${arch}`);
    return found.file;
  }
}

/** Files below a folder, relative to it, sorted. */
export function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
