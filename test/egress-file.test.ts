/**
 * Files as an upstream: what is confirmed is on disk, in whole lines only, whatever interrupted it:
 * a torn line, a rotation, a file that was moved away, a folder that may not be written.
 */
import assert from 'node:assert/strict';
import { appendFileSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { FileUpstream } from '../agent/egress/file.ts';
import { FileLog } from '../agent/egress/file-log.ts';
import type { Frame } from '../agent/egress/record.ts';
import { FakeLog, frameOf, LaneRig, routeOf, waitFor } from './support/egress-rig.ts';

const folders: string[] = [];
const rigs: LaneRig[] = [];

after(async () => {
  await Promise.all(rigs.map((rig) => rig.forwarder.stop()));
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'tidegate-file-'));
  folders.push(made);
  return made;
}

function laneTo(directory: string, rotateBytes = 0): LaneRig {
  const log = new FakeLog();
  log.routes.set(1, routeOf({ topic: '{topic}' }));
  const options = { directory, name: 'archive', rotateBytes, rotateEveryMs: 0 };
  const rig = new LaneRig(
    log,
    (sink) => new FileUpstream(options, { sink, random: Math.random, once: false }),
    { binding: 'file' },
  );
  rigs.push(rig);
  return rig;
}

interface Line {
  readonly topic: string;
  readonly key: string;
  readonly headers: Record<string, string | string[]>;
  readonly value?: string;
  readonly valueBase64?: string;
}

function linesIn(directory: string): Line[] {
  const lines: Line[] = [];
  for (const name of readdirSync(directory).sort()) {
    const text = readFileSync(join(directory, name), 'utf8');
    assert.ok(text === '' || text.endsWith('\n'), `${name} ends with a whole line`);
    for (const line of text.split('\n').slice(0, -1)) lines.push(JSON.parse(line) as Line);
  }
  return lines;
}

const numbered = (count: number, first = 0): Frame[] =>
  Array.from({ length: count }, (_, i) => frameOf({ device: `d${i % 3}`, value: `${first + i}` }));

test('a file has one JSON object a line, bytes that are not UTF-8 in base64', async () => {
  const directory = await folder();
  const rig = laneTo(directory);
  rig.log.properties = () => ({
    userProperties: [
      ['unit', 'C'],
      ['unit', 'K'],
      ['__proto__', 'x'],
    ],
    correlationData: Buffer.from([0xff, 0x00]),
  });
  rig.append([
    frameOf({ value: 'line\nfeed "ä"', properties: new Uint8Array(1) }),
    frameOf({ payload: Buffer.from([0xff, 0x00]) }),
  ]);
  rig.start();
  await rig.settledAll();
  const [first, second] = linesIn(join(directory));
  assert.equal(first?.topic, 'plant/d1/telemetry');
  assert.equal(first?.key, 'd1');
  assert.equal(first?.value, 'line\nfeed "ä"');
  assert.deepEqual(first?.headers.unit, ['C', 'K']);
  assert.equal(first?.headers.ce_type, 'telemetry');
  assert.equal(first?.headers['mqtt-correlation-data'], '/wA=');
  assert.equal(second?.valueBase64, '/wA=');
  assert.equal('value' in (second ?? {}), false);
});

test('a file upstream cuts a torn last line at start and writes that record again', async () => {
  const directory = await folder();
  const path = join(directory, 'archive.jsonl');
  appendFileSync(path, '{"topic":"t","key":null,"headers":{},"value":"whole"}\n{"topic":"t","va');
  const rig = laneTo(directory);
  rig.append(numbered(2));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(
    linesIn(directory).map(({ value }) => value),
    ['whole', '0', '1'],
  );
});

test('a file upstream cuts a torn line that is longer than one read', async () => {
  const directory = await folder();
  const path = join(directory, 'archive.jsonl');
  appendFileSync(path, `{"a":1}\n${'x'.repeat(300_000)}`);
  const log = new FileLog({ directory, name: 'archive', rotateBytes: 0, rotateEveryMs: 0 });
  assert.equal(await log.open(), 300_000);
  assert.equal(log.length, 8);
  await log.close();
  assert.equal(readFileSync(path, 'utf8'), '{"a":1}\n');
});

test('a file upstream rotates by size and loses no line between two files', async () => {
  const directory = await folder();
  const rig = laneTo(directory, 2_000);
  rig.start();
  for (let i = 0; i < 20; i++) {
    rig.append(numbered(5, i * 5));
    await rig.settledAll();
  }
  const names = readdirSync(directory);
  assert.ok(names.length > 3, names.join());
  assert.ok(names.includes('archive.jsonl'));
  assert.deepEqual(
    linesIn(directory)
      .map(({ value }) => Number(value))
      .sort((a, b) => a - b),
    Array.from({ length: 100 }, (_, i) => i),
  );
});

test('a file upstream makes its file anew when somebody moved it away', async () => {
  const directory = await folder();
  const rig = laneTo(directory);
  rig.start();
  rig.append(numbered(3));
  await rig.settledAll();
  renameSync(join(directory, 'archive.jsonl'), join(directory, 'archive-old.jsonl'));
  rig.append(numbered(3, 3));
  await rig.settledAll();
  assert.deepEqual(
    linesIn(directory).map(({ value }) => value),
    ['0', '1', '2', '3', '4', '5'],
  );
});

test('a file upstream halts where it may not write, and an operator resumes it', async () => {
  const directory = await folder();
  const blocked = join(directory, 'out');
  appendFileSync(blocked, 'a file where a folder should be');
  const rig = laneTo(blocked);
  rig.append(numbered(3));
  rig.start();
  await waitFor(() => rig.states.includes('halted') || rig.events.length > 0);
  assert.equal(rig.settled, 0);
  await rm(blocked);
  rig.forwarder.resume();
  await rig.settledAll();
  assert.equal(linesIn(blocked).length, 3);
});
