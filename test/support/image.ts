/**
 * The image of deploy/Containerfile, built by Buildah with no daemon or registry, and a container
 * of it as an engine would start it: its own root directory, read-only but for the state, its own
 * processes, the image's user, words and environment, no way to more privileges. The network is
 * this machine's.
 *
 * Both bases are stand-ins from this machine: for Debian a shell and what unpacks a package; for
 * distroless the libraries that our binaries ask for, and a nonroot user. So the real bases are not
 * seen; that what we add needs no more than a C and a C++ library is. It mounts: it has to be root.
 */
import {
  type ChildProcess,
  execFileSync,
  type SpawnSyncReturns,
  spawn,
  spawnSync,
} from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Target, targets } from '../../deploy/package/target.ts';
import { containerfilePath } from './containerfile.ts';

export interface ImageConfig {
  readonly User: string;
  readonly Env: string[];
  readonly Entrypoint: string[];
  readonly Cmd: string[];
  readonly WorkingDir: string;
  readonly StopSignal: string;
  readonly Healthcheck: { readonly Test: string[] };
  readonly Volumes: Readonly<Record<string, object>>;
  readonly ExposedPorts: Readonly<Record<string, object>>;
  readonly Labels: Readonly<Record<string, string>>;
}

export const thisMachine = targets.find(({ node }) => node === process.arch) as Target;
const licence = '/usr/share/common-licenses/Apache-2.0';
const unpackers = ['/bin/sh', '/usr/bin/dpkg-deb', '/usr/bin/tar', '/usr/bin/install'];
const nonroot = 'nonroot:x:65532:65532:nonroot:/nonexistent:/sbin/nologin\n';
/** Root, state, config, identity, then the words. */
const enter = `set -e
mount --bind "$1" "$1"
mount --bind "$2" "$1/var/lib/tidegate"
mount --bind "$3" "$1/etc/tidegate" && mount -o remount,ro,bind "$1/etc/tidegate"
mount -t proc proc "$1/proc"
mount -o remount,ro,bind "$1"
root=$1 wd=$4 user=$5
shift 5
exec setpriv --no-new-privs unshare --root="$root" --wd="$wd" \\
  --setgid "\${user#*:}" --setuid "\${user%:*}" -- "$@"`;
/** The same with a root that has one capability left, beside the one that chroot takes. */
const enterAsRoot = `mount --bind "$2" "$1/var/lib/tidegate" && root=$1 capability=$3 && shift 3
exec setpriv --no-new-privs --inh-caps=-all --bounding-set=-all,+sys_chroot,+"$capability" \\
  chroot "$root" "$@"`;

/** Paths of the libraries, and of what loads them, that a binary of this machine asks for. */
function librariesOf(binary: string): string[] {
  const listed = execFileSync('ldd', [binary], { encoding: 'utf8' });
  return [...listed.matchAll(/(?:=> |^\s+)(\/\S+) \(0x/gm)].map(([, path = '']) => path);
}

function layOut(folder: string, paths: readonly string[]): void {
  for (const path of paths) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    copyFileSync(path, join(folder, path));
  }
  mkdirSync(join(folder, 'tmp'), { recursive: true });
  mkdirSync(join(folder, 'etc'), { recursive: true });
}

export class BuiltImage implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-image-'));
  readonly config: ImageConfig;
  /** Of a container that does not run, with nothing mounted in it. */
  readonly root: string;

  /** @param binaries of this machine's architecture, which the base has to have libraries for */
  constructor(packages: string, version: string, target: Target, binaries: readonly string[]) {
    try {
      const image = this.#build(packages, version, target, binaries);
      const told = JSON.parse(this.#buildah('inspect', '--type', 'image', image));
      this.config = (told as { Docker: { config: ImageConfig } }).Docker.config;
      const platform = ['--platform', `linux/${target.debian}`];
      this.root = this.#buildah('mount', this.#buildah('from', '-q', ...platform, image));
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
    mkdirSync(join(this.root, 'proc'), { recursive: true });
  }

  /** What an engine would run with nothing said. */
  get words(): string[] {
    return [...this.config.Entrypoint, ...this.config.Cmd];
  }

  get environment(): Record<string, string> {
    const pairs = this.config.Env.map((one) => one.split('=') as [string, string]);
    return Object.fromEntries(pairs);
  }

  /** Words of a container that may only read, as root with one capability. */
  asRoot(state: string, capability: string, words: readonly string[]): SpawnSyncReturns<string> {
    const args = ['-c', enterAsRoot, 'sh', this.root, state, capability, ...words];
    return spawnSync('unshare', ['--mount', 'sh', ...args], { encoding: 'utf8' });
  }

  [Symbol.dispose](): void {
    this.#buildah('rm', '--all');
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** @returns its name */
  #build(packages: string, version: string, target: Target, binaries: readonly string[]): string {
    const [unpacker, base] = [join(this.folder, 'unpacker'), join(this.folder, 'base')];
    layOut(unpacker, [...unpackers, ...unpackers.flatMap(librariesOf), licence]);
    layOut(base, [...new Set(binaries.flatMap(librariesOf))]);
    writeFileSync(join(base, 'etc/passwd'), nonroot);
    const platform = ['--platform', `linux/${target.debian}`];
    this.#standIn(unpacker, 'unpacker');
    this.#standIn(base, 'base', ...platform);
    const values = [
      ...['UNPACKER=localhost/unpacker', 'BASE=localhost/base', `VERSION=${version}`],
      ...[`TARGETARCH=${target.debian}`, `BUILDPLATFORM=linux/${thisMachine.debian}`],
    ].flatMap((value) => ['--build-arg', value]);
    const as = [...platform, '--format', 'docker', '--pull=never'];
    // Buildah 1.28 (Debian 12) has no BUILDPLATFORM, and takes a stage's platform for all after it.
    const from = `FROM --platform=linux/${target.debian} \${BASE}`;
    const text = readFileSync(containerfilePath, 'utf8').replace(/^FROM \$\{BASE\}$/m, () => from);
    const file = join(this.folder, 'Containerfile');
    writeFileSync(file, text);
    this.#buildah('bud', '-q', ...as, ...values, '-f', file, '-t', 'ours', packages);
    return 'localhost/ours';
  }

  #standIn(folder: string, name: string, ...options: readonly string[]): void {
    const file = `${folder}.Containerfile`;
    writeFileSync(file, 'FROM scratch\nCOPY . /\n');
    this.#buildah('bud', '-q', ...options, '-f', file, '-t', `localhost/${name}`, folder);
  }

  #buildah(command: string, ...args: readonly string[]): string {
    const store = ['--root', join(this.folder, 'store'), '--runroot', join(this.folder, 'run')];
    const isolation = command === 'bud' ? ['--isolation', 'chroot'] : [];
    const all = [...store, '--storage-driver', 'vfs', command, ...isolation, ...args];
    const { status, stdout, stderr } = spawnSync('buildah', all, { encoding: 'utf8' });
    if (status !== 0) throw new Error(`buildah ${command} ended with ${status}: ${stderr}`);
    return stdout.trim();
  }
}

export class RunningContainer implements AsyncDisposable {
  readonly #image: BuiltImage;
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown[]>;
  #log = '';
  /** The first process: a change of user takes the tie to its parent. The others go with it. */
  readonly #kill = (): void => {
    const { exitCode, signalCode } = this.#child;
    if (exitCode === null && signalCode === null) process.kill(this.#pid(), 'SIGKILL');
  };

  /** @param state belongs to the image's user; @param config is the folder below /etc */
  constructor(image: BuiltImage, state: string, config: string) {
    this.#image = image;
    const { WorkingDir, User } = image.config;
    const args = ['-c', enter, 'sh', image.root, state, config, WorkingDir, User, ...image.words];
    const apart = ['--mount', '--pid', '--fork', '--kill-child'];
    this.#child = spawn('unshare', [...apart, 'sh', ...args], { env: image.environment });
    this.#ended = once(this.#child, 'exit');
    process.once('exit', this.#kill);
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (chunk) => {
        this.#log += String(chunk);
      });
    }
  }

  get log(): string {
    return this.#log;
  }

  /** As `kubectl exec` would: a second process, of the same user. */
  run(...words: readonly string[]): SpawnSyncReturns<string> {
    const [uid = '', gid = ''] = this.#image.config.User.split(':');
    const into = ['-t', `${this.#pid()}`, '--pid', '--mount', '--root', '-S', uid, '-G', gid];
    const env = this.#image.environment;
    return spawnSync('nsenter', [...into, '--', ...words], { encoding: 'utf8', env });
  }

  /** @returns the exit code */
  async stop(): Promise<number | null> {
    process.kill(this.#pid(), this.#image.config.StopSignal as NodeJS.Signals);
    const [code] = await this.#ended;
    return code as number | null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#kill();
    await this.#ended;
    process.off('exit', this.#kill);
  }

  /** Of the container's first process, as this machine counts. */
  #pid(): number {
    const { pid } = this.#child;
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
  }
}
