/**
 * The .deb of a tree: its control files beside it, and dpkg-deb, which sorts the archive and takes
 * no time newer than the epoch. Everything belongs to root, whoever builds.
 *
 * Compression: xz at level 1. Level 6 makes it a sixth smaller and takes six times as long, and its
 * dictionary asks a gateway for eight times the memory while it unpacks.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { migrations } from '../../agent/buffer/database.ts';
import { configFile, controlFile, sizeKib, sumsFile } from './control.ts';
import { execute } from './execute.ts';
import { root } from './repository.ts';
import type { Parts } from './sbom.ts';
import { seal } from './tree.ts';

export const xzLevel = 1;
const scripts = 'deploy/debian';
/** Stands in preinst for the newest layout of the buffer that this version can read. */
const layoutMark = '@BUFFER_LAYOUT@';

/** As it stands in deploy/debian, with what this version knows filled in. */
export function maintainerScript(name: string): string {
  const text = readFileSync(join(root, scripts, name), 'utf8');
  return text.replaceAll(layoutMark, String(migrations.length));
}

/** @param file where it goes */
export async function buildDeb(tree: string, file: string, parts: Parts): Promise<void> {
  const { version, target, epoch } = parts;
  const overrides = join(tree, 'usr/share/lintian/overrides');
  mkdirSync(overrides, { recursive: true });
  cpSync(join(root, scripts, 'lintian-overrides'), join(overrides, 'tidegate'));
  const control = join(tree, 'DEBIAN');
  const files = new Map([
    ['control', controlFile(version, target, sizeKib(tree))],
    ['conffiles', `${configFile}\n`],
    ['md5sums', sumsFile(tree)],
    ...readdirSync(join(root, scripts))
      .filter((name) => /^(pre|post)(inst|rm)$/.test(name))
      .map((name) => [name, maintainerScript(name)] as const),
  ]);
  mkdirSync(control);
  for (const [name, text] of files) {
    writeFileSync(join(control, name), text);
  }
  seal(tree, epoch);
  const compression = ['-Zxz', `-z${xzLevel}`];
  await execute('dpkg-deb', ['--root-owner-group', ...compression, '--build', tree, file], {
    cwd: root,
    env: { SOURCE_DATE_EPOCH: String(epoch) },
    remedy: 'On Debian dpkg-deb is always there; elsewhere the package is named dpkg.',
  });
  rmSync(control, { recursive: true });
  rmSync(join(tree, 'usr/share/lintian'), { recursive: true });
}
