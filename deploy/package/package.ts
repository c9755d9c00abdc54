/**
 * `npm run package`: from this repository to what an installer takes along, for both architectures
 * on either machine. The steps, in order, with what each refuses in the file of its name:
 *
 *   options → dependencies (npm ci for the target) → tree (compile, prune, texts) → deb → tarball
 *
 * Progress goes to standard error, what was made to standard output. A build that is refused leaves
 * nothing in the output folder that was not there before.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { buildDeb } from './deb.ts';
import { debianVersion, type Options, readOptions, usage } from './options.ts';
import { Refusal } from './refusal.ts';
import { stage } from './stage.ts';
import { buildTarball } from './tarball.ts';
import type { Target } from './target.ts';
import { assertSources } from './tree.ts';

/** Of one file; megabytes as those who sell links and cards count them. */
const megabyte = 1_000_000;
const packageBytesMost = 60 * megabyte;

interface Made {
  readonly file: string;
  readonly arch: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** One target: both of its files, in `folder`. */
async function make(target: Target, folder: string, options: Options): Promise<string[]> {
  const { tree, parts } = await stage(target, folder, options.version, tell);
  const written = debianVersion(parts.version);
  const deb = join(folder, `tidegate_${written}_${target.debian}.deb`);
  const name = `tidegate-${written}-linux-${target.node}`;
  const tarball = join(folder, `${name}.tar.xz`);
  tell(`${target.debian}: the package`);
  await buildDeb(tree, deb, parts);
  tell(`${target.debian}: the tarball`);
  await buildTarball(tree, tarball, name, parts.epoch);
  rmSync(tree, { recursive: true });
  return [deb, tarball];
}

/** Puts a finished file in its place, if it is not too large. */
function deliver(file: string, out: string, arch: string): Made {
  const { size: bytes } = statSync(file);
  if (bytes > packageBytesMost) {
    const size = (bytes / megabyte).toFixed(1);
    const sizes = `${file} has ${size} MB, ${packageBytesMost / megabyte} are allowed`;
    throw new Refusal(sizes, 'deploy/package/prune.ts decides what goes along.');
  }
  const sha256 = createHash('sha256').update(readFileSync(file)).digest('hex');
  const to = join(out, file.slice(file.lastIndexOf('/') + 1));
  renameSync(file, to);
  return { file: to, arch, bytes, sha256 };
}

async function packageAll(options: Options): Promise<Made[]> {
  assertSources();
  const out = resolve(options.out);
  mkdirSync(out, { recursive: true });
  const folder = mkdtempSync(join(out, '.making-'));
  const clear = () => rmSync(folder, { recursive: true, force: true });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      clear();
      process.exit(1);
    });
  }
  try {
    const files: [string, string][] = [];
    for (const target of options.targets) {
      for (const file of await make(target, folder, options)) files.push([file, target.debian]);
    }
    return files.map(([file, arch]) => deliver(file, out, arch));
  } finally {
    clear();
  }
}

function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}

function show(made: readonly Made[]): string {
  return made
    .map(({ file, bytes, sha256 }) => `${sha256}  ${(bytes / megabyte).toFixed(1)} MB  ${file}\n`)
    .join('');
}

async function main(args: readonly string[]): Promise<number> {
  try {
    const options = readOptions(args);
    if (options === null) {
      process.stdout.write(usage);
      return 0;
    }
    const made = await packageAll(options);
    process.stdout.write(options.json ? `${JSON.stringify({ made }, null, 2)}\n` : show(made));
    return 0;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    process.stderr.write(`package: ${error.message}\n    ${error.remedy}\n`);
    return error.exit;
  }
}

process.exitCode = await main(process.argv.slice(2));
