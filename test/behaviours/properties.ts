/**
 * Behaviours of version 5 that properties and subscription options ask for: what rides along with a
 * message, what is left of its life, to whom it goes and how.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Behaviour, only5, type Talk } from './behaviour.ts';

const quietMs = 150;

async function carried(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  const topic = talk.topic('carried');
  await reader.subscribe(topic, 2);
  const writer = await talk.party('writer');
  const properties = {
    payloadFormatIndicator: true,
    contentType: 'text/plain; charset=ü',
    responseTopic: talk.topic('answer'),
    correlationData: Buffer.from([0, 1, 0xff]),
    userProperties: { a: ['1', '2'], b: '3', '': '' },
  };
  for (const qos of [0, 1, 2] as const) await writer.publish(topic, `q${qos}`, qos, { properties });
  await reader.until('publish', 3);
  for (const message of reader.heard('publish')) {
    const got = message.properties;
    assert.equal(got?.payloadFormatIndicator, true);
    assert.equal(got?.contentType, properties.contentType);
    assert.equal(got?.responseTopic, properties.responseTopic);
    assert.deepEqual(got?.correlationData, properties.correlationData);
    assert.deepEqual({ ...got?.userProperties }, properties.userProperties);
    assert.equal(got?.topicAlias ?? null, null, 'an alias is not the reader’s');
  }
}

async function requested(talk: Talk): Promise<void> {
  const [asking, answering] = [await talk.party('asking'), await talk.party('answering')];
  await asking.subscribe(talk.topic('answers/asking'), 1);
  await answering.subscribe(talk.topic('questions'), 1);
  const correlationData = Buffer.from('number 1');
  await asking.publish(talk.topic('questions'), '?', 1, {
    properties: { responseTopic: talk.topic('answers/asking'), correlationData },
  });
  const question = (await answering.until('publish')).properties;
  await answering.publish(question?.responseTopic ?? '', '!', 1, {
    properties: { correlationData: question?.correlationData ?? Buffer.alloc(0) },
  });
  const answer = await asking.until('publish');
  assert.deepEqual(answer.properties?.correlationData, correlationData);
}

async function expired(talk: Talk): Promise<void> {
  const first = await talk.party('late', talk.kept(true));
  await first.subscribe(talk.topic('expiry/#'), 1);
  await first.disconnect();
  const writer = await talk.party('writer');
  const lives = (messageExpiryInterval: number) => ({ properties: { messageExpiryInterval } });
  await writer.publish(talk.topic('expiry/short'), 'x', 1, lives(1));
  await writer.publish(talk.topic('expiry/long'), 'x', 1, lives(60));
  await writer.publish(talk.topic('expiry/kept'), 'x', 1, { ...lives(1), retain: true });
  await sleep(2_300);
  const back = await talk.party('late', talk.kept(false));
  assert.deepEqual(await back.gets(1), [`${talk.topic('expiry/long')} x 1`]);
  const left = back.heard('publish')[0]?.properties?.messageExpiryInterval ?? 0;
  assert.ok(left > 50 && left < 60, `${left} s are left`);
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('expiry/+'), 1);
  await sleep(quietMs);
  assert.deepEqual(reader.messages, [], 'the retained one is gone as well');
}

async function shared(talk: Talk): Promise<void> {
  const filter = `$share/${talk.prefix}/${talk.topic('shared/#')}`;
  const readers = [await talk.party('one'), await talk.party('two')];
  for (const reader of readers) await reader.subscribe(filter, 1);
  const writer = await talk.party('writer');
  const count = 6;
  for (let i = 0; i < count; i++) await writer.publish(talk.topic(`shared/${i}`), 'x', 1);
  await sleep(quietMs);
  const all = readers.flatMap(({ messages }) => messages).sort();
  assert.deepEqual(
    all,
    Array.from({ length: count }, (_, i) => `${talk.topic(`shared/${i}`)} x 1`),
  );
  assert.ok(
    readers.every(({ messages }) => messages.length > 0),
    'both had their share',
  );
}

async function noLocal(talk: Talk): Promise<void> {
  const [own, other] = [await talk.party('own'), await talk.party('other')];
  await own.subscribe(talk.topic('local'), 1, { nl: true });
  await other.subscribe(talk.topic('local'), 1);
  await own.publish(talk.topic('local'), 'mine', 1);
  await other.publish(talk.topic('local'), 'theirs', 1);
  assert.deepEqual(await own.gets(1), [`${talk.topic('local')} theirs 1`]);
  assert.equal((await other.gets(2)).length, 2);
}

async function asPublished(talk: Talk): Promise<void> {
  const [as, plain] = [await talk.party('as'), await talk.party('plain')];
  await as.subscribe(talk.topic('rap'), 1, { rap: true });
  await plain.subscribe(talk.topic('rap'), 1);
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('rap'), 'x', 1, { retain: true });
  await writer.publish(talk.topic('rap'), 'x', 1);
  for (const reader of [as, plain]) await reader.until('publish', 2);
  assert.deepEqual(
    as.heard('publish').map(({ retain }) => retain),
    [true, false],
  );
  assert.deepEqual(
    plain.heard('publish').map(({ retain }) => retain),
    [false, false],
  );
}

async function retainHandling(talk: Talk): Promise<void> {
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('rh'), 'x', 1, { retain: true });
  const reader = await talk.party('reader');
  const counts: number[] = [];
  for (const rh of [2, 1, 0, 1, 0]) {
    await reader.subscribe(talk.topic('rh'), 1, { rh });
    await sleep(quietMs);
    counts.push(reader.messages.length);
  }
  assert.deepEqual(counts, [0, 0, 1, 1, 2], 'never; there already; always; there; always');
  const fresh = await talk.party('fresh');
  await fresh.subscribe(talk.topic('rh'), 1, { rh: 1 });
  assert.equal((await fresh.gets(1)).length, 1, 'the subscription is new');
}

async function identifiers(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('id/a'), 1, { properties: { subscriptionIdentifier: 7 } });
  const largest = 268_435_455;
  await reader.subscribe(talk.topic('id/b'), 1, {
    properties: { subscriptionIdentifier: largest },
  });
  await reader.subscribe(talk.topic('id/c'), 1);
  const writer = await talk.party('writer');
  for (const name of ['a', 'b', 'c']) await writer.publish(talk.topic(`id/${name}`), 'x', 1);
  await reader.until('publish', 3);
  const got = reader.heard('publish').map(({ properties }) => properties?.subscriptionIdentifier);
  assert.deepEqual(got.map(Number), [7, largest, Number.NaN]);
}

async function nobody(talk: Talk): Promise<void> {
  // No filter of another conversation stands for it.
  const topic = `$nobody/${talk.prefix}`;
  const writer = await talk.party('writer');
  const puback = await writer.publish(topic, 'x', 1);
  assert.equal(puback?.reasonCode, 0x10);
  const reader = await talk.party('reader');
  await reader.subscribe(topic, 0);
  assert.equal((await writer.publish(topic, 'x', 1))?.reasonCode ?? 0, 0);
}

export const propertyBehaviours: readonly Behaviour[] = [
  { name: 'what rides along with a message arrives unaltered', versions: only5, holds: carried },
  { name: 'a question finds its answer', versions: only5, holds: requested },
  {
    name: 'a message that expired is not delivered, and others say what is left',
    versions: only5,
    holds: expired,
  },
  {
    name: 'of those that share a subscription one gets each message',
    versions: only5,
    holds: shared,
  },
  { name: 'No Local keeps a client’s own messages from it', versions: only5, holds: noLocal },
  { name: 'Retain As Published keeps RETAIN, else it is 0', versions: only5, holds: asPublished },
  {
    name: 'Retain Handling says when retained messages come',
    versions: only5,
    holds: retainHandling,
  },
  {
    name: 'a message says by which Subscription Identifier it came',
    versions: only5,
    holds: identifiers,
  },
  { name: 'who publishes to nobody is told so', versions: only5, holds: nobody },
];
