/**
 * `tidegate size` is true: what it predicts is compared with the file that a real agent fills, with
 * a buffer filled until it holds, and with the bytes that the kernel counts as written for it.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { costOf, type Load } from '../agent/cli/size-model.ts';
import { AgentUnderTest } from './support/agent.ts';
import { BufferRig, laneSpec, optionsFor, routeTo, tempFolder } from './support/buffer-rig.ts';
import { publish, tidegate } from './support/cli.ts';
import { freePorts } from './support/ports.ts';
import { writtenBytes } from './support/process.ts';
import { randomFrom, seedOfRun } from './support/random.ts';

const mib = 1024 * 1024;
const tmpfsMagic = 0x01021994;
const segmentHeaderBytes = 64;
const here = fileURLToPath(new URL('..', import.meta.url));

function within(what: string, real: number, predicted: number, share: number): void {
  const off = Math.abs(predicted / real - 1);
  const both = `${what}: predicted ${Math.round(predicted)}, it is ${Math.round(real)}`;
  assert.ok(off <= share, `${both}: ${(off * 100).toFixed(1)} % off, ${share * 100} % allowed`);
}

/** A buffer of one lane that nobody reads. */
function rigAt(folder: string, bytes: number, reserveBytes = 64 * 1024): BufferRig {
  const rig = new BufferRig({
    options: optionsFor(join(folder, 'size.db'), { bytes, reserveBytes }),
    lanes: [laneSpec('cloud')],
    routes: [routeTo('telemetry', ['cloud/at-least-once'])],
  });
  rig.nowMs = 86_400_000;
  return rig;
}

const seed = seedOfRun();
const random = randomFrom(seed);
console.log(`seed ${seed}`);

/** Commits as events come at random: the sum of these is `messages`, their mean is as asked. */
function* messagesOfCommits(mean: number): Generator<number> {
  for (;;) {
    let messages = 1;
    for (let waited = -Math.log(random()); waited < mean - 1; messages++) {
      waited -= Math.log(random());
    }
    yield messages;
  }
}

const names = { topicName: 'plant/line-1/pump-0007/telemetry', device: 'pump-0007' };
const namesBytes = names.topicName.length + names.device.length;

test('a real agent’s file grows by what size says, for payloads of all sizes', async () => {
  const [closed = 1] = await freePorts(1);
  const { topicName, device } = names;
  for (const payloadBytes of [20, 200, 3_000, 20_000]) {
    await using agent = await AgentUnderTest.start({
      routes: [{ name: 'telemetry', from: '#', to: { upstream: 'far', topic: 't' } }],
      upstreams: { far: { kafka: { brokers: [`127.0.0.1:${closed}`] } } },
    });
    const file = join(agent.directory, 'tidegate.db');
    await agent.stop();
    const before = statSync(file).size;
    await agent.start();
    const count = payloadBytes > 1_000 ? 100 : 500;
    const payload = Buffer.alloc(payloadBytes, 'a');
    // Each waits for its PUBACK: one a commit.
    await publish(agent.mqttPort, device, Array(count).fill([topicName, payload]));
    await agent.stop();
    const grown = (statSync(file).size - before) / count;
    const load = { messagesPerSecond: 10, payloadBytes, namesBytes, commitEveryMs: 0, syncMs: 1 };
    // Numbers in a young file are short: a row more may fit into a page.
    within(`bytes an event of ${payloadBytes}`, grown, costOf(load).fileBytesPerMessage, 0.15);
  }
});

test('commits that several events share take the room that size says', () => {
  const loads = [
    { messagesPerSecond: 100, commitEveryMs: 20, payloadBytes: 500 },
    { messagesPerSecond: 100, commitEveryMs: 50, payloadBytes: 200 },
    { messagesPerSecond: 100, commitEveryMs: 50, payloadBytes: 600 },
    { messagesPerSecond: 5_000, commitEveryMs: 20, payloadBytes: 128 },
  ];
  for (const part of loads) {
    const load: Load = { ...part, namesBytes: 56, syncMs: 1 };
    const { eventBytes, messagesPerCommit, fileBytesPerMessage } = costOf(load);
    const folder = tempFolder();
    const rig = rigAt(folder.path, 1024 * mib);
    const before = rig.writer.gauges().fileBytes;
    let frames = 0;
    let commits = 0;
    for (const messages of messagesOfCommits(
      1 + (part.messagesPerSecond * part.commitEveryMs) / 1_000,
    )) {
      rig.append([messages], segmentHeaderBytes + messages * eventBytes);
      frames += messages;
      commits += 1;
      if (commits >= 600) break;
    }
    const grown = (rig.writer.gauges().fileBytes - before) / frames;
    rig.writer.stop();
    folder.remove();
    within('messages a commit', frames / commits, messagesPerCommit, 0.1);
    within(`bytes an event ${JSON.stringify(part)}`, grown, fileBytesPerMessage, 0.1);
  }
});

test('a buffer holds after as many hours as size says, and not before', async (t) => {
  const folder = tempFolder();
  t.after(() => folder.remove());
  const bytes = 64 * mib;
  const rig = rigAt(folder.path, bytes, 8 * mib);
  const eventBytes = 64 + 56 + 20_000;
  let taken = 0;
  while (rig.writer.mode === 'running' && taken < 1e6) {
    rig.append([1], segmentHeaderBytes + eventBytes);
    taken = rig.committed.length;
  }
  assert.equal(rig.writer.gauges().holding, 'full');
  rig.writer.stop();
  const config = join(folder.path, 'size.yaml');
  const [route, upstream] = [
    '{ name: a, from: "#", to: { upstream: u } }',
    '{ file: { directory: o } }',
  ];
  writeFileSync(
    config,
    `{ routes: [${route}], upstreams: { u: ${upstream} }, buffer: { bytes: 64MiB } }`,
  );
  const asked = ['--rate', '1/s', '--payload', '20000B', '--config', config, '--json'];
  const { out, code } = await tidegate(folder.path, 'size', ...asked);
  assert.equal(code, 0);
  const told = JSON.parse(out) as { lastsSeconds: number };
  within('messages until it holds', taken, told.lastsSeconds, 0.1);
});

test('what is written to the disk is what the kernel counts', () => {
  const parent = [tmpdir(), here].find((path) => statfsSync(path).type !== tmpfsMagic);
  assert.ok(parent, `neither ${tmpdir()} nor ${here} is on a disk: set TMPDIR to a folder that is`);
  for (const [messages, payloadBytes] of [
    [1, 20],
    [1, 200],
    [1, 4_000],
    [10, 200],
    [100, 200],
  ] as const) {
    const folder = mkdtempSync(join(parent, 'tidegate-size-'));
    const rig = rigAt(folder, 1024 * mib, 8 * mib);
    const load = {
      messagesPerSecond: messages,
      payloadBytes,
      namesBytes: 56,
      commitEveryMs: 0,
      syncMs: 1_000,
    };
    const { eventBytes, writtenBytesPerCommit } = costOf(load);
    const commits = 1_500;
    const before = writtenBytes(process.pid);
    for (let commit = 0; commit < commits; commit++) {
      rig.append([messages], segmentHeaderBytes + messages * eventBytes);
    }
    const written = (writtenBytes(process.pid) - before) / commits;
    rig.writer.stop();
    rmSync(folder, { recursive: true });
    within(`bytes written for ${messages} × ${payloadBytes}`, written, writtenBytesPerCommit, 0.2);
  }
});

test('size takes rate and payload with their units, and says what is wrong with them', async () => {
  const cases: [RegExp, ...string[]][] = [
    [
      /--rate 100 has no unit of time\. Write messages per second/,
      '--rate',
      '100',
      '--payload',
      '1KiB',
    ],
    [
      /--payload 200 has no unit\. Write a number with its unit/,
      '--rate',
      '1/s',
      '--payload',
      '200',
    ],
    [/--payload 0B: write at least 1B/, '--rate', '1/s', '--payload', '0B'],
    [
      /--payload 1MiB .* no message may have more than 448KiB/,
      '--rate',
      '1/s',
      '--payload',
      '1MiB',
    ],
    [/--rate 0\/s: that needs no buffer/, '--rate', '0/s', '--payload', '1KiB'],
    [/--hours 3h: write a number/, '--rate', '1/s', '--payload', '1KiB', '--hours', '3h'],
    [/--devices 0: write a number/, '--rate', '1/s', '--payload', '1KiB', '--devices', '0'],
    [
      /--commit-every 1s: write at most 50ms/,
      '--rate',
      '1/s',
      '--payload',
      '1B',
      '--commit-every',
      '1s',
    ],
    [/required option '--payload <size>'/, '--rate', '1/s'],
  ];
  const ended = await Promise.all(cases.map(([, ...args]) => tidegate(here, 'size', ...args)));
  for (const [index, { code, err, out }] of ended.entries()) {
    assert.match(err, cases[index]?.[0] as RegExp);
    assert.deepEqual([code, out], [64, '']);
  }
});

test('size shows the hours of a config, and which of its upstreams gives up before', async (t) => {
  const folder = tempFolder();
  t.after(() => folder.remove());
  const text = `
routes: [{ name: a, from: '#', to: [{ upstream: cloud }, { upstream: archive }] }]
upstreams:
  cloud: { kafka: { brokers: [127.0.0.1:9092] } }
  archive: { file: { directory: ./out }, lag: { bytes: 16MiB, over: skip } }
buffer: { bytes: 256MiB, whenFull: dropOldest, age: 1h, commitEvery: 10ms, compression: zstd }
`;
  writeFileSync(join(folder.path, 'tidegate.yaml'), text);
  const asked = ['size', '--rate', '100/s', '--payload', '200B', '--config', 'tidegate.yaml'];
  const [shown, json] = await Promise.all([
    tidegate(folder.path, ...asked),
    tidegate(folder.path, ...asked, '--json'),
  ]);
  assert.match(shown.out, /^\* 10ms /m);
  assert.match(shown.out, /buffer\.bytes 256MiB \(in tidegate\.yaml\) lasts 1h 4\dm/);
  assert.match(shown.out, /whenFull: dropOldest/);
  assert.match(shown.out, /^cloud\/at-least-once +as the buffer/m);
  assert.match(shown.out, /^archive\/at-least-once +\d+m \d+s +its oldest events are lost for it/m);
  assert.match(shown.out, /^buffer\.compression zstd is not counted/m);
  assert.match(shown.out, /But buffer\.age 1h drops events before that/);
  const told = JSON.parse(json.out);
  assert.equal(told.commitEveryMs, 10);
  assert.equal(told.present.bytes, 256 * mib);
  assert.deepEqual([told.present.compression, told.compressionCounted], ['zstd', false]);
  assert.deepEqual(
    told.choices.map((each: { commitEveryMs: number }) => each.commitEveryMs),
    [0, 5, 10, 20, 50],
  );
});
