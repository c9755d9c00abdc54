/**
 * The house rules as a test: which room may import what, how large files and functions may be, what
 * names may not say, what the top level holds. Each failure lists every place that breaks the rule.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { test } from 'node:test';
import {
  declaredNames,
  functionsOf,
  type Import,
  importsOf,
  packageOf,
  readSource,
  root,
  type Source,
  trackedPaths,
  wordsOf,
} from './support/source.ts';

const fileLinesMost = 400;
const fileLinesMedianMost = 120;
const pipelineLinesMost = 150;
const functionLinesMost = 70;
const columnsMost = 100;
const roomReadmeLinesMost = 60;
/** Not a room's README but what an operator reads from end to end. */
const operatorsBook = 'deploy/README.md';
const designLinesLeast = 2;

const topLevel = new Set(
  `agent wasm-core test deploy asconfig.json package.json package-lock.json tsconfig.json biome.json
  README.md LICENSE CHANGELOG.md SECURITY.md`.split(/\s+/),
);
const forbiddenWords = new Set(
  `manager managers helper helpers util utils misc common handler handlers processor processors
  data info`.split(/\s+/),
);
const shared = new Set(['errors', 'events', 'bounds', 'heap-flags'].map((n) => `agent/${n}.ts`));
const underCli = new Set([
  'agent/agent.ts',
  'agent/bridge-part.ts',
  'agent/fleet-part.ts',
  'agent/kept.ts',
  'agent/nats-client.ts',
  'agent/nats-link.ts',
  'agent/notify-socket.ts',
  'agent/watchdog.ts',
]);
/** Client libraries: each in exactly one file. */
const clients =
  `mqtt nats koffi @platformatic/kafka aedes pino pino-pretty better-sqlite3 amqplib rhea
  fastify @assemblyscript/loader`.split(/\s+/);
const onlyIn: Readonly<Record<string, RegExp>> = {
  'better-sqlite3': /^agent\/buffer\//,
  '@assemblyscript/loader': /^agent\/frames\//,
  '@platformatic/kafka': /^agent\/egress\//,
  mqtt: /^agent\/mqtt-client\.ts$/,
  koffi: /^agent\/notify-socket\.ts$/,
  nats: /^agent\/nats-client\.ts$/,
  ws: /^agent\/websocket\.ts$/,
  aedes: /^agent\/broker\//,
  pino: /^agent\/telemetry\//,
  valibot: /^agent\/config\//,
  yaml: /^agent\/config\//,
  commander: /^agent\/(cli\/|main\.ts)/,
};
const oracles = ['fast-check', 'mqtt-packet', 'typescript', 'assemblyscript'];

const paths = trackedPaths();
const code = paths
  .filter((path) => /^(agent|wasm-core|test|deploy)\/.*\.(ts|sql)$/.test(path))
  .map((path) => readSource(path));
const scripts = code.filter(({ path }) => path.endsWith('.ts'));
const agent = scripts.filter(({ path }) => path.startsWith('agent/'));

function none(places: readonly string[], rule: string): void {
  assert.deepEqual(places, [], `${rule}:\n  ${places.join('\n  ')}`);
}

function eachLine(sources: readonly Source[], pattern: RegExp): string[] {
  return sources.flatMap(({ path, lines }) =>
    lines.flatMap((line, at) => (pattern.test(line) ? `${path}:${at + 1} ${line.trim()}` : [])),
  );
}

function roomOf(path: string): string | null {
  return /^agent\/([^/]+)\//.exec(path)?.[1] ?? null;
}

function runtimeImports(source: Source): Import[] {
  return importsOf(source).filter((one) => !one.typeOnly);
}

function mayImport(from: string, to: string): boolean {
  const room = roomOf(from);
  if (!to.startsWith('agent/')) return to === 'package.json';
  if (room === null) return to !== 'agent/main.ts';
  if (shared.has(to) || roomOf(to) === room) return true;
  if (room !== 'cli') return false;
  return roomOf(to) !== null || underCli.has(to);
}

test('the reader of the source sees what it has to', () => {
  const body = Array.from({ length: functionLinesMost }, () => '    step();');
  const source = (...lines: string[]): Source => ({ path: 'agent/ingress/x.ts', lines });
  const long = source(
    'class A {',
    '  walk(',
    '    far: number,',
    '  ): void {',
    ...body,
    '  }',
    '}',
  );
  assert.deepEqual(
    functionsOf(long).map(({ line, length }) => [line, length]),
    [[4, functionLinesMost + 2]],
  );
  const imports = importsOf(
    source(
      "import type { A } from '../buffer/a.ts';",
      'import {',
      '  b,',
      "} from '../buffer/b.ts';",
      "const c = await import('../buffer/c.ts');",
      "export { d } from '../buffer/d.ts';",
    ),
  );
  assert.deepEqual(imports.map(({ file, typeOnly }) => [file, typeOnly]).toSorted(), [
    ['agent/buffer/a.ts', true],
    ['agent/buffer/b.ts', false],
    ['agent/buffer/c.ts', false],
    ['agent/buffer/d.ts', false],
  ]);
  assert.equal(mayImport('agent/ingress/x.ts', 'agent/buffer/b.ts'), false);
  assert.equal(mayImport('agent/ingress/x.ts', 'agent/bounds.ts'), true);
  assert.deepEqual(wordsOf('mqttDataHandler'), ['mqtt', 'data', 'handler']);
});

test('rooms do not import one another: errors, events, bounds and themselves only', () => {
  const wrong = agent.flatMap((source) =>
    runtimeImports(source)
      .filter(({ file }) => file !== null && !mayImport(source.path, file))
      .map(({ file }) => `${source.path} imports ${file}`),
  );
  none(wrong, 'main → agent → pipeline → rooms; import type is free');
});

test('errors, events and bounds stand below every room', () => {
  const wrong = agent
    .filter(({ path }) => shared.has(path))
    .flatMap((source) =>
      runtimeImports(source).map(({ from }) => `${source.path} imports ${from}`),
    );
  none(wrong, 'they import nothing');
});

test('only frames/ touches WebAssembly', () => {
  const outside = agent.filter(({ path }) => !path.startsWith('agent/frames/'));
  none(eachLine(outside, /\bWebAssembly\./), 'WebAssembly outside of frames/');
});

test('each client library is imported in exactly one file, and in its room', () => {
  const wrong: string[] = [];
  const users = new Map<string, string[]>();
  // The demo's devices stand at the network's far side.
  for (const source of agent.filter(({ path }) => !path.startsWith('agent/cli/demo/'))) {
    for (const name of new Set(runtimeImports(source).map(({ from }) => packageOf(from)))) {
      users.set(name, [...(users.get(name) ?? []), source.path]);
      if (onlyIn[name]?.test(source.path) === false) wrong.push(`${source.path} imports ${name}`);
      if (oracles.includes(name)) wrong.push(`${source.path} imports ${name}, which is for tests`);
    }
  }
  for (const name of clients) {
    const files = users.get(name) ?? [];
    if (files.length > 1) wrong.push(`${name} in ${files.join(', ')}`);
  }
  none(wrong, 'one file a client library');
});

test('the agent never imports its tests, and prints only from cli/', () => {
  const wrong = agent.flatMap((source) =>
    importsOf(source)
      .filter(({ file }) => file?.startsWith('test/') === true)
      .map(({ file }) => `${source.path} imports ${file}`),
  );
  none(wrong, 'imports of test/');
  const quiet = agent.filter(({ path }) => roomOf(path) !== 'cli' && path !== 'agent/main.ts');
  none(eachLine(quiet, /\bconsole\.|process\.std(out|err)\.write/), 'printed outside of cli/');
});

test(`no file has more than ${fileLinesMost} lines, and the median is small`, () => {
  const long = code
    .filter(({ lines }) => lines.length > fileLinesMost)
    .map(({ path, lines }) => `${path} ${lines.length}`);
  none(long, `longer than ${fileLinesMost} lines`);
  const sizes = code.map(({ lines }) => lines.length).sort((a, b) => a - b);
  const median = sizes[Math.floor(sizes.length / 2)] ?? 0;
  assert.ok(median <= fileLinesMedianMost, `the median is ${median} lines`);
});

test(`the path stands on one screen: pipeline.ts has at most ${pipelineLinesMost} lines`, () => {
  assert.ok(readSource('agent/pipeline.ts').lines.length <= pipelineLinesMost);
});

test(`no function is longer than ${functionLinesMost} lines`, () => {
  const long = scripts.flatMap((source) =>
    functionsOf(source)
      .filter(({ length }) => length > functionLinesMost)
      .map(({ line, length, head }) => `${source.path}:${line} ${length} lines: ${head}`),
  );
  none(long, `longer than ${functionLinesMost} lines`);
});

test(`no line is wider than ${columnsMost} columns`, () => {
  const wide = new RegExp(`^(?!#!).{${columnsMost + 1}}`, 'u');
  none(eachLine(code, wide), `wider than ${columnsMost}`);
});

test('no any, no default export, no enum, no barrel file', () => {
  const own = scripts.filter(({ path }) => path !== 'test/tidy.test.ts');
  none(eachLine(own, /^[^*/'"]*(: any\b|<any\b|\bas any\b)/), 'any');
  none(eachLine(own, /^export default\b/), 'default export');
  none(eachLine(own, /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s/), 'enum');
  none(eachLine(own, /^export \*|^export \{[^}]*\} from/), 'passed on from another file');
});

test('a file begins with its design', () => {
  const bare = code.filter(({ path, lines }) => {
    const first = lines[0]?.startsWith('#!') === true ? 1 : 0;
    if (path.endsWith('.sql')) return !/^--/.test(lines[0] ?? '');
    if (!/^\/\*\*/.test(lines[first] ?? '')) return true;
    const end = lines.findIndex((line) => line.includes('*/'));
    return lines.slice(first, end).filter((line) => /^ \* \S/.test(line)).length < designLinesLeast;
  });
  none(
    bare.map(({ path }) => path),
    `no comment of at least ${designLinesLeast} lines at the top`,
  );
});

test('names do not say manager, helper, util, misc, common, handler, processor, data, info', () => {
  const wrong = code.flatMap((source) => {
    const names = [basename(source.path), ...declaredNames(source)];
    return names
      .filter((name) => wordsOf(name).some((word) => forbiddenWords.has(word)))
      .map((name) => `${source.path}: ${name}`);
  });
  none(wrong, 'say what it is instead');
});

test(`each room has a README of at most ${roomReadmeLinesMost} lines`, () => {
  const rooms = new Set(agent.map(({ path }) => roomOf(path)).filter((room) => room !== null));
  const places = [...[...rooms].map((room) => `agent/${room}`), 'wasm-core', 'test', 'deploy'];
  const wrong = places.flatMap((place) => {
    const path = `${place}/README.md`;
    if (!existsSync(join(root, path))) return `${path} is missing`;
    const { length } = readSource(path).lines;
    return length > roomReadmeLinesMost && path !== operatorsBook
      ? `${path} has ${length} lines`
      : [];
  });
  none(wrong, 'README of a room');
});

test('the top level holds what the layout names and nothing else', () => {
  const entries = new Set(paths.map((path) => path.split('/')[0] ?? ''));
  const wrong = [...entries].filter((entry) => !entry.startsWith('.') && !topLevel.has(entry));
  none(wrong, 'not in the layout');
});

test('no file names the machine it was written on', () => {
  // Put together here, so that this file does not name them itself.
  const places = ['/wo' + 'rk/', '/ro' + 'ot/', '/ho' + 'me/'].join('|');
  const machine = new RegExp(`(^|[\\s"'\`=(:])(${places})|https?://registry\\.np${'mjs'}`);
  const text = paths.filter((path) => !/\.(png|ico|wasm|bin|gif|jpg)$/.test(path));
  const wrong = text.flatMap((path) => eachLine([readSource(path)], machine));
  none(wrong, 'machine paths or registry hosts');
});
