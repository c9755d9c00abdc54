/**
 * Behaviours of messages: who gets them, at which QoS, in which order, what is retained, and what a
 * Topic Filter stands for.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Behaviour, both, type Talk } from './behaviour.ts';

const quietMs = 150;
const levels = [0, 1, 2] as const;

async function basic(talk: Talk): Promise<void> {
  const writer = await talk.party('writer');
  for (const asked of levels) {
    const reader = await talk.party(`reader-${asked}`);
    const topic = talk.topic(`basic/${asked}`);
    const suback = await reader.subscribe(topic, asked);
    assert.deepEqual(suback.granted, [asked]);
    for (const qos of levels) await writer.publish(topic, `m${qos}`, qos);
    const expected = levels.map((qos) => `${topic} m${qos} ${Math.min(qos, asked)}`);
    assert.deepEqual(await reader.gets(expected.length), expected);
  }
}

async function retained(talk: Talk): Promise<void> {
  const writer = await talk.party('writer');
  for (const qos of levels) {
    await writer.publish(talk.topic(`kept/${qos}`), 'old', qos, { retain: true });
    await writer.publish(talk.topic(`kept/${qos}`), `q${qos}`, qos, { retain: true });
    await writer.publish(talk.topic(`kept/${qos}`), 'passing', qos);
  }
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('kept/+'), 2);
  const expected = levels.map((qos) => `${talk.topic(`kept/${qos}`)} q${qos} ${qos}`);
  assert.deepEqual((await reader.gets(expected.length)).sort(), expected);
  assert.ok(reader.heard('publish').every(({ retain }) => retain));
  await writer.publish(talk.topic('kept/1'), 'now', 1, { retain: true });
  await reader.until('publish', expected.length + 1);
  assert.equal(reader.heard('publish').at(-1)?.retain, false, 'to a subscription that was there');
  for (const qos of levels) {
    await writer.publish(talk.topic(`kept/${qos}`), '', qos, { retain: true });
  }
  const late = await talk.party('late');
  await late.subscribe(talk.topic('kept/#'), 2);
  await sleep(quietMs);
  assert.deepEqual(late.messages, [], 'cleared');
}

async function overlapping(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('over/#'), 2);
  await reader.subscribe(talk.topic('over/+'), 1);
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('over/a'), 'once', 2);
  await reader.until('publish');
  await sleep(quietMs);
  const qos = reader.heard('publish').map((message) => message.qos);
  assert.ok(qos.length <= 2, 'at most one for each subscription');
  // Mosquitto 2.0 respects only the subscription it found last before version 5.
  if (talk.five) assert.equal(Math.max(...qos), 2, 'the highest that was granted');
}

async function unsubscribed(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  for (const name of ['un/a', 'un/b', 'un/c']) await reader.subscribe(talk.topic(name), 2);
  await reader.unsubscribe(talk.topic('un/a'));
  await reader.unsubscribe(talk.topic('un/+'));
  const writer = await talk.party('writer');
  for (const name of ['un/a', 'un/b', 'un/c']) await writer.publish(talk.topic(name), 'x', 1);
  const expected = ['un/b', 'un/c'].map((name) => `${talk.topic(name)} x 1`);
  assert.deepEqual(await reader.gets(expected.length), expected);
}

async function dollar(talk: Talk): Promise<void> {
  const [every, own] = [await talk.party('every'), await talk.party('own')];
  await every.subscribe('#', 1);
  await every.subscribe(`+/${talk.prefix}`, 1);
  await own.subscribe(`$own/${talk.prefix}`, 1);
  const before = every.messages.length;
  const writer = await talk.party('writer');
  await writer.publish(`$own/${talk.prefix}`, 'hidden', 1);
  assert.deepEqual(await own.gets(1), [`$own/${talk.prefix} hidden 1`]);
  const came = every.messages.slice(before);
  assert.ok(!came.some((message) => message.startsWith('$own')), 'no wildcard stands for $');
}

async function filters(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  const [plus, hash] = [talk.topic('f/+/x'), talk.topic('f/h/#')];
  await reader.subscribe(plus, 0);
  await reader.subscribe(hash, 0);
  const writer = await talk.party('writer');
  const names = ['f/a/x', 'f//x', 'f/a/b/x', 'f/A/X', 'f/h', 'f/h/i/j', 'f/H', 'f'];
  for (const name of names) await writer.publish(talk.topic(name), 'x', 0);
  const expected = ['f/a/x', 'f//x', 'f/h', 'f/h/i/j'].map((name) => `${talk.topic(name)} x 0`);
  assert.deepEqual(await reader.gets(expected.length), expected);
}

async function ordered(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('order/#'), 2);
  const writer = await talk.party('writer');
  const count = 15;
  for (const qos of [1, 2] as const) {
    const sent = Array.from({ length: count }, (_, i) => `${i}`);
    for (const payload of sent) void writer.publish(talk.topic(`order/${qos}`), payload, qos);
    await writer.until(qos === 1 ? 'puback' : 'pubcomp', count);
  }
  const all = await reader.gets(2 * count);
  for (const qos of [1, 2]) {
    const mine = all.filter((message) => message.startsWith(talk.topic(`order/${qos} `)));
    assert.deepEqual(
      mine.map((message) => Number(message.split(' ')[1])),
      Array.from({ length: count }, (_, i) => i),
    );
  }
}

async function again(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('dup'), 2);
  const writer = await talk.party('writer');
  writer.acknowledges = false;
  const message = {
    cmd: 'publish',
    topic: talk.topic('dup'),
    payload: 'x',
    retain: false,
  } as const;
  writer.say({ ...message, qos: 2, messageId: 7, dup: false });
  await writer.until('pubrec');
  writer.say({ ...message, qos: 2, messageId: 7, dup: true });
  await writer.until('pubrec', 2);
  writer.say({ cmd: 'pubrel', messageId: 7 });
  await writer.until('pubcomp');
  writer.say({ ...message, qos: 1, messageId: 7, dup: true });
  await writer.until('puback');
  const expected = [`${talk.topic('dup')} x 2`, `${talk.topic('dup')} x 1`];
  assert.deepEqual(await reader.gets(2), expected);
  assert.ok(
    reader.heard('publish').every(({ dup }) => !dup),
    'their DUP is not the sender’s',
  );
}

async function replaced(talk: Talk): Promise<void> {
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('twice'), 'old', 1, { retain: true });
  const reader = await talk.party('reader');
  for (const qos of [0, 1] as const) await reader.subscribe(talk.topic('twice'), qos);
  await reader.until('publish', 2);
  await writer.publish(talk.topic('twice'), 'new', 1);
  const expected = ['old 0', 'old 1', 'new 1'].map(
    (message) => `${talk.topic('twice')} ${message}`,
  );
  assert.deepEqual(await reader.gets(expected.length), expected);
  await reader.unsubscribe(talk.topic('twice'));
  await writer.publish(talk.topic('twice'), 'late', 1);
  await sleep(quietMs);
  assert.equal(reader.messages.length, expected.length, 'there was one subscription');
}

async function completed(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  reader.acknowledges = false;
  await reader.subscribe(talk.topic('way'), 2);
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('way'), 'x', 2);
  const { messageId = 0 } = await reader.until('publish');
  await reader.unsubscribe(talk.topic('way'));
  reader.say({ cmd: 'pubrec', messageId });
  await reader.until('pubrel');
  reader.say({ cmd: 'pubcomp', messageId }, { cmd: 'pingreq' });
  await reader.until('pingresp');
}

export const messageBehaviours: readonly Behaviour[] = [
  { name: 'a subscription made again replaces the first', versions: both, holds: replaced },
  { name: 'what is under way is completed after UNSUBSCRIBE', versions: both, holds: completed },
  {
    name: 'a message comes at the lower of its QoS and the granted one',
    versions: both,
    holds: basic,
  },
  {
    name: 'the last retained message is kept, and cleared by an empty one',
    versions: both,
    holds: retained,
  },
  {
    name: 'overlapping subscriptions: the highest QoS is respected',
    versions: both,
    holds: overlapping,
  },
  {
    name: 'what is unsubscribed, character by character, comes no more',
    versions: both,
    holds: unsubscribed,
  },
  { name: 'no filter that begins with a wildcard stands for $', versions: both, holds: dollar },
  { name: 'filters match level by level, with their case', versions: both, holds: filters },
  { name: 'messages of one sender keep their order', versions: both, holds: ordered },
  {
    name: 'QoS 2 sent again is one message, QoS 1 after its PUBACK another',
    versions: both,
    holds: again,
  },
];
