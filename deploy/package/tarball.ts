/**
 * The tarball of a tree, for machines without dpkg: the same files below one folder, which runs
 * where it is unpacked or is copied over /. It has the Apache licence's text besides, which Debian
 * keeps elsewhere. Sorted, owned by root, of one time: same tree, same bytes.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { xzLevel } from './deb.ts';
import { execute } from './execute.ts';
import { root } from './repository.ts';
import { seal } from './tree.ts';

/** @param folder the name of the one folder in it */
export async function buildTarball(
  tree: string,
  file: string,
  folder: string,
  epoch: number,
): Promise<void> {
  copyFileSync(join(root, 'LICENSE'), join(tree, 'usr/share/doc/tidegate/LICENSE'));
  seal(tree, epoch);
  const steady = ['--sort=name', '--format=gnu', `--mtime=@${epoch}`, '--numeric-owner'];
  const owned = ['--owner=0', '--group=0'];
  // With a number of threads xz cuts its input into blocks, and so always at the same places.
  const compress = ['-I', `xz -T2 -${xzLevel}`];
  const named = ['--transform', `s,^\\.,${folder},`];
  await execute('tar', ['-cf', file, ...steady, ...owned, ...compress, ...named, '-C', tree, '.'], {
    cwd: root,
    remedy: 'GNU tar and xz are needed: apt-get install tar xz-utils.',
  });
}
