/**
 * `npm run footprint`: what the packaged agent takes of a small machine. Memory at rest and at
 * 5,000 messages/s, time from start to ready, the same inside a box of 192 MiB and half a core, and
 * the bytes that go to the flash for each byte of payload. Each figure with its target beside it.
 *
 *   build as packaged → (real Kafka) → memory and start → small box → wear → tables, or JSON
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs, promisify } from 'node:util';
import { type Kafka, startKafka } from '../support/kafka.ts';
import { writtenBytes } from '../support/process.ts';
import { smallBox } from './cgroup.ts';
import { tables } from './footprint-tables.ts';
import type { Pace, Paced } from './paced.ts';
import { buildPackaged, Packaged } from './packaged.ts';

const help = `npm run footprint -- [options]
  --seconds N      of load for each figure (15)
  --starts N       starts that the median of "ready" is taken of (5)
  --only NAME      memory, box or wear
  --json FILE      write the figures there as well
  --directory DIR  where buffers lie; must be a disk, not memory (the temporary folder)

Examples:
  npm run footprint
  npm run footprint -- --only wear --seconds 30
`;

export interface MemoryFigures {
  readonly upstream: 'files' | 'kafka';
  readonly readyMs: number;
  readonly idleMib: number;
  readonly loadedMib: number;
  readonly perSecond: number;
}

export interface BoxFigures {
  readonly readyMs: number;
  readonly peakMib: number;
  readonly perSecond: number;
  readonly kills: number;
}

export interface WearFigures {
  readonly perSecond: number;
  readonly commitEvery: string;
  readonly compression: string;
  readonly payloadBytes: number;
  readonly writtenPerByte: number;
  readonly writtenPerDay: number;
}

export interface Footprint {
  readonly memory: readonly MemoryFigures[];
  /** A sentence: why there is none. */
  readonly box: BoxFigures | string | null;
  readonly wear: readonly WearFigures[];
}

const loadPerSecond = 5_000;
const connections = 50;
const idleMs = 10_000;
/** The last cursor and what trims behind it. */
const settleMs = 2_000;
const boxBytes = 192 * 1024 * 1024;
const boxShare = 0.5;
const wearRates = [10, 100, 5_000];
/** commitEvery and compression. */
const wearKnobs = [
  ['0ms', 'none'],
  ['50ms', 'none'],
  ['50ms', 'zstd'],
] as const;
const secondsPerDay = 86_400;
const tmpfsMagic = 0x01021994;
const generator = join(import.meta.dirname, 'paced.ts');

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '15' },
    starts: { type: 'string', default: '5' },
    only: { type: 'string' },
    json: { type: 'string' },
    directory: { type: 'string', default: tmpdir() },
    help: { type: 'boolean', default: false },
  },
});
const seconds = Number(values.seconds);

const files = '{ file: { directory: DIR/out } }';
const kafkaAt = (broker: string): string =>
  `{ kafka: { brokers: ['${broker}'], createTopics: true, compression: zstd } }`;

function configOf(upstream: string, commitEvery = '0ms', compression = 'none'): string {
  return `
mqtt: { listeners: [{ bind: '127.0.0.1:0', broker: embedded }] }
routes: [{ name: telemetry, from: 'plant/#', to: { upstream: cloud, topic: telemetry } }]
upstreams: { cloud: ${upstream} }
buffer:
  { path: DIR/tidegate.db, bytes: 1GiB, commitEvery: ${commitEvery}, compression: ${compression} }
http: { bind: '127.0.0.1:0' }
`;
}

async function load(agent: Packaged, perSecond: number): Promise<Paced> {
  const pace: Pace = { port: agent.mqttPort, connections, perSecond, seconds };
  const { stdout } = await promisify(execFile)(process.execPath, [generator, JSON.stringify(pace)]);
  return JSON.parse(stdout) as Paced;
}

interface Place {
  readonly main: string;
  readonly directory: string;
}

async function memoryOf(
  place: Place,
  upstream: 'files' | 'kafka',
  target: string,
): Promise<MemoryFigures> {
  const config = configOf(target);
  const ready: number[] = [];
  for (let i = 1; i < Number(values.starts); i++) {
    const agent = await Packaged.start({ ...place, config });
    ready.push(agent.readyMs);
    await agent.stop();
  }
  const agent = await Packaged.start({ ...place, config });
  ready.push(agent.readyMs);
  await sleep(idleMs);
  const idleMib = agent.rssMib;
  agent.forgetPeak();
  const { acknowledged, seconds } = await load(agent, loadPerSecond);
  const loadedMib = agent.peakMib;
  await agent.stop();
  ready.sort((a, b) => a - b);
  const readyMs = ready[Math.floor(ready.length / 2)] ?? 0;
  return { upstream, readyMs, idleMib, loadedMib, perSecond: acknowledged / seconds };
}

async function inSmallBox(place: Place, broker: string): Promise<BoxFigures | string> {
  const box = smallBox(boxBytes, boxShare);
  if (typeof box === 'string') return box;
  try {
    const config = configOf(kafkaAt(broker));
    const agent = await Packaged.start({ ...place, config, prefix: box.prefix });
    const { acknowledged, seconds } = await load(agent, loadPerSecond);
    const { readyMs, peakMib } = agent;
    await agent.stop();
    return { readyMs, peakMib, perSecond: acknowledged / seconds, kills: box.kills() };
  } finally {
    box.close();
  }
}

async function wearOf(
  place: Place,
  broker: string,
  perSecond: number,
  [commitEvery, compression]: (typeof wearKnobs)[number],
): Promise<WearFigures> {
  const config = configOf(kafkaAt(broker), commitEvery, compression);
  const agent = await Packaged.start({ ...place, config });
  const before = writtenBytes(agent.pid);
  const paced = await load(agent, perSecond);
  await sleep(settleMs);
  const written = writtenBytes(agent.pid) - before;
  await agent.stop();
  const { acknowledged, payloadBytes } = paced;
  const writtenPerByte = written / payloadBytes;
  return {
    perSecond,
    commitEvery,
    compression,
    payloadBytes: payloadBytes / acknowledged,
    writtenPerByte,
    writtenPerDay: (written / paced.seconds) * secondsPerDay,
  };
}

async function measure(directory: string): Promise<Footprint> {
  const wants = (part: string): boolean => values.only === undefined || values.only === part;
  const tell = (text: string): void => void process.stderr.write(`${text}\n`);
  tell('building the agent as packages carry it');
  const place = { main: await buildPackaged(directory), directory };
  tell('starting Kafka');
  const kafka: Kafka = await startKafka();
  try {
    const memory: MemoryFigures[] = [];
    if (wants('memory')) {
      tell('memory, files as upstream');
      memory.push(await memoryOf(place, 'files', files));
      tell('memory, Kafka as upstream');
      memory.push(await memoryOf(place, 'kafka', kafkaAt(kafka.bootstrap)));
    }
    if (wants('box')) tell('a box of 192 MiB and half a core');
    const box = wants('box') ? await inSmallBox(place, kafka.bootstrap) : null;
    const wear: WearFigures[] = [];
    for (const perSecond of wants('wear') ? wearRates : []) {
      for (const knobs of wearKnobs) {
        tell(`wear, ${perSecond} messages/s, ${knobs.join(', ')}`);
        wear.push(await wearOf(place, kafka.bootstrap, perSecond, knobs));
      }
    }
    return { memory, box, wear };
  } finally {
    await kafka.stop();
  }
}

async function main(): Promise<number> {
  if (values.help) {
    process.stdout.write(help);
    return 0;
  }
  if (!['memory', 'box', 'wear', undefined].includes(values.only)) {
    process.stderr.write(`--only is memory, box or wear, not ${values.only}\n\n${help}`);
    return 64;
  }
  if (!(seconds > 0) || !(Number(values.starts) > 0)) {
    process.stderr.write(`--seconds and --starts are numbers above 0\n\n${help}`);
    return 64;
  }
  if (statfsSync(values.directory).type === tmpfsMagic) {
    process.stderr.write(`${values.directory} is memory, no flash: name a --directory\n\n${help}`);
    return 64;
  }
  const directory = mkdtempSync(join(values.directory, 'tidegate-footprint-'));
  try {
    const found = await measure(directory);
    process.stdout.write(tables(found));
    if (values.json) writeFileSync(values.json, `${JSON.stringify(found, null, 2)}\n`);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return 0;
}

process.exitCode = await main();
