/**
 * What a program of 64-bit ARM is run with on another machine: Debian's qemu-user, which translates
 * its instructions and passes its system calls on to this machine's kernel. So the agent, its Node
 * and its native modules are the arm64 ones; kernel, disk and clock are this machine's.
 */

/** A Raspberry Pi 3's: ARMv8.0, the least that the package is for. */
const cpu = 'cortex-a53';

/**
 * V8 reserves 10 GiB of addresses around each WebAssembly memory. qemu-user does not cope with many
 * of these: a test that loads the core 200 times came to 22 GiB of RAM, and Node's type stripping,
 * itself WebAssembly, did not end. With bounds checked in code there is nothing to reserve.
 */
const nodeOptions = '--disable-wasm-trap-handler';

/** Waits are for what has to come; an emulated Node needs seconds to start. */
const patience = '10';

/** In front of a program where there is no arm64 root: its libraries are those of Debian's gcc. */
export const crossLibraries = ['qemu-aarch64-static', '-L', '/usr/aarch64-linux-gnu'] as const;

/** @param modules of the package: its arm64 binaries, which this machine's npm did not install */
export function environmentWith(modules: string): Readonly<Record<string, string>> {
  return {
    PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: '/root',
    LANG: 'C.UTF-8',
    QEMU_CPU: cpu,
    NODE_OPTIONS: nodeOptions,
    NODE_PATH: modules,
    TIDEGATE_TEST_PATIENCE: patience,
    ...seedGiven(),
  };
}

function seedGiven(): Record<string, string> {
  const seed = process.env.TIDEGATE_TEST_SEED;
  return seed === undefined ? {} : { TIDEGATE_TEST_SEED: seed };
}
