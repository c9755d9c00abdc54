/**
 * `npm run test:arm`: what can be seen of the arm64 package without ARM hardware, by one command.
 *
 *   provision → an arm64 Debian 12 → the package, installed → its life and its demo → the suite
 *
 * Needs root (debootstrap, chroot, mounts) and Debian's qemu-user-static, which it installs.
 * Nothing of it is a statement on ARM hardware: `emulation.ts` says what is this machine's.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitCodes } from '../../agent/errors.ts';
import { build } from '../support/package.ts';
import { provision } from '../support/provision.ts';
import { registerArm } from './binfmt.ts';
import { ArmDebian } from './debian.ts';
import { lookAtPackage } from './package.ts';
import { Sheet } from './sheet.ts';
import { filesOf, type NotRun, notRun, runSuite, sharedFolders } from './suite.ts';

const usage = `Usage: npm run test:arm -- [options] [name…]

Builds the arm64 package, installs it in an arm64 Debian 12 under qemu-user, runs it there (version,
check, run with QoS 1 messages, buffer verify, demo), and then the test suite's core, buffer and
pipeline parts, by the Node that it brings. With names only test files whose name contains one.

Options:
  --only <part>  package or suite; both without it (the package is installed in any case)
  --deb <file>   this package instead of one built from this tree
  --json         what was seen, as JSON, for programs; progress goes to standard error always
  --help         this help

Needs root on Debian, and installs qemu-user-static and debootstrap. The Debian is made once (some
minutes) and kept in $XDG_CACHE_HOME/tidegate-test; TIDEGATE_TEST_DEBIAN_MIRROR names its mirror.
TIDEGATE_TEST_SEED repeats what is drawn at random, TIDEGATE_TEST_KEEP=1 keeps the run's root.

Exit codes: 0 all was seen, 1 something was not, 64 usage, 69 something is missing on this machine,
70 a fault of this command.

Examples:
  $ npm run test:arm
  $ npm run test:arm -- --only package --json
  $ npm run test:arm -- --only suite core buffer
  $ npm run test:arm -- --deb dist/tidegate_0.1.0_arm64.deb
`;
const parts = ['package', 'suite'];
const notSeen = 1;

interface Chosen {
  readonly only: string | null;
  readonly deb: string | null;
  readonly json: boolean;
  readonly files: string[];
}

/** Null: help was asked for. @throws Error with what is wrong */
function chosenBy(args: readonly string[]): Chosen | null {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      only: { type: 'string' },
      deb: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const { only = null, deb = null, json } = values;
  if (only !== null && !parts.includes(only))
    throw new Error(`--only ${only}: ${parts.join(', ')}`);
  if (deb !== null && !existsSync(deb)) throw new Error(`--deb ${deb}: there is no such file`);
  const files = filesOf(positionals);
  if (files.length === 0) throw new Error(`no test file is named like ${positionals.join(', ')}`);
  return { only, deb, json, files };
}

interface Prepared {
  readonly debian: ArmDebian;
  readonly deb: string;
}

/** All that is needed before anything can be looked at. @throws Error with what it lacks */
function prepare({ deb }: Chosen): Prepared {
  if (process.getuid?.() !== 0) throw new Error('it needs root, for a chroot and its mounts');
  const lacking = provision('arm');
  if (lacking !== null) throw new Error(lacking);
  registerArm(say);
  const debian = new ArmDebian(sharedFolders(), say);
  return { debian, deb: deb ?? built(debian.folder) };
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

function built(folder: string): string {
  say('the arm64 package is built');
  const made = build(['--arch', 'arm64', '--out', join(folder, 'dist')]);
  const deb = made.find(({ file }) => file.endsWith('.deb'));
  if (deb === undefined) throw new Error('the packager made no .deb');
  return deb.file;
}

function show({ steps, unseen }: Sheet, left: readonly NotRun[]): string {
  const seconds = steps.reduce((sum, step) => sum + step.seconds, 0);
  const seen = `${steps.length - unseen.length} of ${steps.length} seen in ${seconds} s`;
  return [
    ...left.map(({ file, test, because }) => `not run: ${file}: ${test} (${because})`),
    ...unseen.map(({ sentence }) => `not seen: ${sentence}`),
    `${seen}, under emulation; nothing was run on ARM hardware`,
    '',
  ].join('\n');
}

async function look({ only, json, files }: Chosen, { debian, deb }: Prepared): Promise<boolean> {
  const sheet = new Sheet(say);
  await lookAtPackage(debian, deb, only === 'suite' ? 'installed' : 'whole', sheet);
  if (only !== 'package') await runSuite(debian, files, sheet);
  const left = notRun.filter(({ file }) => only !== 'package' && files.includes(file));
  const told = { steps: sheet.steps, notRun: left };
  process.stdout.write(json ? `${JSON.stringify(told)}\n` : show(sheet, left));
  return sheet.unseen.length === 0;
}

async function main(args: readonly string[]): Promise<number> {
  let exit: number = exitCodes.usage;
  try {
    const chosen = chosenBy(args);
    if (chosen === null) {
      process.stdout.write(usage);
      return exitCodes.ok;
    }
    exit = exitCodes.unavailable;
    // Through 'exit', where the run's root is taken away.
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => process.exit(1));
    const prepared = prepare(chosen);
    exit = exitCodes.ourFault;
    return (await look(chosen, prepared)) ? exitCodes.ok : notSeen;
  } catch (error) {
    say(`test:arm: ${(error as Error).message}`);
    if (exit === exitCodes.usage) say('--help shows what it takes');
    return exit;
  }
}

process.exitCode = await main(process.argv.slice(2));
