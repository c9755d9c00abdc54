/**
 * A Debian that runs in qemu, for one boot: from the image's copy to its end.
 *
 *   booting ──first report──▶ reporting ──▶ off: it powered off by itself
 *                                 ├──kill──▶ killed: the power went
 *                                 └──limit─▶ late
 *
 * The guest tells what happens as JSON lines on a virtio serial port, which is qemu's standard
 * output; its console goes into a file, whose end is shown when something fails. It has no network.
 * qemu is started without a shell and ended by its pid, and it ends with this process.
 *
 * A slow machine's translated processor can stand still for good now and then before the guest has
 * said a word: such a boot is done again, a few times, and told in `retries`. Nothing that was
 * tested has happened by then.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { accelerator } from './guest-accelerator.ts';
import { type GuestImage, reportPort } from './guest-image.ts';

/** A line of the guest's; `kind` says which (test/guest/report.ts). */
export interface Told {
  readonly kind: string;
  readonly [field: string]: unknown;
}

export interface BootSetup {
  readonly image: GuestImage;
  /** Written to, unless `writeLog` is there: then it is what the guest begins with and ends as. */
  readonly disk: string;
  readonly tools: string;
  /** Console and log are in here. */
  readonly folder: string;
  /** Which part of the scenario this boot is. */
  readonly part: string;
  readonly withinMs: number;
  /** Where every write and flush is noted. */
  readonly writeLog?: string;
  readonly onTold: (told: Told, guest: Guest) => void;
}

export type Ending = 'off' | 'killed' | 'late';

const firstWordWithinMs = 180_000;
const bootsAtMost = 3;
const consoleLinesShown = 40;
const memoryMib = 1_024;
const cores = 2;

export class Guest {
  readonly ended: Promise<Ending>;
  readonly #child: ChildProcess;
  #asked: Ending | null = null;
  #heard = false;

  constructor(setup: BootSetup) {
    // Standard input stays open: at its end qemu would close the port, and the guest's writes wait.
    const child = spawn('qemu-system-x86_64', argsOf(setup), {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#child = child;
    // It takes what others leave: their time-outs are shorter than its own.
    if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
    const follow = (): void => void child.kill('SIGKILL');
    process.once('exit', follow);
    this.#listen(setup);
    const limit = setTimeout(() => this.#end('late'), setup.withinMs);
    const silent = setTimeout(() => !this.#heard && this.#end('late'), firstWordWithinMs);
    this.ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        clearTimeout(limit);
        clearTimeout(silent);
        process.removeListener('exit', follow);
        if (this.#asked === null && code !== 0) reject(new Error(`qemu ended with exit ${code}`));
        else resolve(this.#asked ?? 'off');
      });
    });
  }

  /** Whether the guest said anything. */
  get heard(): boolean {
    return this.#heard;
  }

  /** The power goes. */
  kill(): void {
    this.#end('killed');
  }

  #end(ending: Ending): void {
    this.#asked ??= ending;
    this.#child.kill('SIGKILL');
  }

  #listen(setup: BootSetup): void {
    let rest = '';
    this.#child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      this.#heard = true;
      for (const line of lines) {
        // What was on its way when the power went is not known.
        if (this.#asked === null && line !== '') setup.onTold(JSON.parse(line) as Told, this);
      }
    });
  }
}

function argsOf({ image, disk, tools, folder, part, writeLog }: BootSetup): string[] {
  const raw = (name: string, path: string, more = ''): string[] => {
    return ['-blockdev', `driver=file,node-name=${name},filename=${path}${more}`];
  };
  const watched =
    writeLog === undefined
      ? raw('disk', disk)
      : [
          ...[...raw('below', disk), ...raw('noted', writeLog)],
          ...['-blockdev', 'driver=blklogwrites,node-name=disk,file=below,log=noted'],
        ];
  const kernel = [
    ...['root=/dev/vda rw console=ttyS0 quiet audit=1 panic=-1 tsc=unstable'],
    // Taken by systemd itself: calls that a unit's filter refuses stand in the audit log.
    ...['SYSTEMD_LOG_SECCOMP=1', 'systemd.getty_auto=no', `guest.part=${part}`],
  ];
  return [
    ...accelerator(image.kernel).args,
    ...['-m', String(memoryMib), '-smp', String(cores), '-nodefaults', '-display', 'none'],
    ...['-no-reboot', '-nic', 'none', '-serial', `file:${join(folder, `console-${part}.log`)}`],
    // Zeroes are written out: `blklogwrites` may put others' entries where it keeps room for them.
    ...[...watched, '-device', 'virtio-blk-pci,drive=disk,write-zeroes=off,discard=off'],
    ...[...raw('tools', tools, ',read-only=on'), '-device', 'virtio-blk-pci,drive=tools'],
    ...['-device', 'virtio-serial-pci', '-chardev', 'stdio,id=report,signal=off'],
    ...['-device', `virtserialport,chardev=report,name=${reportPort}`],
    ...['-kernel', image.kernel, '-initrd', image.initrd, '-append', kernel.join(' ')],
  ];
}

export function consoleTail(folder: string, part: string): string {
  const text = readFileSync(join(folder, `console-${part}.log`), 'utf8');
  return text.trimEnd().split('\n').slice(-consoleLinesShown).join('\n');
}

export interface Booted {
  readonly ending: Ending;
  readonly retries: number;
}

/**
 * One boot, to its end.
 * @param fresh puts the disks back to where they were, before another try
 */
export async function boot(setup: BootSetup, fresh: () => void): Promise<Booted> {
  for (let retries = 0; ; retries++) {
    const guest = new Guest(setup);
    const ending = await guest.ended;
    if (guest.heard || retries + 1 === bootsAtMost) return { ending, retries };
    fresh();
  }
}
