/**
 * Core NATS subjects as a source, at a real nats-server: who asked is answered after the commit and
 * not before, what routes do not want is left to others, and what comes faster than the path takes
 * it is dropped and counted, within a bound.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { headers, type NatsConnection } from 'nats';
import { natsWaitingMessages } from '../agent/bounds.ts';
import { eventually } from './support/agent.ts';
import { type NatsServer, startNats } from './support/nats.ts';
import { NatsRig, type NatsRigOptions } from './support/nats-rig.ts';

const withinMs = 5_000;
let server: NatsServer;
let publisher: NatsConnection;

before(async () => {
  server = await startNats();
  publisher = await server.connect();
});
after(async () => {
  await publisher?.close();
  await server?.stop();
});

async function subscribed(options: Omit<NatsRigOptions, 'port'> = {}): Promise<NatsRig> {
  const rig = await NatsRig.start({ port: server.port, ...options });
  await eventually('subscribed', withinMs, () => rig.part.source.state === 'subscribed');
  return rig;
}

test('a subject is a Topic Name, a message a frame, its headers User Properties', async () => {
  await using rig = await subscribed();
  const lines = headers();
  lines.append('Nats-Msg-Id', 'own-id');
  lines.append('line', '3 °C');
  publisher.publish('plant.a/b.50%', Buffer.from([0, 255]), { headers: lines });
  publisher.publish('plant.bare', Buffer.alloc(0));
  publisher.publish('elsewhere', 'not ours');
  await eventually('two frames', withinMs, () => rig.disk.views().length === 2);
  const [first, second] = rig.disk.views();
  assert.equal(first?.protocol, 2);
  assert.equal(first?.topicName, 'plant/a%2Fb/50%25');
  assert.equal(first?.device, 'plant/a%2Fb/50%25');
  assert.equal(first?.eventId, 'own-id');
  assert.deepEqual([...(first?.payload ?? [])], [0, 255]);
  assert.equal(second?.topicName, 'plant/bare');
  assert.equal(second?.eventId, null);
  assert.equal(second?.properties.length, 0);
});

test('who asked is answered after the COMMIT, with the number of the frame', async () => {
  await using rig = await subscribed({ held: true });
  const asked = publisher.request('plant.ask', 'x', { timeout: withinMs });
  await eventually('it is on its way to the disk', withinMs, () => rig.disk.appended === 1);
  const early = await Promise.race([asked, sleep(100, 'silent' as const)]);
  assert.equal(early, 'silent', 'no reply before COMMIT');
  rig.disk.release();
  assert.deepEqual((await asked).json(), { stream: 'rig', seq: 1 });
  // As a JetStream client publishes.
  rig.disk.held = false;
  const { stream, seq } = await publisher
    .jetstream({ timeout: withinMs })
    .publish('plant.ask', 'y');
  assert.deepEqual({ stream, seq }, { stream: 'rig', seq: 2 });
});

test('what a limit drops is answered so, and what no route wants is left to others', async () => {
  const limit = { per: 'route', messagesPerSecond: 1, burstMessages: 1, over: 'drop' } as const;
  const limits = [{ ...limit, bytesPerSecond: 0, burstBytes: 0 }];
  await using rig = await subscribed({ limits, source: { subjects: ['plant.>', 'other.>'] } });
  await publisher.request('plant.one', '', { timeout: withinMs });
  const reply = await publisher.request('plant.two', '', { timeout: withinMs });
  assert.equal(reply.json<{ error: { code: number } }>().error.code, 429);
  assert.equal(rig.count('frameDropped'), 1);
  const service = publisher.subscribe('other.service', {
    callback: (_, message) => message.respond(Buffer.from('mine')),
  });
  await publisher.flush();
  assert.equal((await publisher.request('other.service', '')).string(), 'mine');
  service.unsubscribe();
});

test('members of a queue group share, and each message is taken once', async () => {
  const source = { queue: 'gateways' };
  await using one = await subscribed({ source });
  await using other = await subscribed({ source });
  const count = 400;
  for (let i = 0; i < count; i++) publisher.publish('plant.shared', String(i));
  const taken = () => [...one.disk.views(), ...other.disk.views()];
  await eventually('all are taken', withinMs, () => taken().length === count);
  assert.equal(new Set(taken().map(({ payload }) => Buffer.from(payload).toString())).size, count);
  assert.ok(one.disk.views().length > 0 && other.disk.views().length > 0);
});

test('while the path holds, a bounded number waits and the rest is dropped, counted', async () => {
  const limit = { per: 'route', messagesPerSecond: 0.001, burstMessages: 1, over: 'hold' } as const;
  const limits = [{ ...limit, bytesPerSecond: 0, burstBytes: 0 }];
  await using rig = await subscribed({ limits });
  const more = 100;
  for (let i = 0; i < natsWaitingMessages + 1 + more; i++) publisher.publish('plant.flood', '.');
  await eventually('the rest is dropped', withinMs, () => rig.count('messageOverrun') >= more);
  await publisher.flush();
  assert.ok(rig.count('messageOverrun') <= more + 1, String(rig.count('messageOverrun')));
  assert.equal(rig.part.source.held, true);
  assert.equal(rig.disk.views().length, 1);
});

test('a message larger than maxMessageSize is refused by name, those behind it go on', async () => {
  await using rig = await subscribed({ source: { maxMessageSize: 1_024 } });
  const reply = publisher.request('plant.large', Buffer.alloc(2_000), { timeout: withinMs });
  assert.equal((await reply).json<{ error: { code: number } }>().error.code, 400);
  await publisher.request('plant.small', '', { timeout: withinMs });
  const refused = rig.events.find(({ name }) => name === 'messageRefused');
  assert.match(String(refused?.fields.reason), /^messageTooLarge \(2\d{3} bytes\)$/);
  assert.equal(rig.disk.views().length, 1);
});

test('a server that was away is found again, and the subjects are heard again', async () => {
  await using again = await startNats();
  await using rig = await NatsRig.start({ port: again.port });
  await eventually('subscribed', withinMs, () => rig.count('sourceSubscribed') === 1);
  await again.kill();
  await eventually('it waits', withinMs, () => rig.part.source.state !== 'subscribed');
  assert.match(rig.part.source.lastError ?? '', /connection closed|ECONN/);
  await again.start();
  await eventually('subscribed again', withinMs * 2, () => rig.count('sourceSubscribed') === 2);
  const client = await again.connect();
  await client.request('plant.back', '', { timeout: withinMs });
  await client.close();
});

test('what was published before we stopped is still taken and answered', async () => {
  const rig = await subscribed();
  const count = 2_000;
  const replies = Array.from({ length: count }, (_, i) =>
    publisher.request('plant.last', String(i), { timeout: withinMs, noMux: false }),
  );
  await publisher.flush();
  await rig[Symbol.asyncDispose]();
  const settled = await Promise.allSettled(replies);
  const answered = settled.filter(({ status }) => status === 'fulfilled').length;
  assert.equal(answered, rig.disk.views().length, 'each one taken was answered');
  assert.equal(answered, count);
});

test('who asks for a reply where we may not publish harms nobody but himself', async () => {
  const us = '{ user: us, password: pw, permissions: { subscribe: ">", publish: "_INBOX.>" } }';
  const users = `${us}, { user: they, password: pw }`;
  await using strict = await startNats({ lines: [`authorization { users: [${users}] }`] });
  await using rig = await NatsRig.start({
    port: strict.port,
    source: { username: 'us', password: 'pw' },
  });
  await eventually('subscribed', withinMs, () => rig.part.source.state === 'subscribed');
  const client = await strict.connect({ user: 'they', pass: 'pw' });
  client.publish('plant.one', '1', { reply: 'not.allowed' });
  await eventually('said', withinMs, () => rig.count('replyDenied') === 1);
  await client.request('plant.two', '2', { timeout: withinMs });
  await client.close();
  assert.equal(rig.count('sourceRetrying'), 0);
  assert.equal(rig.disk.views().length, 2);
});

test('a reply subject gives no orders to the server', async () => {
  await using rig = await subscribed();
  const admin = await publisher.jetstreamManager();
  await admin.streams.add({ name: 'KEPT', subjects: ['kept'] });
  const { seq } = await publisher.jetstream().publish('kept', 'x');
  // What we answer is also how one asks to purge what stands before `seq`.
  for (const subject of ['plant.one', 'plant.two', 'plant.three']) publisher.publish(subject, '');
  publisher.publish('plant.order', '', { reply: '$JS.API.STREAM.PURGE.KEPT' });
  await publisher.request('plant.after', '', { timeout: withinMs });
  assert.equal((await admin.streams.getMessage('KEPT', { seq })).string(), 'x');
  assert.equal(rig.disk.views().length, 5);
});

test('a server that is silent does not keep us from stopping', async () => {
  await using silent = await startNats();
  const client = await silent.connect();
  await (await client.jetstreamManager()).streams.add({ name: 'S', subjects: ['s'] });
  await client.close();
  for (const source of [{}, { stream: 'S', subjects: [] }]) {
    const rig = await NatsRig.start({ port: silent.port, source });
    await eventually('subscribed', withinMs, () => rig.part.source.state === 'subscribed');
    process.kill(silent.pid, 'SIGSTOP');
    const fromMs = performance.now();
    await rig[Symbol.asyncDispose]();
    process.kill(silent.pid, 'SIGCONT');
    assert.ok(performance.now() - fromMs < withinMs * 2);
  }
});
