/**
 * `npm run test:install`: the scenarios by themselves, with progress, for whoever works on the
 * package or wants to see a .deb live through an install, an upgrade and a power cut.
 *
 *   node test/guest/run.ts [--suite bookworm|trixie] [--deb FILE] [--json]
 *
 * On bookworm it is the whole life, on trixie the shorter one; both without --suite. Exit 0 when
 * every promise was seen.
 */
import { parseArgs } from 'node:util';
import type { Suite } from '../support/guest-image.ts';
import { type Life, live } from '../support/guest-life.ts';
import { seedOfRun } from '../support/random.ts';
import { type Part, promises } from './promises.ts';

const usage = `Usage: npm run test:install -- [options]

Installs, upgrades, downgrades, removes and purges the .deb in a Debian that boots under qemu.

Options:
  --suite <name>  bookworm (the whole life, with a power cut) or trixie (a shorter one); both
  --deb <file>    test this package instead of one built from this tree
  --cut <how>     the power cut: kill (the guest at once), or replay (and what it had written but
                  not flushed is lost in part; some runs cannot be replayed, and end with an error)
  --json          what was seen, as JSON, for programs
  --help          this help

Needs root the first time (the image is made by debootstrap), and qemu-system-x86_64. What is drawn
at random follows TIDEGATE_TEST_SEED; TIDEGATE_TEST_KEEP=1 keeps disks and consoles.
`;

function show(life: Life, suite: Suite): string {
  const rows = life.figures.map(({ name, value, unit }) => {
    return `  ${value.toFixed(value < 100 ? 2 : 0).padStart(12)} ${unit.padEnd(4)} ${name}`;
  });
  return [`${suite}, ${life.accelerator.name}`, ...rows, ''].join('\n');
}

/** Sentences that were not seen. */
function unseen(life: Life, parts: readonly Part[]): string[] {
  const wanted = parts.flatMap((part) => Object.entries<string>(promises[part]));
  const missing = wanted.filter(([name]) => life.checks.get(name)?.seen !== true);
  const lost = life.power?.ledger.lost ?? [];
  return [...missing.map(([name, sentence]) => `${name}: ${sentence}`), ...lost];
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      suite: { type: 'string' },
      deb: { type: 'string' },
      cut: { type: 'string', default: 'kill' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    return 0;
  }
  const suites: Suite[] =
    values.suite === undefined ? ['bookworm', 'trixie'] : [values.suite as Suite];
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  let isWell = true;
  for (const suite of suites) {
    const kind = suite === 'bookworm' ? 'life' : 'newer';
    const cut = values.cut === 'replay' ? 'replay' : 'kill';
    const life = await live({ suite, kind, seed: seedOfRun(), deb: values.deb ?? null, cut, say });
    const missing = unseen(life, kind === 'life' ? ['life', 'after'] : ['newer']);
    const { checks, figures, power } = life;
    const told = { suite, unseen: missing, checks: [...checks.values()], figures, power };
    process.stdout.write(values.json ? `${JSON.stringify(told)}\n` : show(life, suite));
    for (const sentence of missing) say(`not seen: ${sentence}`);
    isWell &&= missing.length === 0;
  }
  return isWell ? 0 : 1;
}

process.exitCode = await main();
