/**
 * Kafka as an upstream, against a real Apache Kafka: what is confirmed can be read back, in order
 * per key, whatever happened to the broker in between; what Kafka refuses is buried alone.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RouteTarget } from '../agent/buffer/protocol.ts';
import { type Compression, KafkaClient } from '../agent/egress/kafka.ts';
import { KafkaUpstream } from '../agent/egress/kafka-upstream.ts';
import type { Frame } from '../agent/egress/record.ts';
import type { UpstreamSink } from '../agent/egress/upstream.ts';
import {
  epoch,
  FakeLog,
  frameOf,
  LaneRig,
  routeOf,
  seeded,
  waitFor,
} from './support/egress-rig.ts';
import { type ConsumedRecord, type Kafka, startKafka } from './support/kafka.ts';

const seed = Number(process.env.TIDEGATE_TEST_SEED ?? Date.now() % 1_000_000);
console.log(`seed ${seed}`);
const drawn = seeded(seed);
/** Jitter as it is, but short: tests wait for it. */
const random = () => drawn() * 0.05;
let kafka: Kafka;
const rigs: LaneRig[] = [];

interface RigOptions {
  readonly target: Partial<RouteTarget>;
  readonly compression?: Compression;
  readonly createTopics?: boolean;
  readonly maxTopics?: number;
  readonly once?: boolean;
  readonly requestTimeoutMs?: number;
}

function laneTo(bootstrap: string, options: RigOptions): LaneRig {
  const [host = '', port = ''] = bootstrap.split(':');
  const log = new FakeLog();
  const once = options.once ?? false;
  const lane = `cloud/${once ? 'at-most-once' : 'at-least-once'}`;
  log.routes.set(1, routeOf({ ...options.target, lane }));
  const upstream = (sink: UpstreamSink) => {
    const client = new KafkaClient({
      brokers: [{ host, port: Number(port) }],
      clientId: 'test',
      requestTimeoutMs: options.requestTimeoutMs ?? 15_000,
    });
    const settings = {
      compression: options.compression ?? 'zstd',
      createTopics: options.createTopics ?? false,
      maxTopics: options.maxTopics ?? 100,
      lingerMs: 0,
    };
    const tuning = { refreshEveryMs: 200 };
    return new KafkaUpstream(settings, { client, sink, random, once, tuning });
  };
  const rig = new LaneRig(log, upstream, {
    spec: {
      lane,
      upstream: 'cloud',
      delivery: once ? 'at-most-once' : 'at-least-once',
      lag: { bytes: 0, ageMs: 0, over: 'hold' },
      from: 'oldest',
    },
    random,
  });
  rigs.push(rig);
  return rig;
}

/** `count` frames of `devices` devices, numbered from `first` over all of them. */
function burst(first: number, count: number, devices = 20): Frame[] {
  return Array.from({ length: count }, (_, i) => {
    const device = `d${(first + i) % devices}`;
    return frameOf({ device, value: JSON.stringify({ n: first + i }) });
  });
}

const numberOf = (record: ConsumedRecord): number =>
  (JSON.parse(record.value.toString()) as { n: number }).n;

/** Each number once or more, and first arrivals of each key in rising order. */
function assertLedger(records: readonly ConsumedRecord[], count: number): number {
  const seen = new Set<number>();
  const last = new Map<string, number>();
  for (const record of records) {
    const n = numberOf(record);
    if (seen.has(n)) continue;
    seen.add(n);
    const key = record.key ?? '';
    assert.ok(n > (last.get(key) ?? -1), `${key}: ${n} arrived behind ${last.get(key)}`);
    last.set(key, n);
  }
  assert.equal(seen.size, count, 'every frame that was confirmed is in Kafka');
  return records.length - seen.size;
}

before(async () => {
  kafka = await startKafka();
});

after(async () => {
  await Promise.all(rigs.map((rig) => rig.forwarder.stop()));
  await kafka?.stop();
});

for (const compression of ['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const) {
  test(`what is confirmed is read back whole with compression ${compression}`, async () => {
    const topic = `packed-${compression}`;
    await kafka.createTopic(topic, { partitions: 3 });
    const rig = laneTo(kafka.bootstrap, { target: { topic }, compression });
    rig.append(burst(0, 1_000));
    rig.start();
    await rig.settledAll();
    assert.equal(rig.outcomes.confirmed, 1_000);
    const records = await kafka.consumeAll([topic]);
    assert.equal(assertLedger(records, 1_000), 0, 'nothing came twice');
    const first = records.find((record) => numberOf(record) === 7);
    assert.deepEqual(
      { key: first?.key, timestampMs: first?.timestampMs, headers: { ...first?.headers } },
      {
        key: 'd7',
        timestampMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
        headers: {
          ce_specversion: '1.0',
          ce_type: 'telemetry',
          ce_source: '//gw1/mqtt/d7',
          ce_subject: 'plant/d7/telemetry',
          ce_id: `gw1/${epoch}/7`,
          ce_time: '2026-01-02T03:04:05.678Z',
          'tidegate-via': 'gw1',
        },
      },
    );
  });
}

test('a Kafka that is absent at start is waited for, and the lane says so', async () => {
  const late = await startKafka({ down: true });
  try {
    const rig = laneTo(late.bootstrap, { target: { topic: 'late' }, createTopics: true });
    rig.append(burst(0, 300));
    rig.start();
    await waitFor(() => rig.events.some(({ name }) => name === 'laneRetrying'));
    assert.deepEqual(rig.states, ['connecting']);
    assert.equal(rig.settled, 0);
    await late.restart();
    await rig.settledAll();
    assert.equal(assertLedger(await late.consumeAll(['late']), 300), 0);
    assert.equal(rig.states.includes('forwarding'), true);
    await rig.forwarder.stop();
  } finally {
    await late.stop();
  }
});

test('a broker killed in mid-load costs no record and no key its order', async () => {
  await kafka.createTopic('killed', { partitions: 5 });
  const rig = laneTo(kafka.bootstrap, { target: { topic: 'killed' } });
  rig.start();
  let sent = 0;
  const load = setInterval(() => {
    rig.append(burst(sent, 200));
    sent += 200;
  }, 20);
  await waitFor(() => rig.outcomes.confirmed > 2_000);
  await kafka.kill();
  await sleep(1_000);
  assert.ok(rig.states.includes('backing-off'), 'the lane says that it waits');
  await kafka.restart();
  await sleep(500);
  clearInterval(load);
  await rig.settledAll(sent);
  assert.equal(rig.outcomes.confirmed, sent);
  assertLedger(await kafka.consumeAll(['killed']), sent);
});

test('a batch whose answer is late is sent under the same sequence: none twice', async () => {
  await kafka.createTopic('frozen', { partitions: 2 });
  const rig = laneTo(kafka.bootstrap, { target: { topic: 'frozen' }, requestTimeoutMs: 1_500 });
  rig.start();
  rig.append(burst(0, 100));
  await rig.settledAll();
  rig.events.length = 0;
  kafka.freeze();
  // The requests lie in the frozen broker's sockets: it will answer them, but too late.
  rig.append(burst(100, 1_000));
  await waitFor(() => rig.events.some(({ name }) => name === 'laneRetrying'));
  await sleep(2_000);
  kafka.thaw();
  await rig.settledAll(1_100);
  assert.equal(assertLedger(await kafka.consumeAll(['frozen']), 1_100), 0, 'nothing came twice');
});

test('a record that is too large is buried alone; the others arrive', async () => {
  await kafka.createTopic('small', { configs: { 'max.message.bytes': '4000' } });
  const rig = laneTo(kafka.bootstrap, { target: { topic: 'small' }, compression: 'none' });
  const frames = burst(0, 200);
  frames[77] = frameOf({ device: 'd17', value: 'x'.repeat(5_000) });
  rig.append(frames);
  rig.start();
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 199);
  assert.deepEqual(
    rig.buried.map(({ frame, reason, body }) => [frame, reason, body.length]),
    [[77, 'recordTooLarge', 5_004]],
  );
  const records = await kafka.consumeAll(['small']);
  assert.equal(assertLedger(records, 199), 0);
  assert.ok(rig.events.some(({ name }) => name === 'recordBuried'));
});

test('what goes to an unknown topic is held, or buried when the route says so', async () => {
  const burying = laneTo(kafka.bootstrap, { target: { topic: 'nowhere', unknownTopic: 'bury' } });
  const holding = laneTo(kafka.bootstrap, { target: { topic: 'someday' } });
  for (const rig of [burying, holding]) {
    rig.append(burst(0, 50));
    rig.start();
  }
  await burying.settledAll();
  assert.equal(burying.outcomes.buried, 50);
  assert.equal(burying.buried[0]?.reason, 'topicUnknown');
  assert.equal(holding.settled, 0, 'nothing is given up');
  await waitFor(() => holding.events.some(({ fields }) => fields.code === 'topicUnknown'));
  await kafka.createTopic('someday');
  await holding.settledAll(50);
  assert.equal(assertLedger(await kafka.consumeAll(['someday']), 50), 0);
});

test('topics are created when told to, up to maxTopics; the rest is buried', async () => {
  const rig = laneTo(kafka.bootstrap, {
    target: { topic: 'made.{device}' },
    createTopics: true,
    maxTopics: 3,
  });
  rig.append(burst(0, 100, 5));
  rig.start();
  await rig.settledAll();
  assert.deepEqual(
    [rig.outcomes.confirmed, rig.outcomes.buried, rig.buried[0]?.reason],
    [60, 40, 'tooManyTopics'],
  );
  const topics = (await kafka.listTopics()).filter((name) => name.startsWith('made.'));
  assert.deepEqual(topics.sort(), ['made.d0', 'made.d1', 'made.d2']);
});

test('new partitions of a real broker cost no key its order', async () => {
  const configs = { 'message.timestamp.type': 'LogAppendTime' };
  await kafka.createTopic('grown', { partitions: 1, configs });
  const rig = laneTo(kafka.bootstrap, { target: { topic: 'grown' } });
  rig.start();
  let sent = 0;
  const load = setInterval(() => {
    rig.append(burst(sent, 100));
    sent += 100;
  }, 5);
  await waitFor(() => rig.outcomes.confirmed > 1_000);
  await kafka.addPartitions('grown', 4);
  await sleep(1_500);
  clearInterval(load);
  await rig.settledAll(sent);
  const records = await kafka.consumeAll(['grown']);
  assertLedger(records, sent);
  const moved = new Set(records.filter((r) => r.partition > 0).map((r) => r.key));
  assert.ok(moved.size > 0, 'keys moved to new partitions');
  for (const key of moved) {
    const times = (old: boolean) =>
      records.filter((r) => r.key === key && (r.partition === 0) === old).map((r) => r.timestampMs);
    assert.ok(Math.max(...times(true)) <= Math.min(...times(false)), `${key} kept its order`);
  }
});

test('an at-most-once record is sent after its cursor is on disk, and once', async () => {
  await kafka.createTopic('once');
  const rig = laneTo(kafka.bootstrap, { target: { topic: 'once' }, once: true });
  rig.answers = false;
  rig.append(burst(0, 100));
  rig.start();
  await waitFor(() => rig.outcomes.sentOnce === 100);
  await sleep(300);
  assert.equal((await kafka.consumeAll(['once'])).length, 0, 'the cursor was not confirmed');
  rig.answers = true;
  const last = rig.advances.at(-1);
  assert.equal(last?.now, true, 'its cursor is committed at once');
  rig.forwarder.heard({ kind: 'advanced', lane: rig.forwarder.lane, id: last?.id ?? 0 });
  let arrived: ConsumedRecord[] = [];
  for (let i = 0; i < 50 && arrived.length < 100; i++) {
    await sleep(50);
    arrived = await kafka.consumeAll(['once']);
  }
  assert.equal(assertLedger(arrived, 100), 0);
});
