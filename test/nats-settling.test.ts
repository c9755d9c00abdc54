/**
 * JetStream as a source where the server does not deliver again in order, or not all of it: nothing
 * is acknowledged that is not stored, and nothing waits for what never comes.
 */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AckPolicy,
  type ConsumerInfo,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type NatsConnection,
  type StreamConfig,
} from 'nats';
import { natsAckWaitMs } from '../agent/bounds.ts';
import { eventually } from './support/agent.ts';
import { type NatsServer, startNats } from './support/nats.ts';
import { NatsRig, type NatsRigOptions } from './support/nats-rig.ts';

const withinMs = 30_000;
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

async function scene(config: Partial<StreamConfig> = {}): Promise<Scene> {
  const stream = `R${++streams}`;
  const subject = `plant.${stream}`;
  await admin.streams.add({ name: stream, subjects: [`${subject}.>`, subject], ...config });
  return { stream, subject };
}

async function publish({ subject }: Scene, from: number, to: number): Promise<void> {
  for (let i = from; i <= to; i++) await jetstream.publish(subject, String(i));
}

function start({ stream }: Scene, more: Partial<NatsRigOptions> = {}): Promise<NatsRig> {
  return NatsRig.start({ port: server.port, ...more, source: { stream, subjects: [] } });
}

function told({ stream }: Scene): Promise<ConsumerInfo> {
  return admin.consumers.info(stream, durable);
}

function taken(rig: NatsRig): number[] {
  return rig.disk.views().map(({ payload }) => Number(Buffer.from(payload).toString()));
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

/** As a run of this agent that was killed leaves it: made by us, delivered, not acknowledged. */
async function deliveredToTheDead(at: Scene, count: number): Promise<JsMsg[]> {
  await admin.consumers.add(at.stream, {
    ...{ durable_name: durable, description: 'tidegate rig', ack_policy: AckPolicy.All },
    ack_wait: natsAckWaitMs * nanosecondsPerMs,
  });
  const consumer = await jetstream.consumers.get(at.stream, durable);
  const messages = await consumer.fetch({ max_messages: count, expires: 2_000 });
  const seen: JsMsg[] = [];
  for await (const message of messages) if (seen.push(message) === count) break;
  return seen;
}

test('what comes again out of order is stored whole, and in order', async () => {
  const at = await scene();
  await publish(at, 1, 20);
  const seen = await deliveredToTheDead(at, 20);
  await sleep(natsAckWaitMs / 2);
  // The older ones were in progress for longer: the others come again before them.
  for (const message of seen.slice(0, 10)) message.working();
  await publish(at, 21, 30);
  await using rig = await start(at);
  await eventually('all are taken', withinMs, () => new Set(taken(rig)).size === 30);
  assert.deepEqual(taken(rig), numbers(1, 30));
  await eventually('acknowledged', withinMs, async () => {
    const { ack_floor, num_ack_pending } = await told(at);
    return ack_floor.stream_seq === 30 && num_ack_pending === 0;
  });
});

test('what was delivered and is not there any more is not waited for', async () => {
  const at = await scene({ max_msgs_per_subject: 1 });
  const devices = numbers(1, 10);
  const turn = async (n: number): Promise<void> => {
    for (const device of devices) await jetstream.publish(`${at.subject}.${device}`, String(n));
  };
  await turn(1);
  await deliveredToTheDead(at, devices.length);
  let isDone = false;
  const publishing = (async () => {
    for (let n = 2; !isDone; n++) {
      await turn(n);
      await sleep(500);
    }
  })();
  await using rig = await start(at);
  try {
    await eventually('it goes on', withinMs, () => taken(rig).length > devices.length * 2);
  } finally {
    isDone = true;
    await publishing;
  }
  assert.equal(rig.count('sourceRetrying'), 0);
});

test('what went to a connection that is gone is not acknowledged', async () => {
  const at = await scene();
  await using rig = await start(at);
  await eventually('bound', withinMs, () => rig.count('sourceSubscribed') > 0);
  // A request of ours that nobody hears any more.
  const consumer = await jetstream.consumers.get(at.stream, durable);
  const lost = await consumer.fetch({ max_messages: 5, expires: 2_000 });
  let count = 0;
  const gone = (async () => {
    for await (const _ of lost) count += 1;
  })();
  await publish(at, 1, 20);
  await gone;
  assert.ok(count > 0, 'some went elsewhere');
  await eventually('all are taken', withinMs, () => new Set(taken(rig)).size === 20);
  assert.deepEqual([...new Set(taken(rig))], numbers(1, 20));
  const told = rig.events.find(({ name }) => name === 'sourceRetrying');
  assert.match(String(told?.fields.error), /deliveries went elsewhere/);
});

test('a message whose headers are no headers is taken, and those behind it', async () => {
  const at = await scene();
  await using rig = await start(at);
  await eventually('bound', withinMs, () => rig.count('sourceSubscribed') > 0);
  const socket = connectTcp(server.port, '127.0.0.1');
  socket.write('CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\n');
  for (const lines of ['a b: 1', 'plain: x\ny', ': empty', 'no colon', 'good: 2']) {
    const head = `NATS/1.0\r\n${lines}\r\n\r\n`;
    socket.write(`HPUB ${at.subject} ${head.length} ${head.length + 1}\r\n${head}7\r\n`);
  }
  await eventually('all are taken', withinMs, () => taken(rig).length === 5);
  socket.destroy();
  assert.equal(rig.count('sourceRetrying'), 0);
});

test('a server that was set back gives numbers again, and what has them is taken', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidegate-nats-'));
  await using own = await startNats();
  const publishTo = async (from: number, to: number): Promise<void> => {
    const one = await own.connect();
    for (const i of numbers(from, to)) await one.jetstream().publish('plant.back', String(i));
    await one.close();
  };
  const one = await own.connect();
  const streamAdmin = await one.jetstreamManager();
  await streamAdmin.streams.add({ name: 'BACK', subjects: ['plant.back'] });
  await one.close();
  const source = { stream: 'BACK', subjects: [] };
  await using rig = await NatsRig.start({ port: own.port, source });
  await publishTo(1, 10);
  await eventually('ten are taken', withinMs, () => taken(rig).length === 10);
  await own.kill('SIGTERM');
  cpSync(join(own.directory, 'js'), join(folder, 'js'), { recursive: true });
  await own.start();
  await publishTo(11, 20);
  await eventually('twenty are taken', withinMs, () => taken(rig).length === 20);
  await own.kill('SIGTERM');
  rmSync(join(own.directory, 'js'), { recursive: true });
  cpSync(join(folder, 'js'), join(own.directory, 'js'), { recursive: true });
  rmSync(folder, { recursive: true });
  await own.start();
  await publishTo(21, 30);
  await eventually('what is new is taken', withinMs, () => new Set(taken(rig)).size === 30);
  assert.deepEqual([...new Set(taken(rig))], numbers(1, 30));
});
