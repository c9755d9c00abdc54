/**
 * The packages that a guest installs, made by the project's own packager from this tree:
 *
 *   first    what is shipped, as it is
 *   next     a later version, with another packaged config
 *   narrow   an earlier version, which knows only an older layout of the buffer
 *
 * `next` and `narrow` are `first` taken apart and put together again with what the scenario needs
 * changed: building all three would take the suite another minute and make the same files.
 */
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtFor } from './package.ts';
import { runTool } from './run-tool.ts';

export type Packages = Readonly<Record<'first' | 'next' | 'narrow', string>>;

const repackWithinMs = 120_000;
const laterVersion = '99.0.0';
const earlierVersion = '0.0.1';
const packagedChange = '\n# A later version says more about its config here.\n';
/** In preinst: the newest layout that this version can read. */
const layoutPattern = /^(known=)(\d+)$/m;

/**
 * @param given a package that is there already; else one is built
 * @throws Error with what the packager said
 */
export function makePackages(folder: string, given: string | null): Packages {
  mkdirSync(folder, { recursive: true });
  const first = join(folder, 'first.deb');
  cpSync(given ?? built(folder), first);
  const next = repacked(first, folder, 'next', (tree) => {
    setVersion(tree, laterVersion);
    appendFileSync(join(tree, 'etc/tidegate/tidegate.yaml'), packagedChange);
  });
  const narrow = repacked(first, folder, 'narrow', (tree) => {
    setVersion(tree, earlierVersion);
    change(join(tree, 'DEBIAN/preinst'), (text) => {
      return text.replace(layoutPattern, (_, name: string, layout: string) => {
        return `${name}${Number(layout) - 1}`;
      });
    });
  });
  return { first, next, narrow };
}

function built(folder: string): string {
  const deb = builtFor(['amd64'], folder).find(({ file }) => file.endsWith('.deb'));
  if (deb === undefined) throw new Error('the packager made no .deb');
  return deb.file;
}

function repacked(deb: string, folder: string, name: string, edit: (tree: string) => void): string {
  const [tree, to] = [join(folder, name), join(folder, `${name}.deb`)];
  runTool('dpkg-deb', ['--raw-extract', deb, tree], repackWithinMs);
  edit(tree);
  // Packed by nothing: that would be undone on a slow machine.
  const build = ['--root-owner-group', '-Znone', '--build', tree, to];
  runTool('dpkg-deb', build, repackWithinMs);
  rmSync(tree, { recursive: true });
  return to;
}

function setVersion(tree: string, version: string): void {
  change(join(tree, 'DEBIAN/control'), (text) => {
    return text.replace(/^Version: .*$/m, `Version: ${version}`);
  });
  change(join(tree, 'usr/lib/tidegate/package.json'), (text) => {
    return text.replace(/"version": *"[^"]*"/, `"version": "${version}"`);
  });
}

/** @throws Error when that changes nothing */
function change(path: string, by: (text: string) => string): void {
  const text = readFileSync(path, 'utf8');
  const changed = by(text);
  if (changed === text) throw new Error(`${path} has nothing to change as the scenario needs it`);
  writeFileSync(path, changed);
}
