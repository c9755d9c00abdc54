/**
 * How a NATS upstream paces itself, against a server that answers as the test says: how many it
 * lets be in flight, what it sends again, when, and in which order.
 */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type LaneRig, waitFor } from './support/egress-rig.ts';
import { numbered, texts } from './support/mqtt-upstream-rig.ts';
import { FarNats, notNow, pubAck } from './support/nats-far.ts';
import {
  closeAll,
  closing,
  type NatsLane,
  natsConfig,
  natsLane,
} from './support/nats-upstream-rig.ts';

afterEach(closeAll);

const settleMs = 20;
const inFlight = 8;

async function laneTo(count: number, rest: Partial<NatsLane> = {}): Promise<[LaneRig, FarNats]> {
  const server = new FarNats();
  closing(() => server.close());
  const rig = natsLane({ config: natsConfig(await server.listen(), { inFlight }), ...rest });
  rig.append(numbered(count));
  rig.start();
  return [rig, server];
}

/** What was sent since, once `count` of them are there and no more come. */
async function next(server: FarNats, count: number) {
  await waitFor(() => server.published.length >= count);
  await sleep(settleMs);
  return server.published.splice(0);
}

const valuesOf = (all: readonly { value: string }[]) => all.map(({ value }) => value);

/** Answers what comes with PubAcks until this many are in flight together. */
async function widen(server: FarNats, to: number): Promise<Awaited<ReturnType<typeof next>>> {
  for (let width = 1; ; width *= 2) {
    const sent = await next(server, Math.min(width, to));
    assert.equal(sent.length, Math.min(width, to));
    if (width >= to) return sent;
    for (const one of sent) one.answer(pubAck);
  }
}

test('a connection begins with one message and doubles up to inFlight', async () => {
  const [rig, server] = await laneTo(40);
  const sent = await widen(server, inFlight);
  assert.deepEqual(valuesOf(sent), texts(inFlight, 7));
  assert.equal(rig.outcomes.confirmed <= 7, true);
});

test('what was refused waits for what is in flight, then goes first, alone', async () => {
  const [rig, server] = await laneTo(40);
  const sent = await widen(server, inFlight);
  const [, first, , second] = sent;
  second?.answer(notNow);
  await sleep(settleMs);
  first?.answer(notNow);
  await sleep(settleMs);
  assert.equal(server.published.length, 0, 'others are still in flight');
  for (const one of sent) if (one !== first && one !== second) one.answer(pubAck);
  const [again, ...more] = await next(server, 1);
  assert.deepEqual([again?.value, again?.messageId], [first?.value, first?.messageId]);
  assert.deepEqual(more, [], 'one at a time');
  assert.ok(rig.events.some(({ fields }) => fields.code === 'upstreamRejected'));
  again?.answer(notNow);
  const [third, ...none] = await next(server, 1);
  assert.deepEqual([third?.value, none], [first?.value, []]);
  third?.answer(pubAck);
  const pair = await next(server, 2);
  assert.deepEqual(valuesOf(pair), [second?.value, String(7 + inFlight)]);
});

test('no PubAck in time: sent again on the same connection; a late one is nobody’s', async () => {
  const [rig, server] = await laneTo(5, { tuning: { pubAckWithinMs: 60 } });
  const [late] = await next(server, 1);
  const [again] = await next(server, 1);
  assert.deepEqual([again?.messageId, again?.connection], [late?.messageId, 1]);
  assert.notEqual(again?.reply, late?.reply);
  late?.answer(pubAck);
  await sleep(settleMs);
  assert.equal(rig.settled, 0);
  assert.equal(server.published.length, 0);
  again?.answer(pubAck);
  await next(server, 1);
  await waitFor(() => rig.outcomes.confirmed === 1);
});

test('no PubAck and no PONG: the connection is given up for another', async () => {
  const [, server] = await laneTo(5, { tuning: { pubAckWithinMs: 60 } });
  server.answersPing = false;
  const [first] = await next(server, 1);
  await waitFor(() => server.connections === 2, 5_000);
  await waitFor(() => server.published.some(({ connection }) => connection === 2), 5_000);
  const again = server.published.find(({ connection }) => connection === 2);
  assert.equal(again?.messageId, first?.messageId);
});

test('paused, what is in flight is still answered; what it refused goes first later', async () => {
  const [rig, server] = await laneTo(20);
  const sent = await widen(server, 4);
  rig.forwarder.pause();
  for (const one of sent.slice(1)) one.answer(pubAck);
  sent[0]?.answer(notNow);
  await sleep(settleMs);
  assert.equal(server.published.length, 0);
  assert.equal(rig.states.at(-1), 'paused');
  rig.forwarder.resume();
  const [again] = await next(server, 1);
  assert.equal(again?.value, sent[0]?.value);
});

test('a jump of the cursor forgets what was held, and answers to it move nothing', async () => {
  const [rig, server] = await laneTo(3);
  const [old] = await next(server, 1);
  const segment = rig.log.append(numbered(2, 3));
  rig.jump({ segment, frame: 0 });
  const [fresh] = await next(server, 1);
  assert.equal(fresh?.value, '3');
  old?.answer(pubAck);
  await sleep(settleMs);
  assert.equal(server.published.length, 0);
  fresh?.answer(pubAck);
  const [last] = await next(server, 1);
  last?.answer(pubAck);
  await rig.settledAll(2);
  assert.equal(rig.outcomes.confirmed, 2);
});
