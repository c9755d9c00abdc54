/**
 * Behaviours of version 5 that bound a connection: how long its session lives, how late its Will
 * comes, how much either side may send at once, how large, and under which aliases.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet } from 'mqtt-packet';
import type { Asked } from '../support/party.ts';
import { type Behaviour, only5, type Talk } from './behaviour.ts';

const quietMs = 200;

async function sessionExpiry(talk: Talk): Promise<void> {
  const present = async (name: string): Promise<boolean> => {
    const party = await talk.party(name, talk.kept(false, 0));
    const { sessionPresent } = party.connack;
    await party.disconnect();
    return sessionPresent;
  };
  await (await talk.party('zero', talk.kept(true, 0))).disconnect();
  assert.equal(await present('zero'), false, '0 ends with the connection');
  await (await talk.party('long', talk.kept(true))).drop();
  assert.equal(await present('long'), true);
  const changed = await talk.party('changed', talk.kept(true));
  await changed.disconnect({ properties: { sessionExpiryInterval: 0 } });
  assert.equal(await present('changed'), false, 'DISCONNECT has the last word');
  await (await talk.party('short', talk.kept(true, 1))).drop();
  await sleep(3_000);
  assert.equal(await present('short'), false, 'after its interval');
}

async function assigned(talk: Talk): Promise<void> {
  const first = await talk.party('', talk.kept(true));
  const name = first.connack.properties?.assignedClientIdentifier ?? '';
  assert.ok(name.length > 0);
  await first.subscribe(talk.topic('assigned'), 1);
  await first.drop();
  const back = await talk.party('', { ...talk.kept(false), clientId: name });
  assert.equal(back.connack.sessionPresent, true, 'the name is the client’s');
  const named = await talk.party('named');
  assert.equal(named.connack.properties?.assignedClientIdentifier, undefined);
}

async function serverKeepAlive(talk: Talk): Promise<void> {
  const party = await talk.party('slow', { keepalive: 1_000 });
  assert.equal(party.connack.properties?.serverKeepAlive, 60);
  const quick = await talk.party('quick', { keepalive: 10 });
  assert.equal(quick.connack.properties?.serverKeepAlive, undefined);
}

async function aliasesUp(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('alias/#'), 1);
  const writer = await talk.party('writer');
  const most = writer.connack.properties?.topicAliasMaximum ?? 0;
  assert.equal(most, 10);
  const send = (topic: string, topicAlias: number, payload: string) =>
    writer.publish(topic, payload, 1, { properties: { topicAlias } });
  await send(talk.topic('alias/a'), 1, 'set');
  await send('', 1, 'used');
  await send(talk.topic('alias/b'), most, 'set');
  await send(talk.topic('alias/c'), 1, 'moved');
  await send('', 1, 'used');
  await send('', most, 'used');
  const expected = ['a set', 'a used', 'b set', 'c moved', 'c used', 'b used'];
  const topics = expected.map((name) => `${talk.topic(`alias/${name}`)} 1`);
  assert.deepEqual(await reader.gets(topics.length), topics);
  const other = await talk.party('other');
  const alone = { topic: '', payload: 'x', properties: { topicAlias: 1 } } as const;
  other.say({ cmd: 'publish', qos: 0, dup: false, retain: false, ...alone });
  await other.closed();
  assert.ok(
    (other.heard('disconnect')[0]?.reasonCode ?? 0) >= 0x80,
    'aliases end with their connection',
  );
}

async function aliasesDown(talk: Talk): Promise<void> {
  const asking = await talk.party('asking', { properties: { topicAliasMaximum: 3 } });
  const plain = await talk.party('plain');
  for (const party of [asking, plain]) await party.subscribe(talk.topic('down/#'), 0);
  const writer = await talk.party('writer');
  const names = ['a', 'b', 'c', 'd', 'a', 'd'].map((name) => talk.topic(`down/${name}`));
  for (const name of names) await writer.publish(name, 'x', 1);
  await asking.until('publish', names.length);
  await plain.until('publish', names.length);
  const known = new Map<number, string>();
  const heard = asking.heard('publish').map(({ topic, properties }) => {
    const alias = properties?.topicAlias ?? 0;
    assert.ok(alias <= 3);
    if (topic !== '') known.set(alias, topic);
    return topic === '' ? known.get(alias) : topic;
  });
  assert.deepEqual(heard, names);
  assert.deepEqual(
    plain.heard('publish').map(({ topic }) => topic),
    names,
  );
}

async function largestDown(talk: Talk): Promise<void> {
  const small = await talk.party('small', { properties: { maximumPacketSize: 200 } });
  await small.subscribe(talk.topic('size'), 1);
  const writer = await talk.party('writer');
  await writer.publish(talk.topic('size'), 'x'.repeat(300), 1);
  await writer.publish(talk.topic('size'), 'fits', 1);
  assert.deepEqual(await small.gets(1), [`${talk.topic('size')} fits 1`]);
  assert.equal(small.ended, false);
}

async function largestUp(talk: Talk): Promise<void> {
  const writer = await talk.party('writer');
  const most = writer.connack.properties?.maximumPacketSize ?? 0;
  assert.equal(most, 20_000);
  await writer.publish(talk.topic('size'), 'x'.repeat(most - 200), 1);
  const message = { topic: talk.topic('size'), payload: 'x'.repeat(most), qos: 0 } as const;
  writer.say({ cmd: 'publish', dup: false, retain: false, ...message });
  await writer.closed();
  assert.equal(writer.heard('disconnect')[0]?.reasonCode, 0x95);
}

async function flowDown(talk: Talk): Promise<void> {
  const reader = await talk.party('reader', { properties: { receiveMaximum: 2 } });
  await reader.subscribe(talk.topic('flow'), 2);
  reader.acknowledges = false;
  const writer = await talk.party('writer');
  for (let i = 0; i < 5; i++) await writer.publish(talk.topic('flow'), `${i}`, 1);
  assert.equal((await reader.gets(2, quietMs)).length, 2, 'two await their PUBACK');
  reader.say({ cmd: 'pingreq' });
  await reader.until('pingresp');
  for (let i = 0; i < 5; i++) {
    const { messageId = 0 } = await reader.until('publish', i + 1);
    reader.say({ cmd: 'puback', messageId });
  }
  assert.deepEqual(
    await reader.gets(5),
    [0, 1, 2, 3, 4].map((i) => `${talk.topic('flow')} ${i} 1`),
  );
}

async function flowUp(talk: Talk): Promise<void> {
  const writer = await talk.party('writer');
  const most = writer.connack.properties?.receiveMaximum ?? 0;
  assert.equal(most, 20);
  writer.acknowledges = false;
  const message = {
    cmd: 'publish',
    topic: talk.topic('many'),
    payload: 'x',
    retain: false,
  } as const;
  const send = (messageId: number): void =>
    writer.say({ ...message, qos: 2, dup: false, messageId } as Packet);
  for (let id = 1; id <= most; id++) send(id);
  await writer.until('pubrec', most);
  writer.say({ cmd: 'pubrel', messageId: 1 });
  await writer.until('pubcomp');
  send(most + 1);
  await writer.until('pubrec', most + 1);
  assert.equal(writer.ended, false, 'a PUBCOMP gave one back');
  send(most + 2);
  await writer.closed();
  assert.equal(writer.heard('disconnect')[0]?.reasonCode, 0x93);
}

async function willDelay(talk: Talk): Promise<void> {
  const reader = await talk.party('reader');
  await reader.subscribe(talk.topic('delay/#'), 1);
  const asked = (name: string, willDelayInterval: number, seconds: number): Asked => ({
    ...talk.kept(true, seconds),
    will: {
      ...{ topic: talk.topic(`delay/${name}`), payload: Buffer.from('bye') },
      ...{ qos: 1, retain: false, properties: { willDelayInterval } },
    },
  });
  await (await talk.party('back', asked('back', 1, 600))).drop();
  const back = await talk.party('back', talk.kept(false));
  const began = performance.now();
  await (await talk.party('gone', asked('gone', 1, 600))).drop();
  await (await talk.party('ends', asked('ends', 600, 1))).drop();
  const meant = await talk.party('meant', asked('meant', 0, 0));
  await meant.disconnect({ reasonCode: 0x04 });
  await reader.until('publish', 3);
  assert.ok(performance.now() - began > 800, 'not before its delay');
  const expected = ['ends', 'gone', 'meant'].map((name) => `${talk.topic(`delay/${name}`)} bye 1`);
  assert.deepEqual((await reader.gets(3, 1_200)).sort(), expected);
  assert.equal(back.ended, false);
}

export const limitBehaviours: readonly Behaviour[] = [
  {
    name: 'a session ends with its Session Expiry Interval',
    versions: only5,
    holds: sessionExpiry,
  },
  {
    name: 'an Assigned Client Identifier is the client’s from then on',
    versions: only5,
    holds: assigned,
  },
  { name: 'Server Keep Alive is said where it differs', versions: only5, holds: serverKeepAlive },
  { name: 'Topic Aliases of a client, for its connection', versions: only5, holds: aliasesUp },
  {
    name: 'Topic Aliases of the server, no more than were granted',
    versions: only5,
    holds: aliasesDown,
  },
  {
    name: 'a client’s Maximum Packet Size: what is larger is not delivered',
    versions: only5,
    holds: largestDown,
  },
  {
    name: 'the server’s Maximum Packet Size: what is larger ends it, 0x95',
    versions: only5,
    holds: largestUp,
  },
  {
    name: 'a client’s Receive Maximum bounds what comes unacknowledged',
    versions: only5,
    holds: flowDown,
  },
  {
    name: 'the server’s Receive Maximum: one more ends it, 0x93',
    versions: only5,
    holds: flowUp,
    alone: 'it answers what is too much with PUBREC 0x97',
  },
  {
    name: 'a Will waits for its delay, for a session that comes back, or its end',
    versions: only5,
    holds: willDelay,
  },
];
