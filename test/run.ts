/**
 * `npm test`: everything, from a fresh clone, with nothing typed before it.
 *
 *   build the core → provision servers → light files, two at a time → heavy files, one at a time
 *
 * A heavy file starts servers or measures, and wants the machine for itself. Both stages are one
 * run to whoever reads the output: one report, one set of totals. Exit 0 only when every test
 * passed; a skipped test is named at the end. `--long` adds test/long; names as arguments run only
 * files whose name contains one.
 */
import { spawnSync } from 'node:child_process';
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
import { provision } from './support/provision.ts';

const root = join(import.meta.dirname, '..');
const heavyMark = /guest-life|startKafka|AgentUnderTest|startMosquitto|startNats|runDemo|main\.ts/;
const lightAtOnce = 2;
const heavyAtOnce = 1;
const testTimeoutMs = 900_000;
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

function isHeavy(file: string): boolean {
  return heavyMark.test(readFileSync(file, 'utf8'));
}

async function stage(
  files: string[],
  concurrency: number,
  timeout: number,
  report: NodeJS.WritableStream,
  outcome: Outcome,
): Promise<void> {
  if (files.length === 0) return;
  for await (const event of run({ files, concurrency, timeout, cwd: root })) {
    if (event.type === 'test:summary') continue;
    if (event.type === 'test:pass' && event.data.skip !== undefined) {
      outcome.skipped.push(`${event.data.name} (${event.data.skip})`);
    }
    const total = event.type === 'test:diagnostic' ? totalPattern.exec(event.data.message) : null;
    if (total === null) report.write(event as never);
    else {
      const name = total[1] ?? '';
      outcome.totals.set(name, (outcome.totals.get(name) ?? 0) + Number(total[2]));
    }
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (!buildCore()) return 70;
  const lacking = provision(args.includes('--long'));
  if (lacking !== null) {
    process.stderr.write(`${lacking}\n`);
    return 69;
  }
  const files = filesOf(args);
  const heavy = files.filter(isHeavy);
  const light = files.filter((file) => !heavy.includes(file));
  const timeout = args.includes('--long') ? longTestTimeoutMs : testTimeoutMs;
  const outcome: Outcome = { totals: new Map(), skipped: [] };
  const report = new spec();
  report.pipe(process.stdout, { end: false });
  await stage(light, lightAtOnce, timeout, report, outcome);
  await stage(heavy, heavyAtOnce, timeout, report, outcome);
  const printed = new Promise((resolve) => report.once('end', resolve));
  report.end();
  await printed;
  for (const name of outcome.skipped) process.stdout.write(`skipped: ${name}\n`);
  for (const [name, value] of outcome.totals) process.stdout.write(`ℹ ${name} ${value}\n`);
  const count = (name: string) => outcome.totals.get(name) ?? 0;
  return count('tests') > 0 && count('fail') === 0 && count('cancelled') === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
