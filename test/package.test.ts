/**
 * `npm run package`, by what it makes: both packages and both tarballs, with what is in them and
 * what must not be: sizes, lintian, architectures, owners, what they depend on, the man page.
 * (What installs agent/main.ts as a program is run in package-installed.test.ts.)
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { elfMachine } from '../deploy/package/elf.ts';
import { architectures, BuiltPackages, filesBelow, nodeNames } from './support/package.ts';

const bytesMost = 60_000_000;
const elfMachines = { amd64: 62, arm64: 183 } as const;
const home = 'usr/lib/tidegate';
const packages = new BuiltPackages(...architectures);
after(() => packages[Symbol.dispose]());

function ofRepository<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../${name}`, import.meta.url), 'utf8')) as T;
}

type Manifest = { version: string; dependencies: Record<string, string> };
type Lock = { packages: Record<string, { version: string; dev?: true } | undefined> };
const manifest = ofRepository<Manifest>('package.json');
const lock = ofRepository<Lock>('package-lock.json');
const { version } = manifest;

function control(arch: 'amd64' | 'arm64', field: string): string {
  return execFileSync('dpkg-deb', ['-f', packages.deb(arch), field], { encoding: 'utf8' }).trim();
}

test('there is a package and a tarball for each architecture, each of at most 60 MB', () => {
  assert.deepEqual(packages.made.map(({ file }) => basename(file)).toSorted(), [
    `tidegate-${version}-linux-arm64.tar.xz`,
    `tidegate-${version}-linux-x64.tar.xz`,
    `tidegate_${version}_amd64.deb`,
    `tidegate_${version}_arm64.deb`,
  ]);
  for (const { file, bytes } of packages.made) {
    assert.equal(statSync(file).size, bytes);
    assert.ok(bytes <= bytesMost, `${file} has ${bytes} bytes`);
  }
});

test('lintian finds no error, and no override that nothing needs', () => {
  const files = architectures.map((arch) => packages.deb(arch));
  const { status, stdout } = spawnSync('lintian', ['--fail-on', 'error', ...files], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout);
  assert.doesNotMatch(stdout, /^[EW]:|unused-override|mismatched-override/m);
});

test('every binary is for the architecture of its package', () => {
  for (const arch of architectures) {
    const tree = packages.tree(arch);
    const machines = new Map(
      filesBelow(tree)
        .map((file) => [file, elfMachine(join(tree, file))] as const)
        .filter(([, machine]) => machine !== null),
    );
    assert.deepEqual([...new Set(machines.values())], [elfMachines[arch]]);
    const names = [...machines.keys()].join('\n');
    assert.match(names, /usr\/lib\/tidegate\/bin\/node\n/);
    const node = nodeNames[arch];
    assert.match(names, new RegExp(`better-sqlite3/prebuilds/linux-${node}\\.node`));
    assert.match(names, new RegExp(`koffi-linux-${node}/linux_${node}/koffi\\.node`));
    assert.doesNotMatch(names, /musl/);
  }
});

test('both packages hold the same files but for the names of architectures', () => {
  const [amd64, arm64] = architectures.map((arch) =>
    filesBelow(packages.tree(arch)).map((file) => file.replaceAll(nodeNames[arch], 'ARCH')),
  );
  assert.deepEqual(amd64?.toSorted(), arm64?.toSorted());
});

test('nothing is in it that is for those who work on it, and nothing that cannot run', () => {
  for (const arch of architectures) {
    const files = filesBelow(join(packages.tree(arch), home));
    const aside = files.filter((file) =>
      /\.(d?\.?[cm]?ts|map|md|markdown|c|cc|cpp|h|gyp|yml|html)$|\/(test|docs?)\/[^/]*$/.test(file),
    );
    const notLicences = aside.filter((file) => !/licen[cs]e[^/]*$/i.test(file));
    // yaml's parser of documents lives in a folder of that name.
    assert.deepEqual(
      notLicences.filter((file) => !/yaml\/dist\/doc\//.test(file)),
      [],
    );
    const names = new Set(files.map((file) => /node_modules\/((@[^/]+\/)?[^/]+)/.exec(file)?.[1]));
    for (const name of ['typescript', '@biomejs/biome', 'assemblyscript', 'fast-check']) {
      assert.ok(!names.has(name), `${name} is in it`);
    }
    assert.deepEqual(
      [...names].filter((name) => /^@types\/|^node-linux-/.test(name ?? '')),
      [],
    );
  }
});

test('dpkg is told what it has to know: architecture, size, config file, owners, sums', () => {
  for (const arch of architectures) {
    const tree = packages.tree(arch);
    assert.equal(control(arch, 'Architecture'), arch);
    assert.equal(control(arch, 'Version'), version);
    assert.ok(Number(control(arch, 'Installed-Size')) > 100_000);
    const conffiles = readFileSync(join(tree, 'DEBIAN/conffiles'), 'utf8');
    assert.equal(conffiles, '/etc/tidegate/tidegate.yaml\n');
    const listed = execFileSync('dpkg-deb', ['-c', packages.deb(arch)], { encoding: 'utf8' });
    for (const line of listed.trim().split('\n')) {
      assert.match(line, /^(drwxr-xr-x|-rw-r--r--|-rwxr-xr-x) root\/root /);
    }
    execFileSync('md5sum', ['--quiet', '-c', 'DEBIAN/md5sums'], { cwd: tree });
  }
});

/** The newest version of a symbol's family that a binary asks of the system. */
function newest(file: string, family: string): string {
  const symbols = execFileSync('objdump', ['-T', file], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  const versions = [...symbols.matchAll(new RegExp(`\\(?${family}_([\\d.]+)\\)?`, 'g'))];
  const order = new Intl.Collator('en', { numeric: true }).compare;
  return (
    versions
      .map(([, found = '0']) => found)
      .toSorted(order)
      .at(-1) ?? '0'
  );
}

test('the libraries it depends on are as new as its binaries ask for', () => {
  /** What GCC's versions brought. */
  const gcc: Readonly<Record<string, string>> = { '3.4.29': '11' };
  for (const arch of architectures) {
    const tree = packages.tree(arch);
    const binaries = filesBelow(tree).filter((file) => /\.node$|\/bin\/node$/.test(file));
    const order = new Intl.Collator('en', { numeric: true }).compare;
    const most = (family: string) =>
      binaries
        .map((file) => newest(join(tree, file), family))
        .toSorted(order)
        .at(-1) ?? '0';
    const depends = control(arch, 'Depends');
    assert.match(depends, new RegExp(`libc6 \\(>= ${most('GLIBC')}\\)`));
    assert.match(depends, new RegExp(`libstdc\\+\\+6 \\(>= ${gcc[most('GLIBCXX')]}\\)`));
  }
});

test('the man page is clean by mandoc, and has every command', () => {
  const page = join(packages.tree('amd64'), 'usr/share/man/man1/tidegate.1.gz');
  const { status, stdout } = spawnSync('mandoc', ['-T', 'lint', '-W', 'style', page], {
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout);
  const source = gunzipSync(readFileSync(page)).toString();
  for (const command of ['run', 'check', 'buffer stat', 'dead replay', 'fleet push']) {
    assert.match(source, new RegExp(`^\\.SS tidegate ${command}$`, 'm'));
  }
});

interface Bill {
  readonly serialNumber: string;
  readonly metadata: { readonly timestamp: string };
  readonly components: readonly {
    readonly name: string;
    readonly version: string;
    readonly purl: string;
    readonly properties?: readonly { readonly name: string; readonly value: string }[];
  }[];
}

/** Where what the bill lists lies when npm installs it. */
function listed({ components }: Bill): string[] {
  return components.flatMap(({ properties }) =>
    (properties ?? []).filter(({ name }) => name === 'tidegate:path').map(({ value }) => value),
  );
}

/** Folders below node_modules with a manifest of a name: what is shipped. */
function shipped(tree: string): string[] {
  return filesBelow(join(tree, home))
    .filter((file) => /node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(file))
    .map((file) => file.slice(0, -'/package.json'.length));
}

test('the SBOM lists the runtime and every package that is shipped, and nothing else', () => {
  for (const arch of architectures) {
    const tree = packages.tree(arch);
    const file = join(tree, 'usr/share/doc/tidegate/sbom.cdx.json');
    const bill = JSON.parse(readFileSync(file, 'utf8')) as Bill;
    const paths = listed(bill);
    const direct = Object.keys(manifest.dependencies).map((name) => `node_modules/${name}`);
    const missing = [...shipped(tree), ...direct].filter((path) => !paths.includes(path));
    assert.deepEqual(missing, [], 'shipped as it is, or part of the bundle');
    const needless = paths.filter((path) => lock.packages[path]?.dev !== undefined);
    assert.deepEqual(needless, [], 'only for those who work on it');
    const runtime = bill.components.find(({ name }) => name === 'node');
    assert.match(runtime?.version ?? '', /^24\./);
    const mqtt = lock.packages['node_modules/mqtt']?.version;
    assert.ok(bill.components.some(({ purl }) => purl === `pkg:npm/mqtt@${mqtt}`));
    assert.match(bill.serialNumber, /^urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  }
});

test('the licence of every package that is shipped is there, with an owner and a text', () => {
  for (const arch of architectures) {
    const tree = packages.tree(arch);
    const copyright = readFileSync(join(tree, 'usr/share/doc/tidegate/copyright'), 'utf8');
    const stanzas = copyright.split(/\n\n(?=Files: )/).slice(1);
    const files = stanzas.map((stanza) => /^Files: (\S+)$/m.exec(stanza)?.[1]);
    const file = join(tree, 'usr/share/doc/tidegate/sbom.cdx.json');
    const paths = listed(JSON.parse(readFileSync(file, 'utf8')) as Bill);
    const wanted = paths.map((path) => `${home}/${path}/*`);
    assert.deepEqual(files.toSorted(), ['*', `${home}/bin/node`, ...wanted].toSorted());
    for (const stanza of stanzas) {
      assert.match(stanza, /^Copyright: \S.{5,}$/m);
      assert.match(stanza, /^License: \S+( and others)?\n \S[\s\S]{100,}/m);
    }
  }
});

test("dpkg's changelog begins with this version", () => {
  const file = join(packages.tree('amd64'), 'usr/share/doc/tidegate/changelog.gz');
  const parsed = execFileSync('dpkg-parsechangelog', ['-l', file, '-S', 'Version'], {
    encoding: 'utf8',
  });
  assert.equal(parsed.trim(), version);
});
