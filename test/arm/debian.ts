/**
 * A whole Debian 12 of arm64 that programs are run in: made by debootstrap once and kept, with each
 * of its packages configured under emulation; every run has a copy of its own.
 *
 * A program in it is a chroot in a mount namespace of its own: nothing has to be unmounted, however
 * it ends. The network is this machine's, and so are the folders that are shared, read-only, under
 * the paths that they have here. It is one process, so that a signal to it reaches the program.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootstrap, keptFolder } from '../support/kept-folder.ts';
import { runTool } from '../support/run-tool.ts';
import { environmentWith } from './emulation.ts';

const suite = 'bookworm';
/** What the package needs there beside the base; the broker is for tests. */
const included = ['systemd-standalone-sysusers', 'mosquitto'];
const makeWithinMs = 1_800_000;
const copyWithinMs = 120_000;
const modules = '/usr/lib/tidegate/node_modules';

/** Arguments: shared folders, `--`, the command. Its root is a mount, so that it may mount. */
const enter = `
mount --bind "$0" "$0"
while [ "$1" != -- ]; do
  mkdir -p "$0$1"; mount --bind -o ro "$1" "$0$1"; shift
done
shift
mount -t proc proc "$0/proc"
mount --rbind /dev "$0/dev"
mount -t tmpfs tmpfs "$0/run"
exec chroot "$0" "$@"
`;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Taken away when this process ends, with what still runs in it. */
export class ArmDebian {
  readonly folder = mkdtempSync(join(tmpdir(), 'tidegate-arm-'));
  readonly root = join(this.folder, 'root');
  readonly #running = new Set<ChildProcess>();
  readonly #shared: readonly string[];

  /** @param shared folders of this machine that are seen in there, read-only */
  constructor(shared: readonly string[], say: (line: string) => void) {
    this.#shared = shared;
    process.once('exit', () => this.#takeAway());
    const kept = keptFolder('arm64', [suite, included], (work) => {
      say('an arm64 Debian 12 is made, once: some minutes');
      const options = ['--arch=arm64', `--include=${included.join(',')}`];
      bootstrap(suite, join(work, 'root'), options, makeWithinMs);
    });
    if (kept.madeInMs > 0) say(`kept in ${kept.folder}`);
    mkdirSync(this.root);
    runTool('cp', ['-a', `${kept.folder}/root/.`, this.root], copyWithinMs);
  }

  start(...command: readonly string[]): ChildProcess {
    const before = ['--mount', '--propagation', 'private', 'sh', '-ec', enter, this.root];
    const child = spawn('unshare', [...before, ...this.#shared, '--', ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: environmentWith(modules),
      cwd: '/',
    });
    this.#running.add(child);
    child.once('close', () => this.#running.delete(child));
    return child;
  }

  /** To its end, or until `withinMs` have passed: then its code is null. */
  async run(withinMs: number, ...command: readonly string[]): Promise<Ended> {
    const child = this.start(...command);
    const late = setTimeout(() => child.kill('SIGKILL'), withinMs);
    const ended = await endOf(child);
    clearTimeout(late);
    return ended;
  }

  #takeAway(): void {
    for (const child of this.#running) child.kill('SIGKILL');
    if (process.env.TIDEGATE_TEST_KEEP !== '1') {
      rmSync(this.folder, { recursive: true, force: true });
    }
  }
}

export function endOf(child: ChildProcess): Promise<Ended> {
  const said = { out: '', err: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...said }));
  });
}
