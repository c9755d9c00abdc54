/**
 * The container image, built from the packages and run: it holds what the package holds, it keeps
 * what it acknowledged, it writes nowhere but into its state, and what the Kubernetes examples and
 * their README run in it does what they say. Its bases are stand-ins, see `support/image.ts`.
 */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse, stringify } from 'yaml';
import { readManifest } from '../../deploy/package/repository.ts';
import { targets } from '../../deploy/package/target.ts';
import { eventually } from '../support/agent.ts';
import { publish } from '../support/cli.ts';
import { readLines } from '../support/files.ts';
import { BuiltImage, RunningContainer, thisMachine } from '../support/image.ts';
import { readExample } from '../support/manifests.ts';
import { architectures, BuiltPackages, filesBelow } from '../support/package.ts';
import { freePorts } from '../support/ports.ts';

const { version } = readManifest();
const user = 65_532;
const node = 'usr/lib/tidegate/bin/node';
const command = 'usr/bin/tidegate';
const licence = 'usr/share/common-licenses/Apache-2.0';
const withinMs = 20_000;
const buildWithinMs = 900_000;
const eventsSent = 50;
const elfMachineAt = 18;
const ours = thisMachine;

let packages: BuiltPackages;
const images = new Map<string, BuiltImage>();

before(
  () => {
    assert.equal(process.getuid?.(), 0, 'it mounts: run it as root');
    packages = new BuiltPackages(...architectures);
    const binaries = filesBelow(packages.tree(ours.debian))
      .filter((path) => path === node || path.endsWith('.node'))
      .map((path) => join(packages.tree(ours.debian), path));
    const made = dirname(packages.deb(ours.debian));
    for (const target of targets) {
      images.set(target.debian, new BuiltImage(made, version, target, binaries));
    }
  },
  { timeout: buildWithinMs },
);
after(() => {
  for (const image of images.values()) image[Symbol.dispose]();
  packages[Symbol.dispose]();
});

function imageOf(arch: string): BuiltImage {
  const image = images.get(arch);
  assert.ok(image, arch);
  return image;
}

for (const { debian, elfMachine } of targets) {
  test(`the image for ${debian} holds the package, whole, and a command without a shell`, () => {
    const { root, config, folder } = imageOf(debian);
    const held = (tree: string) => filesBelow(tree).filter((path) => !path.startsWith('DEBIAN/'));
    const packed = held(packages.tree(debian));
    const ofBase = new Set(filesBelow(join(folder, 'base')));
    const inImage = filesBelow(root).filter((path) => !ofBase.has(path));
    assert.deepEqual(inImage, [...packed, licence].toSorted());
    for (const path of packed.filter((one) => one !== command)) {
      const [as, is] = [packages.tree(debian), root].map((tree) => readFileSync(join(tree, path)));
      assert.ok(as && is?.equals(as), path);
    }
    const canRun = inImage.filter((path) => (statSync(join(root, path)).mode & 0o111) !== 0);
    assert.deepEqual(canRun, [command, node]);
    assert.equal(readFileSync(join(root, node)).readUInt16LE(elfMachineAt), elfMachine);
    const { uid, gid, mode } = statSync(join(root, 'var/lib/tidegate'));
    assert.deepEqual([uid, gid, mode & 0o777], [user, user, 0o700]);
    assert.equal(config.Labels['org.opencontainers.image.version'], version);
    assert.deepEqual(Object.keys(config.ExposedPorts), ['1883/tcp', '8080/tcp']);
    assert.deepEqual(Object.keys(config.Volumes), ['/var/lib/tidegate']);
  });
}

/** A folder as a volume is, and one with the package's config on ports of its own. */
async function folders(image: BuiltImage, name: string) {
  const [mqtt = 0, http = 0] = await freePorts(2);
  const [state, config] = ['state', 'config'].map((kind) => join(image.folder, `${name}-${kind}`));
  assert.ok(state && config);
  for (const folder of [state, config]) mkdirSync(folder);
  chownSync(state, user, user);
  const packaged = readFileSync(join(image.root, 'etc/tidegate/tidegate.yaml'), 'utf8');
  const text = packaged.replace('1:1883 ', `1:${mqtt} `).replace('1:8080 ', `1:${http} `);
  const { mqtt: bound, http: port } = parse(text);
  assert.deepEqual(
    [bound.listeners[0].bind, port.bind],
    [`127.0.0.1:${mqtt}`, `127.0.0.1:${http}`],
  );
  writeFileSync(join(config, 'tidegate.yaml'), stringify(parse(text)));
  return { mqtt, http, state, config };
}

const isReady = (container: RunningContainer) =>
  eventually('agentReady', withinMs, () => container.log.includes('"event":"agentReady"'));

test('it keeps what it acknowledged, and writes nowhere but into its state', async () => {
  const image = imageOf(ours.debian);
  const { mqtt, http, state, config } = await folders(image, 'kept');
  const [nobody = 0] = await freePorts(1);
  const values = () => readLines(join(state, 'out')).map(({ value }) => String(value));
  const send = async (from: number) => {
    const sent = Array.from({ length: eventsSent }, (_, index) => `${from + index}`);
    await publish(
      mqtt,
      'pump-7',
      sent.map((text) => ['plant/line-1', text] as const),
    );
    await eventually('all arrive', withinMs, () => sent.every((text) => values().includes(text)));
  };
  {
    await using container = new RunningContainer(image, state, config);
    await isReady(container);
    await send(0);
    const status = container.run('tidegate', 'status', '--config', '/etc/tidegate/tidegate.yaml');
    assert.equal(status.status, 0, status.stderr);
    assert.match(status.stdout, /state +ready/);
    const [, ...probe] = image.config.Healthcheck.Test;
    const at = (port: number, words: string[]) =>
      words.map((word) => word.replace('8080', `${port}`));
    assert.equal(container.run(...at(http, probe)).status, 0);
    assert.equal(container.run(...at(nobody, probe)).status, 1);
    const { readinessProbe } = readExample('sidecar.yaml').agent;
    assert.equal(container.run(...at(http, readinessProbe?.exec?.command ?? [])).status, 0);
    for (const place of ['/etc/tidegate/x', '/usr/lib/tidegate/x', '/tmp/x', '/x']) {
      const tried = container.run(`/${node}`, '-e', `fs.writeFileSync('${place}', '')`);
      assert.match(tried.stderr, /EROFS/, place);
    }
    assert.equal(await container.stop(), 0, container.log);
  }
  await using again = new RunningContainer(image, state, config);
  await isReady(again);
  await send(eventsSent);
  assert.equal(new Set(values()).size, 2 * eventsSent);
});

test('a changed config is taken as the README says, with no shell and no restart', async () => {
  const image = imageOf(ours.debian);
  const { state, config } = await folders(image, 'reload');
  await using container = new RunningContainer(image, state, config);
  await isReady(container);
  const readme = readFileSync(
    new URL('../../deploy/kubernetes/README.md', import.meta.url),
    'utf8',
  );
  const script = /kubectl .* exec .* -- (\S+) -e "([^"]+)"/.exec(readme);
  assert.ok(script);
  assert.equal(container.run(script[1] ?? '', '-e', script[2] ?? '').status, 0);
  const said = () => container.log.includes('"event":"configReloaded"');
  await eventually('configReloaded', withinMs, said);
});

test('the DaemonSet’s first container gives the folder away with CAP_CHOWN, and takes none', () => {
  const image = imageOf(ours.debian);
  const first = readExample('daemonset.yaml').pod.initContainers?.[0];
  assert.deepEqual(first?.securityContext?.capabilities?.add, ['CHOWN']);
  const state = join(image.folder, 'made-by-kubelet');
  const look = () => {
    const { uid, gid, mode } = statSync(state);
    return [uid, gid, mode & 0o777];
  };
  mkdirSync(state);
  for (const _ of ['first', 'again']) {
    const { status, stderr } = image.asRoot(state, 'chown', first.command ?? []);
    assert.equal(status, 0, stderr);
    assert.deepEqual(look(), [user, user, 0o700]);
  }
  rmSync(state, { recursive: true });
  mkdirSync(state, { mode: 0o755 });
  chownSync(state, 1_234, 1_234);
  const { status, stderr } = image.asRoot(state, 'chown', first.command ?? []);
  assert.equal(status, 1);
  assert.match(stderr, /EPERM/);
  assert.deepEqual(look(), [1_234, 1_234, 0o755]);
});
