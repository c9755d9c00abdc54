/**
 * The kernel starts arm64 programs by qemu-user, also those that an emulated program starts.
 * Debian's package brings the rule, and systemd hands it to the kernel; where no systemd runs (a
 * container), this does, and leaves it there as systemd would.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runTool } from '../support/run-tool.ts';

const kernel = '/proc/sys/fs/binfmt_misc';
const rule = '/usr/lib/binfmt.d/qemu-aarch64.conf';
const registered = join(kernel, 'qemu-aarch64');
const mountWithinMs = 10_000;

/** @throws Error when the kernel does not take the rule, or has another */
export function registerArm(say: (line: string) => void): void {
  if (!existsSync(join(kernel, 'register'))) {
    runTool('mount', ['-t', 'binfmt_misc', 'binfmt_misc', kernel], mountWithinMs);
  }
  if (!existsSync(registered)) {
    writeFileSync(join(kernel, 'register'), readFileSync(rule));
    say('the kernel starts arm64 programs by qemu-user from now on (binfmt_misc)');
  }
  const known = readFileSync(registered, 'utf8');
  // F: the interpreter was opened when the rule was registered, so that it works in a chroot.
  if (/^enabled$/m.test(known) && /^flags: \w*F/m.test(known)) return;
  throw new Error(`${registered} is off or without flag F; echo -1 > it takes it away:\n${known}`);
}
