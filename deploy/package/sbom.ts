/**
 * What the package is made of, for scanners: a CycloneDX 1.5 document with us, the runtime (and
 * the libraries inside of it that most advisories are about) and every dependency that is shipped.
 *
 * Written here and not by `npm sbom`, which lists what npm laid down (compilers' peers, types) and
 * not what the package holds, gives each run another serial number, and does not know the runtime.
 * The serial number is made of the contents, the time is the commit's: same commit, same bytes.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Dependency } from './dependencies.ts';
import { licenceOf } from './licences.ts';
import { Refusal } from './refusal.ts';
import type { Manifest } from './repository.ts';
import type { Target } from './target.ts';

interface Lock {
  readonly packages: Readonly<Record<string, { readonly integrity?: string }>>;
}

interface Component {
  readonly type: 'application' | 'library' | 'platform';
  readonly 'bom-ref': string;
  readonly name: string;
  readonly version: string;
  readonly purl: string;
  readonly [key: string]: unknown;
}

/** Inside of the runtime: where its headers say which version. */
const within: readonly (readonly [name: string, header: string, version: RegExp])[] = [
  [
    'openssl',
    'openssl/archs/linux-x86_64/asm/include/openssl/opensslv.h',
    /OPENSSL_VERSION_STR "([^"]+)"/,
  ],
  ['zlib', 'zlib.h', /ZLIB_VERSION "([^"]+)"/],
  ['libuv', 'uv/version.h', /UV_VERSION_MAJOR (\d+)[\s\S]*?MINOR (\d+)[\s\S]*?PATCH (\d+)/],
  ['v8', 'v8-version.h', /V8_MAJOR_VERSION (\d+)[\s\S]*?MINOR\w+ (\d+)[\s\S]*?BUILD\w+ (\d+)/],
];
const nodeVersion =
  /NODE_MAJOR_VERSION (\d+)[\s\S]*?NODE_MINOR\w+ (\d+)[\s\S]*?NODE_PATCH\w+ (\d+)/;
const sqliteHeader = 'deps/sqlite3/sqlite3.h';
const sqliteVersion = /SQLITE_VERSION +"([^"]+)"/;

export interface Parts {
  readonly manifest: Manifest;
  readonly version: string;
  readonly target: Target;
  readonly epoch: number;
  readonly staged: string;
  readonly runtime: string;
  readonly dependencies: readonly Dependency[];
}

export function billOfMaterials(parts: Parts): string {
  const { manifest, version, target, epoch, dependencies, staged } = parts;
  const lock = JSON.parse(readFileSync(join(staged, 'package-lock.json'), 'utf8')) as Lock;
  const purl = `pkg:generic/${manifest.name}@${version}?arch=${target.debian}`;
  const self: Component = {
    type: 'application',
    'bom-ref': purl,
    name: manifest.name,
    version,
    purl,
    licenses: [{ license: { id: manifest.license } }],
  };
  const runtime = runtimeOf(parts);
  const byPath = new Map(dependencies.map((one) => [one.path, componentOf(one, lock, staged)]));
  const components = [runtime, ...byPath.values()];
  const refs = (paths: readonly string[]) =>
    paths.flatMap((path) => byPath.get(path)?.['bom-ref'] ?? []);
  const direct = Object.keys(manifest.dependencies).map((name) => `node_modules/${name}`);
  const graph = [
    { ref: self['bom-ref'], dependsOn: [runtime['bom-ref'], ...refs(direct)] },
    ...dependencies.map(({ path, needs }) => ({ ref: refs([path])[0], dependsOn: refs(needs) })),
  ];
  const contents = { components, dependencies: graph };
  return `${JSON.stringify({ ...headOf(self, epoch, contents), ...contents }, null, 1)}\n`;
}

function headOf(component: Component, epoch: number, contents: unknown) {
  const digest = createHash('sha256')
    .update(JSON.stringify([component, contents]))
    .digest('hex');
  const [a, b, c, d] = [8, 12, 15, 18].map((end, at) => digest.slice([0, 8, 12, 15][at], end));
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    // A UUID of version 8: its bits are ours to choose.
    serialNumber: `urn:uuid:${a}-${b}-8${c}-a${d}-${digest.slice(18, 30)}`,
    version: 1,
    metadata: { timestamp: new Date(epoch * 1000).toISOString(), component },
  };
}

function componentOf(dependency: Dependency, lock: Lock, staged: string): Component {
  const { path, manifest } = dependency;
  const integrity = lock.packages[path]?.integrity;
  const [algorithm, hash = ''] = integrity?.split('-') ?? [];
  if (algorithm !== 'sha512') throw new Refusal(`${path} has no sha512 in the lockfile`, 'npm i');
  const content = Buffer.from(hash, 'base64').toString('hex');
  const isTwice = path.lastIndexOf('node_modules/') > 0;
  const purl = `pkg:npm/${manifest.name.replace('@', '%40')}@${manifest.version}`;
  return {
    type: 'library',
    'bom-ref': isTwice ? `${purl}#${path}` : purl,
    name: manifest.name,
    version: manifest.version,
    purl,
    licenses: [{ license: { id: licenceOf(dependency) } }],
    hashes: [{ alg: 'SHA-512', content }],
    properties: [{ name: 'tidegate:path', value: path }],
    ...(manifest.name === 'better-sqlite3' ? { components: [sqliteIn(join(staged, path))] } : {}),
  };
}

/** Node, with the npm package that it came from. */
function runtimeOf({ runtime, target }: Parts): Component {
  const headers = join(runtime, 'include', 'node');
  const version = versionIn(join(headers, 'node_version.h'), nodeVersion);
  const inside = within.map(([name, header, pattern]) =>
    generic(name, versionIn(join(headers, header), pattern)),
  );
  return {
    type: 'platform',
    'bom-ref': `pkg:generic/node@${version}`,
    name: 'node',
    version,
    purl: `pkg:generic/node@${version}`,
    cpe: `cpe:2.3:a:nodejs:node.js:${version}:*:*:*:*:*:*:*`,
    licenses: [{ license: { id: 'MIT' } }],
    properties: [{ name: 'tidegate:from', value: `pkg:npm/node-linux-${target.node}@${version}` }],
    components: inside,
  };
}

/** The database itself, which the binding has inside. */
function sqliteIn(binding: string): Component {
  return generic('sqlite', versionIn(join(binding, sqliteHeader), sqliteVersion));
}

function generic(name: string, version: string): Component {
  const purl = `pkg:generic/${name}@${version}`;
  return { type: 'library', 'bom-ref': purl, name, version, purl };
}

function versionIn(file: string, pattern: RegExp): string {
  const found = existsSync(file) ? pattern.exec(readFileSync(file, 'utf8')) : null;
  if (found) return found.slice(1).join('.');
  throw new Refusal(`${file} does not say its version`, 'Mend its pattern in sbom.ts.');
}
