/**
 * The Kafka upstream against answers that a test gives: the error classes, sequences and waiting
 * that a real broker shows only by luck. The real one is in kafka-upstream.test.ts.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Reader, readRecordsBatch } from '@platformatic/kafka';
import type {
  PartitionAnswer,
  PartitionBatch,
  TopicAnswer,
} from '../agent/egress/kafka-answers.ts';
import type { ProducerIdentity } from '../agent/egress/kafka-batch.ts';
import { type KafkaCalls, KafkaUpstream } from '../agent/egress/kafka-upstream.ts';
import { positiveMurmur2 } from '../agent/egress/murmur2.ts';
import type { Frame } from '../agent/egress/record.ts';
import type { UpstreamSink } from '../agent/egress/upstream.ts';
import { TidegateError } from '../agent/errors.ts';
import { FakeLog, frameOf, LaneRig, routeOf, waitFor } from './support/egress-rig.ts';

interface Sent {
  readonly partition: number;
  readonly values: string[];
  readonly producerId: number;
  readonly firstSequence: number;
  readonly wire: Buffer;
}

const good: PartitionAnswer = { errorCode: 0, detail: null };

class AnsweredKafka implements KafkaCalls {
  partitions = 1;
  topicId = 'id-1';
  topicCode = 0;
  identities = 0;
  readonly sent: Sent[] = [];
  /** The error code of each batch; a promise holds the answer back; a throw is no answer. */
  answer: (sent: Sent) => number | Promise<number> = () => 0;

  async connect(): Promise<void> {}
  async close(): Promise<void> {}
  async createTopics(): Promise<ReadonlyMap<string, number>> {
    return new Map();
  }
  async identity(): Promise<ProducerIdentity> {
    this.identities += 1;
    return { producerId: BigInt(this.identities), epoch: 0 };
  }
  async topics(names: readonly string[]): Promise<TopicAnswer[]> {
    const leaders = Array.from({ length: this.partitions }, () => 1);
    const bad = this.topicCode !== 0;
    return names.map((name) => ({
      name,
      id: this.topicId,
      errorCode: this.topicCode,
      leaders: bad ? [] : leaders,
    }));
  }
  async produce(_broker: number, batches: readonly PartitionBatch[]): Promise<PartitionAnswer[]> {
    const codes = batches.map(({ partition, wire }) => {
      const bytes = Buffer.from(wire);
      const read = readRecordsBatch(Reader.from(bytes));
      const sent = {
        partition,
        values: read.records.map(({ value }) => String(value)),
        producerId: Number(read.producerId),
        firstSequence: read.firstSequence,
        wire: bytes,
      };
      this.sent.push(sent);
      return this.answer(sent);
    });
    return (await Promise.all(codes)).map((errorCode) => ({ ...good, errorCode }));
  }

  get values(): string[] {
    return this.sent.flatMap(({ values }) => values);
  }
}

const rigs: LaneRig[] = [];
afterEach(async () => {
  await Promise.all(rigs.splice(0).map((rig) => rig.forwarder.stop()));
});

function lane(target = {}, records = 1_000): [LaneRig, AnsweredKafka] {
  const log = new FakeLog();
  log.routes.set(1, routeOf(target));
  const client = new AnsweredKafka();
  const upstream = (sink: UpstreamSink) =>
    new KafkaUpstream(
      { compression: 'none', createTopics: false, maxTopics: 10, lingerMs: 0 },
      {
        client,
        sink,
        random: () => 0.01,
        once: false,
        tuning: { refreshEveryMs: 20, batches: { bytes: 100_000, records } },
      },
    );
  const rig = new LaneRig(log, upstream, { random: () => 0.01 });
  rigs.push(rig);
  rig.start();
  return [rig, client];
}

const values = (from: number, count: number, device = 'd1'): Frame[] =>
  Array.from({ length: count }, (_, i) => frameOf({ device, value: String(from + i) }));

test('a Kafka partition has one batch in flight and goes on where the last one ended', async () => {
  const [rig, client] = lane({}, 10);
  let open = 0;
  client.answer = async () => {
    open += 1;
    assert.equal(open, 1);
    await sleep(2);
    open -= 1;
    return 0;
  };
  rig.append(values(0, 35));
  await rig.settledAll();
  assert.deepEqual(
    client.values,
    values(0, 35).map(({ payload }) => String(payload)),
  );
  assert.deepEqual(
    client.sent.map(({ firstSequence, values: { length } }) => [firstSequence, length]),
    [
      [0, 10],
      [10, 10],
      [20, 10],
      [30, 5],
    ],
  );
});

test('an unanswered batch is sent again byte for byte until it is confirmed', async () => {
  const [rig, client] = lane();
  const fails = [
    () => Promise.reject(new TidegateError('upstreamUnreachable', 'reset')),
    () => 7,
    () => 19,
    () => -1,
    () => 9_999,
  ];
  client.answer = () => fails.shift()?.() ?? 0;
  rig.append(values(0, 5));
  await rig.settledAll();
  assert.equal(client.sent.length, 6);
  for (const { wire } of client.sent) assert.deepEqual(wire, client.sent[0]?.wire);
  rig.append(values(5, 1));
  await rig.settledAll();
  assert.equal(client.sent.at(-1)?.firstSequence, 5);
});

test('a Kafka partition takes a repeat that the log already has as confirmed', async () => {
  const [rig, client] = lane();
  client.answer = () => 46;
  rig.append(values(0, 5));
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 5);
  assert.equal(client.sent.length, 1);
});

test('a new sequence begins when the broker has forgotten this producer', async () => {
  for (const code of [45, 47, 59]) {
    const [rig, client] = lane();
    rig.append(values(0, 3));
    await rig.settledAll();
    const answers = [code, 0];
    client.answer = () => answers.shift() ?? 0;
    rig.append(values(3, 2));
    await rig.settledAll();
    rig.append(values(5, 1));
    await rig.settledAll();
    assert.deepEqual(
      client.sent.map((sent) => [sent.producerId, sent.firstSequence, sent.values.join()]),
      [
        [1, 0, '0,1,2'],
        [1, 3, '3,4'],
        [2, 0, '3,4'],
        [2, 2, '5'],
      ],
    );
  }
});

test('a refused batch is halved until the bad record is alone; no gap is left', async () => {
  for (const [code, reason] of [
    [10, 'recordTooLarge'],
    [87, 'recordInvalid'],
    [32, 'recordInvalid'],
  ] as const) {
    const [rig, client] = lane();
    client.answer = ({ values: all }) => (all.includes('5') ? code : 0);
    rig.append(values(0, 9));
    await rig.settledAll();
    assert.deepEqual([rig.outcomes.confirmed, rig.outcomes.buried], [8, 1]);
    assert.equal(rig.buried[0]?.reason, reason);
    assert.equal(rig.buried[0]?.frame, 5);
    const stored = client.sent.filter((sent) => !sent.values.includes('5'));
    assert.deepEqual(
      stored.flatMap((sent) => sent.values),
      ['0', '1', '2', '3', '4', '6', '7', '8'],
    );
    let next = 0;
    for (const sent of stored) {
      assert.equal(sent.firstSequence, next);
      next += sent.values.length;
    }
  }
});

test('a Kafka partition holds only its own records while it stalls', async () => {
  const [rig, client] = lane();
  client.partitions = 2;
  const devices = ['a', 'b', 'c', 'd', 'e', 'f'];
  const stalled = Promise.withResolvers<number>();
  let firstOfNone = true;
  client.answer = ({ partition }) => {
    if (partition !== 0) return 0;
    if (firstOfNone) {
      firstOfNone = false;
      return 19;
    }
    return stalled.promise;
  };
  for (let i = 0; i < 10; i++) {
    rig.append(devices.flatMap((device) => values(i, 1, device)));
    await sleep(5);
  }
  const of = (partition: number) =>
    client.sent.filter((sent) => sent.partition === partition).flatMap((sent) => sent.values);
  await waitFor(() => of(1).length >= 10 && of(1).includes('9'));
  assert.equal(of(0).includes('9'), false);
  stalled.resolve(0);
  await rig.settledAll();
});

test('what is in flight ends before a larger number of partitions is used', async () => {
  const [rig, client] = lane();
  const held = Promise.withResolvers<number>();
  const key = ['k', 'l', 'm'].find((one) => positiveMurmur2(Buffer.from(one)) % 8 !== 0);
  client.answer = () => held.promise;
  rig.append(values(0, 3, key));
  await waitFor(() => client.sent.length === 1);
  client.partitions = 8;
  for (let i = 0; i < 30; i++) {
    await sleep(20);
    rig.append(values(3 + i, 1, key));
  }
  assert.equal(client.sent.length, 1, 'the key waits for its earlier records');
  client.answer = () => 0;
  held.resolve(0);
  await rig.settledAll();
  assert.deepEqual(
    client.values,
    values(0, 33).map(({ payload }) => String(payload)),
  );
  assert.notEqual(client.sent.at(-1)?.partition, 0);
});

test('a Kafka lane halts on what needs hands and goes on once resumed', async () => {
  const [rig, client] = lane();
  client.answer = () => 29;
  rig.append(values(0, 4));
  await waitFor(() => rig.states.at(-1) === 'halted');
  const event = rig.events.find(({ name }) => name === 'laneHalted');
  assert.equal(event?.fields.code, 'upstreamUnauthorized');
  await sleep(50);
  assert.equal(client.sent.length, 1, 'nothing is tried again by itself');
  client.answer = () => 0;
  rig.forwarder.resume();
  await rig.settledAll();
  assert.deepEqual(client.sent[1]?.wire, client.sent[0]?.wire);
});

test('a Kafka lane keeps its records while it is paused', async () => {
  const [rig, client] = lane();
  client.answer = () => 7;
  rig.append(values(0, 4));
  await waitFor(() => client.sent.length > 1);
  rig.forwarder.pause();
  const sent = client.sent.length;
  await sleep(100);
  assert.ok(client.sent.length <= sent + 1);
  client.answer = () => 0;
  rig.forwarder.resume();
  await rig.settledAll();
  assert.equal(rig.outcomes.confirmed, 4);
});

test('a Kafka lane reads again from its cursor when a topic was made anew', async () => {
  const [rig, client] = lane();
  client.partitions = 4;
  rig.append(values(0, 4));
  await rig.settledAll();
  client.answer = ({ partition }) => (partition === 0 ? 0 : 3);
  client.topicId = 'id-2';
  client.partitions = 1;
  rig.append(values(4, 4));
  await rig.settledAll();
  const last = client.sent.at(-1);
  assert.deepEqual([last?.partition, last?.firstSequence], [0, 0]);
  assert.equal(rig.outcomes.confirmed, 8);
});

test('a Kafka lane drops what it holds at a jump, once nothing is in flight', async () => {
  const [rig, client] = lane();
  const held = Promise.withResolvers<number>();
  client.answer = () => held.promise;
  rig.append(values(0, 4));
  rig.append(values(4, 4));
  await waitFor(() => client.sent.length === 1);
  rig.append(values(8, 4));
  await sleep(20);
  rig.jump({ segment: 3, frame: 0 });
  await sleep(30);
  assert.equal(client.sent.length, 1, 'what is in flight must be answered first');
  client.answer = () => 0;
  held.resolve(0);
  await rig.settledAll(4);
  assert.equal(rig.outcomes.confirmed, 4);
  assert.deepEqual(client.sent.at(-1)?.values, ['8', '9', '10', '11']);
  assert.equal(client.sent.at(-1)?.producerId, 2, 'a new identity: the old one’s end is unknown');
});
