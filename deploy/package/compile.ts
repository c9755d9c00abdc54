/**
 * From agent/ to what runs on a gateway: what bundle.ts makes, the core, and no more. It does not
 * check types: that is `npm run check`, and a package must not depend on how long that takes.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bundle } from './bundle.ts';
import { Refusal } from './refusal.ts';
import { root } from './repository.ts';

const core = 'wasm-core/build/core.wasm';

/** Leaves `agent/**` and the core below `outDir`. */
export async function compile(outDir: string): Promise<void> {
  if (!existsSync(join(root, core))) {
    throw new Refusal(`there is no ${core}`, 'npm run core builds it (npm run package does).');
  }
  await bundle(outDir);
  dropShebang(join(outDir, 'agent', 'main.js'));
}

/** It would start whatever `node` the PATH has; /usr/bin/tidegate starts the one that is ours. */
function dropShebang(main: string): void {
  writeFileSync(main, readFileSync(main, 'utf8').replace(/^#!.*\n/, ''));
}
