/**
 * JetStream as a source, at a real nats-server: acknowledged after the COMMIT and not before, in
 * one acknowledgement a commit where that is safe and one a message elsewhere; what was delivered
 * and never stored comes again, first and in order; what is in hand while we hold does not.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  type JetStreamClient,
  type JetStreamManager,
  type NatsConnection,
  RetentionPolicy,
} from 'nats';
import { natsAckWaitMs, natsUnacknowledged } from '../agent/bounds.ts';
import { eventually } from './support/agent.ts';
import { startLink } from './support/link.ts';
import { type NatsServer, startNats } from './support/nats.ts';
import { NatsRig, type NatsRigOptions } from './support/nats-rig.ts';

const withinMs = 15_000;
const durable = 'tidegate-rig';
const nanosecondsPerMs = 1_000_000;
let server: NatsServer;
let client: NatsConnection;
let admin: JetStreamManager;
let jetstream: JetStreamClient;
let streams = 0;

before(async () => {
  server = await startNats();
  client = await server.connect();
  admin = await client.jetstreamManager();
  jetstream = client.jetstream();
});
after(async () => {
  await client?.close();
  await server?.stop();
});

interface Scene {
  readonly stream: string;
  readonly subject: string;
}

async function scene(retention = RetentionPolicy.Limits): Promise<Scene> {
  const stream = `S${++streams}`;
  const subject = `plant.${stream}`;
  await admin.streams.add({ name: stream, subjects: [`${subject}.>`, subject], retention });
  return { stream, subject };
}

async function started({ stream }: Scene, more: Partial<NatsRigOptions> = {}): Promise<NatsRig> {
  const source = { stream, subjects: [], ...more.source };
  const rig = await NatsRig.start({ port: server.port, ...more, source });
  await eventually('bound', withinMs, () => rig.count('sourceSubscribed') > 0);
  return rig;
}

async function publish({ subject }: Scene, from: number, to: number): Promise<void> {
  const sent: Promise<unknown>[] = [];
  for (let i = from; i <= to; i++) sent.push(jetstream.publish(subject, String(i)));
  await Promise.all(sent);
}

function told({ stream }: Scene, name = durable): Promise<ConsumerInfo> {
  return admin.consumers.info(stream, name);
}

function taken(rig: NatsRig): number[] {
  return rig.disk.views().map(({ payload }) => Number(Buffer.from(payload).toString()));
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

async function isAcknowledged(at: Scene, floor: number, name = durable): Promise<void> {
  await eventually(`acknowledged up to ${floor}`, withinMs, async () => {
    const { ack_floor, num_ack_pending } = await told(at, name);
    return ack_floor.stream_seq === floor && num_ack_pending === 0;
  });
}

test('a consumer is made, bounded, and acknowledged after the COMMIT alone', async () => {
  const at = await scene();
  await publish(at, 1, 100);
  await using rig = await started(at, { held: true });
  await eventually('all are on their way to the disk', withinMs, () => taken(rig).length === 100);
  await sleep(200);
  const before = await told(at);
  assert.equal(before.ack_floor.stream_seq, 0, 'nothing before COMMIT');
  assert.equal(before.num_ack_pending, 100);
  assert.equal(before.config.ack_policy, AckPolicy.All);
  assert.equal(before.config.ack_wait, natsAckWaitMs * nanosecondsPerMs);
  assert.equal(rig.count('consumerMade'), 1);
  rig.disk.held = false;
  rig.disk.release();
  await isAcknowledged(at, 100);
  assert.deepEqual(taken(rig), numbers(1, 100));
  assert.equal(rig.disk.views()[4]?.eventId, `${at.stream}/5`);
});

test('one acknowledgement a commit, not one a message', async () => {
  const at = await scene();
  let acks = 0;
  const spy = client.subscribe(`$JS.ACK.${at.stream}.>`, { callback: () => acks++ });
  await publish(at, 1, 1_000);
  await using rig = await started(at);
  await isAcknowledged(at, 1_000);
  await client.flush();
  spy.unsubscribe();
  const commits = rig.disk.segments.length;
  assert.ok(acks <= commits, `${acks} acknowledgements for ${commits} commits`);
  assert.ok(acks < 200, `${acks} for 1,000 messages`);
});

test('a work-queue stream, and acks: explicit, are acknowledged one by one', async () => {
  for (const [retention, acks] of [
    [RetentionPolicy.Workqueue, 'auto'],
    [RetentionPolicy.Limits, 'explicit'],
  ] as const) {
    const at = await scene(retention);
    await publish(at, 1, 50);
    await using rig = await started(at, { source: { acks } });
    await isAcknowledged(at, 50);
    assert.equal((await told(at)).config.ack_policy, AckPolicy.Explicit);
    assert.deepEqual(taken(rig), numbers(1, 50));
  }
});

async function foreign(at: Scene, name: string, config: Partial<ConsumerConfig>): Promise<void> {
  await admin.consumers.add(at.stream, { durable_name: name, ...config });
}

test('a consumer of somebody else is used as it is, one by one, and said to differ', async () => {
  const at = await scene();
  const config = { ack_policy: AckPolicy.Explicit, filter_subject: `${at.subject}.part` };
  await foreign(at, 'shared', config);
  const before = (await told(at, 'shared')).config;
  await using rig = await started(at, { source: { durable: 'shared' } });
  await jetstream.publish(`${at.subject}.part`, '1');
  await isAcknowledged(at, 1, 'shared');
  assert.deepEqual((await told(at, 'shared')).config, before, 'not altered');
  const differs = rig.events.find(({ name }) => name === 'consumerDiffers');
  assert.match(String(differs?.fields.differences), /delivers plant\.S\d+\.part/);
});

test('AckPolicy.All of somebody else, none, and a pushing one are refused by name', async () => {
  const at = await scene();
  const cases: [string, Partial<ConsumerConfig>, RegExp][] = [
    ['all', { ack_policy: AckPolicy.All }, /acknowledges all at once and was not made by/],
    ['none', { ack_policy: AckPolicy.None }, /asks for no acknowledgement/],
    ['push', { ack_policy: AckPolicy.Explicit, deliver_subject: 'x' }, /pushes/],
  ];
  await publish(at, 1, 3);
  for (const [name, config, message] of cases) {
    await foreign(at, name, config);
    const source = { stream: at.stream, durable: name, subjects: [] };
    await using rig = await NatsRig.start({ port: server.port, source });
    await eventually('refused', withinMs, () => rig.count('sourceRetrying') > 0);
    const told = rig.events.find((event) => event.name === 'sourceRetrying');
    assert.match(String(told?.fields.error), message);
    assert.match(String(told?.fields.remedy), /durable/);
    assert.deepEqual(taken(rig), []);
  }
});

test('a stream that is not there yet is waited for, and said', async () => {
  const at = { stream: 'LATER', subject: 'plant.LATER' };
  await using rig = await NatsRig.start({ port: server.port, source: { stream: at.stream } });
  await eventually('said', withinMs, () => /LATER/.test(rig.part.source.lastError ?? ''));
  await admin.streams.add({ name: at.stream, subjects: [at.subject] });
  await publish(at, 1, 1);
  await eventually('taken', withinMs, () => taken(rig).length === 1);
});

/** As a run of this agent that was killed leaves it: made by us, delivered, not acknowledged. */
async function deliveredToTheDead(at: Scene, count: number, policy: AckPolicy): Promise<void> {
  await admin.consumers.add(at.stream, {
    ...{ durable_name: durable, description: 'tidegate rig', ack_policy: policy },
    ack_wait: natsAckWaitMs * nanosecondsPerMs,
  });
  const consumer = await jetstream.consumers.get(at.stream, durable);
  const messages = await consumer.fetch({ max_messages: count, expires: 2_000 });
  let seen = 0;
  for await (const _ of messages) if (++seen === count) break;
}

for (const policy of [AckPolicy.All, AckPolicy.Explicit]) {
  test(`what a killed run did not store comes again, before what is new (${policy})`, async () => {
    const at = await scene();
    await publish(at, 1, 20);
    await deliveredToTheDead(at, 20, policy);
    await publish(at, 21, 40);
    await using rig = await started(at);
    assert.equal(rig.part.source.state, 'settling');
    await eventually('all are taken', withinMs, () => taken(rig).length >= 40);
    assert.deepEqual(taken(rig), numbers(1, 40));
    await isAcknowledged(at, 40);
  });
}

test('a link that breaks again and again: nothing is missing, nothing out of order', async (t) => {
  const at = await scene();
  await using link = await startLink(server.port);
  const source = { stream: at.stream, subjects: [] };
  await using rig = await NatsRig.start({ port: link.port, source });
  const total = 12_000;
  const [parts, part] = [4, 3_000];
  for (let i = 0; i < parts; i++) {
    void publish(at, i * part + 1, (i + 1) * part);
    await eventually('some came', withinMs, () => taken(rig).length > i * part + 200);
    link.cut();
  }
  await eventually('all are taken', withinMs * 4, () => new Set(taken(rig)).size === total);
  const first = [...new Set(taken(rig))];
  assert.deepEqual(first, numbers(1, total));
  t.diagnostic(`${taken(rig).length - total} stored twice`);
  await isAcknowledged(at, total);
});

test('while we hold, what is in hand is in progress and not delivered again', async () => {
  const at = await scene();
  const limit = { per: 'route', messagesPerSecond: 0.001, burstMessages: 1, over: 'hold' } as const;
  const limits = [{ ...limit, bytesPerSecond: 0, burstBytes: 0 }];
  await publish(at, 1, 3_000);
  await using rig = await started(at, { limits });
  await eventually('it is held', withinMs, () => rig.part.source.held);
  await sleep(natsAckWaitMs * 1.5);
  const found = await told(at);
  assert.equal(found.num_redelivered, 0);
  assert.ok(found.num_ack_pending <= natsUnacknowledged, String(found.num_ack_pending));
  assert.equal(found.num_waiting, 0, 'nothing is pulled');
  assert.deepEqual(taken(rig), [1]);
});

test('a stream that was deleted and made anew begins anew', async () => {
  const at = await scene();
  await publish(at, 1, 10);
  await using rig = await started(at);
  await isAcknowledged(at, 10);
  await admin.streams.delete(at.stream);
  await admin.streams.add({ name: at.stream, subjects: [`${at.subject}.>`, at.subject] });
  await publish(at, 11, 15);
  await eventually('all are taken', withinMs, () => taken(rig).length === 15);
  assert.deepEqual(taken(rig), numbers(1, 15));
});
