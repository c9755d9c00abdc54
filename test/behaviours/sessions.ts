/**
 * Behaviours of sessions and connections: what is kept for a client that is away, what it gets when
 * it comes back, its Will, its name, its Keep Alive, and who takes its place.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { IPublishPacket } from 'mqtt-packet';
import { type Behaviour, both, only5, type Talk } from './behaviour.ts';

const quietMs = 150;

async function offline(talk: Talk): Promise<void> {
  const first = await talk.party('away', talk.kept(true));
  assert.equal(first.connack.sessionPresent, false);
  await first.subscribe(talk.topic('away/#'), 2);
  await first.drop();
  const writer = await talk.party('writer');
  for (const qos of [1, 2] as const) await writer.publish(talk.topic(`away/${qos}`), 'x', qos);
  const back = await talk.party('away', talk.kept(false));
  assert.equal(back.connack.sessionPresent, true);
  const expected = [1, 2].map((qos) => `${talk.topic(`away/${qos}`)} x ${qos}`);
  assert.deepEqual(await back.gets(expected.length), expected);
  await back.disconnect();
  const clean = await talk.party('away', { clean: true });
  assert.equal(clean.connack.sessionPresent, false);
  await writer.publish(talk.topic('away/1'), 'y', 1);
  await sleep(quietMs);
  assert.deepEqual(clean.messages, [], 'its subscriptions went with the session');
}

async function redelivered(talk: Talk): Promise<void> {
  const first = await talk.party('busy', talk.kept(true));
  await first.subscribe(talk.topic('busy/#'), 2);
  first.acknowledges = false;
  const writer = await talk.party('writer');
  for (const qos of [1, 2] as const) await writer.publish(talk.topic(`busy/${qos}`), 'x', qos);
  await writer.publish(talk.topic('busy/3'), 'x', 2);
  await first.until('publish', 3);
  const ids = new Map(first.heard('publish').map(({ topic, messageId }) => [topic, messageId]));
  const third = ids.get(talk.topic('busy/3'));
  first.say({ cmd: 'pubrec', messageId: third ?? 0 });
  await first.until('pubrel');
  await first.drop();
  const back = await talk.party('busy', talk.kept(false));
  await back.until('publish', 2);
  await back.until('pubrel', 2);
  await sleep(quietMs);
  const again = back.heard('publish') as IPublishPacket[];
  assert.deepEqual(
    again.map(({ topic }) => topic),
    [1, 2].map((n) => talk.topic(`busy/${n}`)),
  );
  for (const { dup, topic, messageId } of again) {
    assert.deepEqual([dup, messageId], [true, ids.get(topic)], topic);
  }
  assert.ok(back.heard('pubrel').some(({ messageId }) => messageId === third));
}

async function interrupted(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('once'), 2);
  const message = {
    cmd: 'publish',
    topic: talk.topic('once'),
    payload: 'x',
    retain: false,
  } as const;
  const first = await talk.party('sender', talk.kept(true));
  first.acknowledges = false;
  first.say({ ...message, qos: 2, messageId: 9, dup: false });
  await first.until('pubrec');
  await first.drop();
  const back = await talk.party('sender', talk.kept(false));
  back.acknowledges = false;
  back.say({ ...message, qos: 2, messageId: 9, dup: true });
  await back.until('pubrec');
  back.say({ cmd: 'pubrel', messageId: 9 });
  await back.until('pubcomp');
  assert.deepEqual(await reader.gets(1), [`${talk.topic('once')} x 2`]);
}

async function will(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('will/#'), 1);
  const willTo = (name: string, retain = false) => ({
    will: {
      topic: talk.topic(`will/${name}`),
      payload: Buffer.from('bye'),
      qos: 1,
      retain,
    } as const,
  });
  await (await talk.party('polite', willTo('polite'))).disconnect();
  await (await talk.party('broken', willTo('broken'))).drop();
  const wrong = await talk.party('wrong', willTo('wrong', true));
  wrong.raw('3606000161000178');
  await wrong.closed();
  const expected = ['broken', 'wrong'].map((name) => `${talk.topic(`will/${name}`)} bye 1`);
  assert.deepEqual(await reader.gets(expected.length), expected);
  const late = await talk.party('late');
  await late.subscribe(talk.topic('will/#'), 1);
  assert.deepEqual(await late.gets(1), [`${talk.topic('will/wrong')} bye 1`], 'as it was retained');
}

/** Version 5: what a Will carries, in its order, on the way the filter leaves it. */
async function willAsSaid(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('said'), 2);
  const properties = {
    payloadFormatIndicator: true,
    messageExpiryInterval: 600,
    contentType: 'text/plain',
    responseTopic: talk.topic('answer'),
    correlationData: Buffer.from([0, 1]),
    userProperties: { b: ['1', '2'], a: '3' },
  };
  const payload = Buffer.from('bye');
  const gone = { topic: talk.topic('said'), payload, qos: 2, retain: false, properties } as const;
  await (await talk.party('gone', { will: gone })).drop();
  const got = (await reader.until('publish')).properties;
  const { userProperties, messageExpiryInterval: _, ...plain } = properties;
  for (const [name, value] of Object.entries(plain)) {
    assert.deepEqual(got?.[name as keyof typeof plain], value, name);
  }
  assert.deepEqual(Object.entries(got?.userProperties ?? {}), Object.entries(userProperties));
}

async function keepAlive(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('silent'), 0);
  const payload = Buffer.from('bye');
  const gone = { topic: talk.topic('silent'), payload, qos: 0, retain: false } as const;
  const silent = await talk.party('silent', { keepalive: 1, will: gone });
  const lively = await talk.party('lively', { keepalive: 1 });
  const pinging = setInterval(() => lively.say({ cmd: 'pingreq' }), 400);
  await silent.closed(8_000);
  clearInterval(pinging);
  assert.deepEqual(await reader.gets(1), [`${talk.topic('silent')} bye 0`]);
  assert.equal(lively.ended, false);
}

async function nameless(talk: Talk): Promise<void> {
  const [one, other] = [await talk.party(''), await talk.party('')];
  for (const party of [one, other]) assert.equal(codeOf(party.connack), 0);
  await one.publish(talk.topic('nameless'), 'x', 1);
  assert.equal(other.ended, false, 'each has a name of its own');
}

async function takenOver(talk: Talk): Promise<void> {
  const first = await talk.party('twice', talk.kept(true));
  await first.subscribe(talk.topic('twice'), 1);
  const second = await talk.party('twice', talk.kept(false));
  await first.closed();
  // Mosquitto 2.0 alone closes without a word.
  const word = first.heard('disconnect')[0]?.reasonCode ?? 0x8e;
  assert.equal(word, 0x8e);
  assert.equal(second.connack.sessionPresent, true);
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('twice'), 'x', 1);
  assert.deepEqual(await second.gets(1), [`${talk.topic('twice')} x 1`]);
}

function codeOf({ returnCode, reasonCode }: { returnCode?: number; reasonCode?: number }): number {
  return returnCode ?? reasonCode ?? 0;
}

export const sessionBehaviours: readonly Behaviour[] = [
  { name: 'a Will arrives as it was said', versions: only5, holds: willAsSaid },
  { name: 'a session keeps QoS 1 and 2 for a client that is away', versions: both, holds: offline },
  {
    name: 'what was not acknowledged comes again under its identifier',
    versions: both,
    holds: redelivered,
  },
  {
    name: 'a QoS 2 PUBLISH broken off and sent again is one message',
    versions: both,
    holds: interrupted,
  },
  { name: 'a Will is published unless DISCONNECT was said', versions: both, holds: will },
  {
    name: 'who is silent past one and a half Keep Alive is closed',
    versions: both,
    holds: keepAlive,
  },
  { name: 'a client without a name gets one', versions: both, holds: nameless },
  {
    name: 'a second connection of a client takes the place of the first',
    versions: both,
    holds: takenOver,
  },
];
