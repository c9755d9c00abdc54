/**
 * From agent/ to what runs on a gateway: one .js for each .ts, with the files that the code reads
 * at run time beside them (the buffer's layouts, the core).
 *
 * TypeScript's own compiler does it, since it alone rewrites the `.ts` of imports, also of dynamic
 * ones (esbuild's transform leaves specifiers alone). It does not check types here: that is
 * `npm run check`, and a package must not depend on how long that takes. Comments are dropped: V8
 * keeps the source of what it runs. File by file and not one bundle, because what a config does not
 * use is not loaded, threads are files of their own, and a stack trace names the file it means.
 */
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execute } from './execute.ts';
import { Refusal } from './refusal.ts';
import { root } from './repository.ts';

const core = 'wasm-core/build/core.wasm';

/** Leaves `agent/**` and the core below `outDir`, as they lie in the repository. */
export async function compile(outDir: string): Promise<void> {
  const config = join(import.meta.dirname, 'tsconfig.json');
  await execute(process.execPath, [compiler(), '-p', config, '--outDir', outDir], {
    cwd: root,
    remedy: 'npm run types says what the compiler means; npm ci brings the compiler.',
  });
  if (!existsSync(join(root, core))) {
    throw new Refusal(`there is no ${core}`, 'npm run core builds it (npm run package does).');
  }
  const beside = globSync('agent/**/*', { cwd: root, withFileTypes: true })
    .filter((entry) => entry.isFile() && !/\.(ts|md)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
  for (const path of [...beside, core]) copyInto(outDir, path);
  dropShebang(join(outDir, 'agent', 'main.js'));
}

function compiler(): string {
  const folder = dirname(fileURLToPath(import.meta.resolve('typescript/package.json')));
  return join(folder, 'bin', 'tsc');
}

function copyInto(outDir: string, path: string): void {
  mkdirSync(dirname(join(outDir, path)), { recursive: true });
  copyFileSync(join(root, path), join(outDir, path));
}

/** It would start whatever `node` the PATH has; /usr/bin/tidegate starts the one that is ours. */
function dropShebang(main: string): void {
  writeFileSync(main, readFileSync(main, 'utf8').replace(/^#!.*\n/, ''));
}
