/**
 * The servers and tools that tests need, and how they come onto this machine: as root on Debian (or
 * what derives from it) they are installed, elsewhere their absence is an error that names them all
 * and the one line to run. Nothing is ever skipped because something is missing.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

/** What is to be run: `npm test`, the long tests with it, `npm run test:arm`. */
export type Purpose = 'test' | 'long' | 'arm';

interface Tool {
  /** One of the PATH, or a file. */
  readonly command: string;
  /** What succeeds where it is there, if a command of that name does not say so. */
  readonly proof?: string;
  /** The first that the system knows is taken. */
  readonly packages: readonly string[];
  readonly for: string;
  /** Not needed when a Kafka is given by TIDEGATE_TEST_KAFKA. */
  readonly kafka?: true;
  /** Those of 'test' are needed by 'long' too; 'test' unless given. */
  readonly needed?: readonly Purpose[];
}

const jres = ['openjdk-17-jre-headless', 'openjdk-21-jre-headless', 'openjdk-25-jre-headless'];
const tools: readonly Tool[] = [
  { command: 'mosquitto', packages: ['mosquitto'], for: 'an MQTT broker to compare with' },
  { command: 'nats-server', packages: ['nats-server'], for: 'NATS and JetStream' },
  { command: 'strace', packages: ['strace'], for: 'the order of sync and PUBACK, from outside' },
  { command: 'openssl', packages: ['openssl'], for: 'certificates of the tests' },
  { command: 'python3', packages: ['python3'], for: 'the service manager’s end of its socket' },
  {
    command: 'python3-venv',
    proof: 'python3 -c "import ensurepip, venv"',
    packages: ['python3-venv'],
    for: 'linters of containers',
  },
  { command: 'xz', packages: ['xz-utils'], for: 'tarballs', needed: ['test', 'arm'] },
  { command: 'dpkg-parsechangelog', packages: ['dpkg-dev'], for: 'packages' },
  { command: 'lintian', packages: ['lintian'], for: 'what Debian thinks of them' },
  { command: 'mandoc', packages: ['mandoc'], for: 'the man page' },
  { command: 'shellcheck', packages: ['shellcheck'], for: 'their scripts' },
  { command: 'systemd-analyze', packages: ['systemd'], for: 'the unit' },
  {
    command: 'qemu-aarch64-static',
    packages: ['qemu-user-static'],
    for: 'the arm64 package',
    needed: ['test', 'arm'],
  },
  {
    command: '/usr/aarch64-linux-gnu/lib/libstdc++.so.6',
    packages: ['libstdc++6-arm64-cross'],
    for: 'the libraries it is linked with',
  },
  {
    command: 'debootstrap',
    packages: ['debootstrap'],
    for: 'a Debian to install on',
    needed: ['test', 'arm'],
  },
  { command: 'qemu-system-x86_64', packages: ['qemu-system-x86'], for: 'the machine it runs on' },
  { command: 'buildah', packages: ['buildah'], for: 'the container image', needed: ['long'] },
  { command: 'java', packages: jres, for: 'Apache Kafka, Java 17 or later', kafka: true },
  { command: 'mvn', packages: ['maven'], for: 'the jars of Apache Kafka', kafka: true },
];
const javaLeast = 17;
const policyFile = '/usr/sbin/policy-rc.d';
/** policy-rc.d's answer for "do not start services". */
const policyForbids = '#!/bin/sh\nexit 101\n';
const searchPath = `${process.env.PATH}:/usr/sbin:/usr/local/sbin`;
const environment = { ...process.env, PATH: searchPath, DEBIAN_FRONTEND: 'noninteractive' };

function present({ command, proof }: Tool): boolean {
  if (command.startsWith('/')) return existsSync(command);
  const found = spawnSync('sh', ['-c', proof ?? `command -v ${command}`], { env: environment });
  if (found.status !== 0) return false;
  return command !== 'java' || javaVersion() >= javaLeast;
}

function javaVersion(): number {
  const { stderr } = spawnSync('java', ['-version'], { env: environment, encoding: 'utf8' });
  return Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0);
}

function missing(purpose: Purpose): Tool[] {
  const kafkaGiven = (process.env.TIDEGATE_TEST_KAFKA ?? '') !== '';
  const purposes: readonly Purpose[] = purpose === 'long' ? ['test', 'long'] : [purpose];
  const wanted = tools.filter(({ needed = ['test'] }) => purposes.some((p) => needed.includes(p)));
  return wanted.filter((tool) => !(kafkaGiven && tool.kafka === true) && !present(tool));
}

function isDebian(): boolean {
  if (!existsSync('/etc/os-release')) return false;
  return /^ID(_LIKE)?=.*debian/m.test(readFileSync('/etc/os-release', 'utf8'));
}

function known(name: string): boolean {
  return spawnSync('apt-cache', ['show', name], { stdio: 'ignore' }).status === 0;
}

/** Told on standard error: what was asked for is on standard output, as JSON perhaps. */
function install(absent: readonly Tool[]): void {
  const apt = (...args: string[]) =>
    execFileSync('apt-get', args, { stdio: ['ignore', 2, 2], env: environment });
  apt('update', '-qq');
  const packages = absent.map((tool) => tool.packages.find(known) ?? tool.packages[0] ?? '');
  process.stderr.write(`installing for the tests: ${packages.join(' ')}\n`);
  const ownPolicy = !existsSync(policyFile);
  if (ownPolicy) writeFileSync(policyFile, policyForbids, { mode: 0o755 });
  try {
    apt('install', '-y', '-qq', '--no-install-recommends', ...packages);
  } finally {
    if (ownPolicy) rmSync(policyFile, { force: true });
  }
}

/** Returns null when everything is there, else the sentences to print before stopping. */
export function provision(purpose: Purpose): string | null {
  let absent = missing(purpose);
  if (absent.length > 0 && isDebian() && process.getuid?.() === 0) {
    install(absent);
    absent = missing(purpose);
  }
  if (absent.length === 0) return null;
  const list = absent.map((tool) => `  ${tool.command.padEnd(10)} ${tool.for}`);
  const packages = absent.map((tool) => tool.packages[0]).join(' ');
  return [
    'These are needed by the tests and are not on this machine:',
    ...list,
    'On Debian or Ubuntu, run:',
    `  sudo apt-get update && sudo apt-get install -y --no-install-recommends ${packages}`,
    'With TIDEGATE_TEST_KAFKA=host:port neither Java nor Maven is needed.',
  ].join('\n');
}
