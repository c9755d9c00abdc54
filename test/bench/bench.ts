/**
 * `npm run bench`: prints what a message costs, tidegate beside Mosquitto, in one run on one
 * machine.
 *
 * Rounds alternate between the systems, each with a fresh process and folder; a figure is the
 * median of its rounds. The generator is a process of its own and shares the machine with what it
 * measures: messages/s are those of both together, CPU is the server's alone, read from the OS.
 */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type Figures, type Shape, type System, type Workload, workloads } from './systems.ts';

const help = `npm run bench -- [options]
  --seconds N      measured seconds of a round (8)
  --warm-up N      seconds before it that are not measured (2)
  --rounds N       rounds of each system; figures are medians (3)
  --only NAME      one workload: pipelined, http, endToEnd
  --json FILE      write the figures there as well
  --directory DIR  where buffers lie; must be a disk, not memory (the temporary folder)
`;

const connections = 20;
const inFlight = 100;
const payloadBytes = 128;
const tmpfsMagic = 0x01021994;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    'warm-up': { type: 'string', default: '2' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    json: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
    help: { type: 'boolean', default: false },
  },
});

type Results = Record<string, Record<string, Figures>>;

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  const chosen = workloads().filter(
    ({ name }) => values.only === undefined || values.only === name,
  );
  if (chosen.length === 0) return complain(`no workload is called ${values.only}`);
  if (statfsSync(values.directory).type === tmpfsMagic) {
    return complain(`${values.directory} is memory, where fsync costs nothing: name a --directory`);
  }
  const directory = mkdtempSync(join(values.directory, 'tidegate-bench-'));
  const shape: Shape = {
    connections,
    inFlight,
    payloadBytes,
    warmUpSeconds: Number(values['warm-up']),
    seconds: Number(values.seconds),
    directory,
  };
  const results: Results = {};
  try {
    for (const workload of chosen) results[workload.name] = await measure(workload, shape);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  for (const workload of chosen) print(workload, results[workload.name] ?? {}, shape);
  if (values.json !== undefined)
    writeFileSync(values.json, `${JSON.stringify(document(results, shape), null, 2)}\n`);
  return 0;
}

function complain(sentence: string): number {
  process.stderr.write(`${sentence}\n\n${help}`);
  return 64;
}

async function measure(workload: Workload, shape: Shape): Promise<Record<string, Figures>> {
  const rounds = new Map<System, Figures[]>(workload.systems.map((system) => [system, []]));
  await workload.open?.();
  try {
    for (let round = 1; round <= Number(values.rounds); round++) {
      for (const [system, figures] of rounds) {
        process.stderr.write(`${workload.name}, round ${round}: ${system.name} …`);
        const measured = await system.round(shape);
        figures.push(measured);
        process.stderr.write(
          ` ${Math.round(measured.messagesPerSecond)} messages/s, ` +
            `${measured.cpuMicrosPerMessage.toFixed(2)} µs\n`,
        );
      }
    }
  } finally {
    await workload.close?.();
  }
  return Object.fromEntries(
    [...rounds].map(([system, figures]) => [system.name, medians(figures)]),
  );
}

function medians(rounds: readonly Figures[]): Figures {
  const median = (pick: (figures: Figures) => number) => {
    const sorted = rounds.map(pick).sort((a, b) => a - b);
    const middle = Math.floor(sorted.length / 2);
    const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1] ?? 0, sorted[middle] ?? 0];
    return (low + high) / 2;
  };
  const stored = rounds.every((round) => round.commits !== null);
  return {
    messagesPerSecond: median((round) => round.messagesPerSecond),
    cpuMicrosPerMessage: median((round) => round.cpuMicrosPerMessage),
    peakRssMiB: median((round) => round.peakRssMiB),
    pubackMsP50: median((round) => round.pubackMsP50),
    pubackMsP99: median((round) => round.pubackMsP99),
    messagesPerCommit: stored ? median((round) => round.messagesPerCommit ?? 0) : null,
    commits: stored ? median((round) => round.commits ?? 0) : null,
    diskBytesPerPayloadByte: median((round) => round.diskBytesPerPayloadByte),
    messages: median((round) => round.messages),
  };
}

const columns: readonly (readonly [string, (figures: Figures) => string])[] = [
  ['messages/s', (f) => Math.round(f.messagesPerSecond).toLocaleString('en-US')],
  ['CPU µs/message', (f) => f.cpuMicrosPerMessage.toFixed(2)],
  ['peak RSS MiB', (f) => f.peakRssMiB.toFixed(0)],
  ['PUBACK p50 ms', (f) => f.pubackMsP50.toFixed(2)],
  ['p99 ms', (f) => f.pubackMsP99.toFixed(2)],
  ['commits', (f) => (f.commits === null ? '–' : Math.round(f.commits).toLocaleString('en-US'))],
  ['messages/commit', (f) => (f.messagesPerCommit === null ? '–' : f.messagesPerCommit.toFixed(0))],
  ['disk bytes/payload byte', (f) => f.diskBytesPerPayloadByte.toFixed(2)],
];

function print(workload: Workload, results: Record<string, Figures>, shape: Shape): void {
  const rows = [['', ...columns.map(([title]) => title)]];
  for (const [name, figures] of Object.entries(results)) {
    rows.push([name, ...columns.map(([, show]) => show(figures))]);
  }
  const widths = rows[0]?.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0))) ?? [];
  const pad = (cell: string, width: number, i: number) =>
    i === 0 ? cell.padEnd(width) : cell.padStart(width);
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => pad(cell, widths[i] ?? 0, i)).join(' | ')} |`;
  const dashes = (width: number, i: number) =>
    i === 0 ? '-'.repeat(width + 2) : `${'-'.repeat(width + 1)}:`;
  const rule = `|${widths.map(dashes).join('|')}|`;
  const [head, ...body] = rows.map(line);
  process.stdout.write(
    `\n${workload.name}: ${workload.about}\n` +
      `${shape.connections} connections × ${shape.inFlight} in flight, ` +
      `${shape.payloadBytes}-byte payloads, ` +
      `median of ${values.rounds} rounds of ${shape.seconds} s; ${machine()}\n\n` +
      `${[head, rule, ...body].join('\n')}\n\n`,
  );
  for (const system of workload.systems)
    process.stdout.write(`${system.name}: ${system.setting}\n`);
  const ratio = cpuRatio(results);
  if (ratio !== null)
    process.stdout.write(`CPU a message, tidegate / mosquitto: ${ratio.toFixed(2)}\n`);
}

function cpuRatio(results: Record<string, Figures>): number | null {
  const [ours, theirs] = [results.tidegate, results.mosquitto];
  if (ours === undefined || theirs === undefined) return null;
  return ours.cpuMicrosPerMessage / theirs.cpuMicrosPerMessage;
}

function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  return `${availableParallelism()} cores of ${model}, Linux ${release()}, Node ${process.version}`;
}

function document(results: Results, shape: Shape): unknown {
  return {
    machine: machine(),
    shape: { ...shape, directory: undefined, rounds: Number(values.rounds) },
    workloads: Object.fromEntries(
      Object.entries(results).map(([name, systems]) => {
        const ratio = cpuRatio(systems);
        return [name, ratio === null ? systems : { ...systems, cpuRatio: ratio }];
      }),
    ),
  };
}

process.exitCode = await main();
