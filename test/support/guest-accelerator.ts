/**
 * Whether a guest can run on this machine's own processor (KVM), or has to be translated (TCG).
 *
 * That /dev/kvm opens proves nothing: inside of some virtual machines a guest then hangs at its
 * first instruction. So a kernel without any disk is started: it panics for want of a root within a
 * second or two where KVM works, and `panic=-1` with -no-reboot ends qemu. Only that counts. The
 * answer is kept for as long as this machine is up, since a hanging guest costs the whole limit.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export interface Accelerator {
  readonly name: 'kvm' | 'tcg';
  /** Why it is this one. */
  readonly because: string;
  readonly args: readonly string[];
}

const probeWithinMs = 15_000;
const threaded = { name: 'tcg', args: ['-accel', 'tcg,thread=multi', '-cpu', 'Nehalem'] } as const;
const native = { name: 'kvm', args: ['-accel', 'kvm', '-cpu', 'host'] } as const;

function opens(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function boots(kernel: string): boolean {
  const args = [
    ...[...native.args, '-m', '256', '-nodefaults', '-display', 'none', '-no-reboot'],
    ...['-nic', 'none', '-kernel', kernel, '-serial', 'stdio'],
    ...['-append', 'console=ttyS0 panic=-1'],
  ];
  const ended = spawnSync('qemu-system-x86_64', args, {
    ...{ timeout: probeWithinMs, killSignal: 'SIGKILL', encoding: 'utf8' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return ended.status === 0 && ended.stdout.includes('Kernel panic');
}

/** One file a boot of this machine. */
function memoryOf(): string {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  return join(tmpdir(), 'tidegate-test-kvm', boot);
}

function probe(kernel: string): string {
  if (!opens('/dev/kvm')) return 'there is no /dev/kvm that opens';
  const memory = memoryOf();
  try {
    return readFileSync(memory, 'utf8');
  } catch {
    const seconds = probeWithinMs / 1_000;
    const found = boots(kernel) ? '' : `/dev/kvm opens, a guest on it hung for ${seconds} s`;
    mkdirSync(dirname(memory), { recursive: true });
    writeFileSync(memory, found);
    return found;
  }
}

/** @param kernel of a guest image; any will do */
export function accelerator(kernel: string): Accelerator {
  const against = probe(kernel);
  if (against === '') return { ...native, because: 'a kernel started under /dev/kvm' };
  return { ...threaded, because: against };
}
