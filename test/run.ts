/**
 * `npm test`: everything, from a fresh clone, with nothing typed before it.
 *
 *   build the core → provision servers → build the packages, where a file asks for them
 *     → light files, two at a time → heavy files, one at a time
 *     → beside both, at the lowest priority: the guest
 *
 * A heavy file starts servers or measures, and wants the machine for itself. The guest boots a
 * Debian on a translated processor, which takes minutes of one core and nothing else; it gets what
 * the others leave. All are one run to whoever reads the output: one report, one set of totals; the
 * guest's part stands at the end. Exit 0 only when every test passed; a skipped test is named at
 * the end. `--long` adds test/long; names as arguments run only files whose name contains one.
 */
import { spawnSync } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { run } from 'node:test';
import { spec, type TestEvent } from 'node:test/reporters';
import { buildShared, sharedFolderVariable } from './support/package.ts';
import { provision } from './support/provision.ts';

const root = join(import.meta.dirname, '..');
const guestMark = /guest-told/;
const heavyMark =
  /support\/image|bridge-rig|startKafka|AgentUnderTest|startMosquitto|startNats|runDemo|main\.ts/;
const packageMark = /BuiltPackages|builtFor|guest-told/;
const lightAtOnce = 2;
const heavyAtOnce = 1;
const testTimeoutMs = 900_000;
const guestTimeoutMs = 2_400_000;
const longTestTimeoutMs = 3_600_000;
const totalPattern = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;

interface Outcome {
  readonly totals: Map<string, number>;
  readonly skipped: string[];
}

function buildCore(): boolean {
  const asc = join(root, 'node_modules', '.bin', 'asc');
  const built = spawnSync(process.execPath, [asc, 'wasm-core/index.ts', '--target', 'release'], {
    cwd: root,
    stdio: 'inherit',
  });
  return built.status === 0;
}

function filesOf(args: readonly string[]): string[] {
  const folders = args.includes('--long') ? ['test', 'test/long'] : ['test'];
  const names = args.filter((arg) => !arg.startsWith('--'));
  return folders
    .flatMap((folder) =>
      globSync('*.test.ts', { cwd: join(root, folder) }).map((name) => join(root, folder, name)),
    )
    .filter((file) => names.length === 0 || names.some((name) => basename(file).includes(name)))
    .sort();
}

type Tell = (event: TestEvent) => void;

async function stage(
  files: string[],
  concurrency: number,
  timeout: number,
  tell: Tell,
  outcome: Outcome,
): Promise<void> {
  if (files.length === 0) return;
  for await (const event of run({ files, concurrency, timeout, cwd: root })) {
    if (event.type === 'test:summary') continue;
    if (event.type === 'test:pass' && event.data.skip !== undefined) {
      outcome.skipped.push(`${event.data.name} (${event.data.skip})`);
    }
    const total = event.type === 'test:diagnostic' ? totalPattern.exec(event.data.message) : null;
    if (total === null) tell(event);
    else {
      const name = total[1] ?? '';
      outcome.totals.set(name, (outcome.totals.get(name) ?? 0) + Number(total[2]));
    }
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (!buildCore()) return 70;
  const lacking = provision(args.includes('--long') ? 'long' : 'test');
  if (lacking !== null) {
    process.stderr.write(`${lacking}\n`);
    return 69;
  }
  const files = filesOf(args).map((file) => ({ file, text: readFileSync(file, 'utf8') }));
  if (!files.some(({ text }) => packageMark.test(text))) return await runAll(files, args);
  const packages = mkdtempSync(join(tmpdir(), 'tidegate-packages-'));
  try {
    buildShared(packages);
    process.env[sharedFolderVariable] = packages;
    return await runAll(files, args);
  } finally {
    rmSync(packages, { recursive: true });
  }
}

async function runAll(
  files: readonly { readonly file: string; readonly text: string }[],
  args: readonly string[],
): Promise<number> {
  const of = (isOne: (text: string) => boolean): string[] =>
    files.filter(({ text }) => isOne(text)).map(({ file }) => file);
  const isGuest = (text: string): boolean => guestMark.test(text);
  const isHeavy = (text: string): boolean => heavyMark.test(text) && !isGuest(text);
  const timeout = args.includes('--long') ? longTestTimeoutMs : testTimeoutMs;
  const outcome: Outcome = { totals: new Map(), skipped: [] };
  const report = new spec();
  report.pipe(process.stdout, { end: false });
  const tell: Tell = (event) => void report.write(event as never);
  // The report wants one test at a time: what the guest's files tell waits for the others.
  const later: TestEvent[] = [];
  const guest = stage(of(isGuest), 1, guestTimeoutMs, (event) => void later.push(event), outcome);
  const light = of((text) => !isHeavy(text) && !isGuest(text));
  await stage(light, lightAtOnce, timeout, tell, outcome);
  await stage(of(isHeavy), heavyAtOnce, timeout, tell, outcome);
  await guest;
  for (const event of later) tell(event);
  const printed = new Promise((resolve) => report.once('end', resolve));
  report.end();
  await printed;
  for (const name of outcome.skipped) process.stdout.write(`skipped: ${name}\n`);
  for (const [name, value] of outcome.totals) process.stdout.write(`ℹ ${name} ${value}\n`);
  const count = (name: string) => outcome.totals.get(name) ?? 0;
  return count('tests') > 0 && count('fail') === 0 && count('cancelled') === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
