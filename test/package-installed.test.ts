/**
 * The package as it is used: built twice, with the same bytes both times, and run from where its
 * tarball was unpacked, with nothing of this machine but its C library: --version, check, every
 * module of the agent, and the demo, which starts the installed agent/main (main.ts, compiled) as
 * a child of its own. The build is for the architecture of this machine.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { BuiltPackages, build, filesBelow } from './support/package.ts';

const home = 'usr/lib/tidegate';
const arch = process.arch === 'arm64' ? 'arm64' : 'amd64';
const packages = new BuiltPackages(arch);
after(() => packages[Symbol.dispose]());
const unpacked = packages.unpack(arch);

const { version } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
) as { version: string };

/** The installed program, from a folder anywhere, without an environment. */
function installed(...args: string[]) {
  return spawnSync(join(unpacked, 'usr/bin/tidegate'), args, {
    cwd: packages.folder,
    env: {},
    encoding: 'utf8',
  });
}

test('a second build gives the same bytes, in another time zone and with another umask', () => {
  const before = process.umask(0o077);
  try {
    const out = join(packages.folder, 'again');
    const env = { TZ: 'Pacific/Auckland', LC_ALL: 'C', XZ_DEFAULTS: '-9', TAR_OPTIONS: '--sparse' };
    const again = build(['--arch', arch, '--out', out], env);
    const sums = (made: typeof packages.made) =>
      made.map(({ file, sha256 }) => [basename(file), sha256]);
    assert.deepEqual(sums(again), sums(packages.made));
  } finally {
    process.umask(before);
  }
});

test('the installed program says its version, and takes the config it comes with', () => {
  const said = installed('--version');
  assert.deepEqual([said.status, said.stdout], [0, `${version}\n`], said.stderr);
  const config = join(unpacked, 'etc/tidegate/tidegate.yaml');
  const checked = installed('check', config);
  assert.deepEqual([checked.status, checked.stderr], [0, '']);
  assert.equal(installed('check', '/nowhere.yaml').status, 78);
});

test('it starts through a link, and from the PATH', () => {
  const link = join(packages.folder, 'tidegate');
  symlinkSync(join(unpacked, 'usr/bin/tidegate'), link);
  const env = { PATH: `${packages.folder}:/usr/bin:/bin` };
  for (const command of [link, 'tidegate']) {
    const { stdout } = spawnSync(command, ['--version'], { env, encoding: 'utf8' });
    assert.equal(stdout, `${version}\n`);
  }
});

test('every module of the installed agent loads, with all that it imports', () => {
  const root = join(unpacked, home);
  const modules = filesBelow(join(root, 'agent')).filter((file) => {
    if (!file.endsWith('.js') || file === 'main.js') return false;
    return !/\b(parentPort|workerData)\b/.test(readFileSync(join(root, 'agent', file), 'utf8'));
  });
  assert.ok(modules.length > 30, `${modules.length} modules`);
  const load = modules.map((file) => `await import('./${file}');`).join('\n');
  const { status, stderr } = spawnSync(
    join(root, 'bin/node'),
    ['--input-type=module', '-e', `${load}\nprocess.exit(0);`],
    { cwd: join(root, 'agent'), env: {}, encoding: 'utf8' },
  );
  assert.equal(status, 0, stderr);
});

test('the demo runs from the installed tree, and its ledger holds', () => {
  const { status, stdout, stderr } = installed('demo', '--seconds', '10', '--json');
  assert.equal(status, 0, `${stdout}\n${stderr}`);
  const result = JSON.parse(stdout) as { holds: boolean; lost: number };
  assert.deepEqual([result.holds, result.lost], [true, 0]);
});
