/**
 * The installed tree, as the package and the tarball have it: what goes where, with which mode.
 *
 *   usr/lib/tidegate/   bin/node, agent/, wasm-core/, node_modules/, package.json
 *   usr/bin/tidegate    usr/share/{man,bash-completion,zsh,fish}    usr/share/doc/tidegate
 *   etc/tidegate/tidegate.yaml    usr/lib/systemd/system    usr/lib/sysusers.d
 *
 * Files are moved out of the staging folder, which is thrown away. At the end every mode and time
 * is set: neither the umask nor the hour of the build may be in a package.
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { completions } from '../completions/completions.ts';
import { manualPage } from '../man/manual.ts';
import { keptPackages } from './bundle.ts';
import { debianChangelog } from './changelog.ts';
import { compile } from './compile.ts';
import { ledToBy } from './dependencies.ts';
import { assertMachine } from './elf.ts';
import { copyrightFile } from './licences.ts';
import { filesThatRun } from './prune.ts';
import { Refusal } from './refusal.ts';
import { root } from './repository.ts';
import { billOfMaterials, type Parts } from './sbom.ts';
import { assertWhole } from './whole.ts';
import { startCommand, wrapperScript } from './wrapper.ts';

const home = 'usr/lib/tidegate';
const doc = 'usr/share/doc/tidegate';
const executables = new Set(['usr/bin/tidegate', `${home}/bin/node`]);
const unit = 'deploy/systemd/tidegate.service';

/** What is taken from the repository as it is. */
const copied: readonly (readonly [from: string, to: string])[] = [
  ['deploy/tidegate.yaml', 'etc/tidegate/tidegate.yaml'],
  [unit, 'usr/lib/systemd/system/tidegate.service'],
  ['deploy/systemd/tidegate.sysusers', 'usr/lib/sysusers.d/tidegate.conf'],
  ['deploy/tidegate.example.yaml', `${doc}/examples/tidegate.example.yaml`],
  ['deploy/tidegate.schema.json', `${doc}/examples/tidegate.schema.json`],
];

/** Everything that may be missing is looked for before the work begins. */
export function assertSources(): void {
  const missing = copied.map(([from]) => from).filter((from) => !existsSync(join(root, from)));
  if (missing.length > 0) {
    const remedy = 'They are part of the repository; git status shows what happened to them.';
    throw new Refusal(`not there: ${missing.join(', ')}`, remedy);
  }
  const started = /^ExecStart=(.*)$/m.exec(readFileSync(join(root, unit), 'utf8'))?.[1] ?? '';
  if (!started.startsWith(startCommand)) {
    const remedy = `It has to begin with ${startCommand}`;
    throw new Refusal(`ExecStart of ${unit} is ${started || 'missing'}`, remedy);
  }
}

export async function buildTree(tree: string, parts: Parts): Promise<void> {
  const put = (to: string, content: string | Buffer) => {
    mkdirSync(dirname(join(tree, to)), { recursive: true });
    writeFileSync(join(tree, to), content);
  };
  moveRuntime(tree, parts);
  await compile(join(tree, home));
  put(`${home}/package.json`, ownManifest(parts));
  put('usr/bin/tidegate', wrapperScript());
  for (const [from, to] of copied) {
    mkdirSync(dirname(join(tree, to)), { recursive: true });
    copyFileSync(join(root, from), join(tree, to));
  }
  const { version, epoch, staged, runtime, dependencies } = parts;
  for (const [to, script] of completions()) put(to, script);
  put('usr/share/man/man1/tidegate.1.gz', zipped(manualPage(version, epoch)));
  const history = readFileSync(join(root, 'CHANGELOG.md'), 'utf8');
  put(`${doc}/changelog.gz`, zipped(debianChangelog(history, version, epoch)));
  put(`${doc}/README.md.gz`, zipped(readFileSync(join(root, 'deploy', 'README.md'), 'utf8')));
  put(`${doc}/copyright`, copyrightFile(staged, runtime, dependencies));
  put(`${doc}/sbom.cdx.json`, billOfMaterials(parts));
  moveDependencies(tree, parts);
  seal(tree, epoch);
}

function moveRuntime(tree: string, { runtime, target }: Parts): void {
  mkdirSync(join(tree, home, 'bin'), { recursive: true });
  const node = join(tree, home, 'bin', 'node');
  copyFileSync(join(runtime, 'bin', 'node'), node);
  assertMachine(node, target);
}

function moveDependencies(tree: string, { staged, target, dependencies }: Parts): void {
  for (const dependency of ledToBy(keptPackages, dependencies)) {
    const files = filesThatRun(staged, dependency, target);
    assertWhole(staged, dependency, files, target);
    for (const file of files) {
      const to = join(tree, home, dependency.path, file);
      mkdirSync(dirname(to), { recursive: true });
      renameSync(join(staged, dependency.path, file), to);
      if (file.endsWith('.node')) assertMachine(to, target);
    }
  }
}

/** Our package.json, less what is for those who work on it. */
function ownManifest({ manifest, version }: Parts): string {
  const { name, description, license, dependencies } = manifest;
  const kept = { name, version, description, license, private: true, type: 'module', dependencies };
  return `${JSON.stringify(kept, null, 2)}\n`;
}

function zipped(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

/** Modes and times of all that is in `tree`, folders after what they hold. */
export function seal(tree: string, epoch: number): void {
  const all = (readdirSync(tree, { recursive: true }) as string[]).sort().reverse();
  for (const path of [...all, '.']) {
    const full = join(tree, path);
    const isOpen = statSync(full).isDirectory() || executables.has(path);
    const isScript = path.startsWith('DEBIAN/') && /\/(pre|post)(inst|rm)$/.test(path);
    chmodSync(full, isOpen || isScript ? 0o755 : 0o644);
    lutimesSync(full, epoch, epoch);
  }
}
