/**
 * The small parts of the ingress room, each promise by itself.
 * What they do together, over real sockets, is in filter.test.ts.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AckQueue, ackTypes } from '../agent/ingress/ack-queue.ts';
import { HoldQueue } from '../agent/ingress/hold-queue.ts';
import { Inbox } from '../agent/ingress/inbox.ts';
import { KeepAlive } from '../agent/ingress/keep-alive.ts';
import { PartialBudget } from '../agent/ingress/partials.ts';
import type { Served, Source } from '../agent/ingress/source.ts';
import { eventually } from './support/agent.ts';

const servedWithinMs = 5_000;

test('an acknowledgement waits behind one that cannot leave yet', () => {
  const queue = new AckQueue();
  queue.push(1, 10, ackTypes.puback, false);
  queue.push(1, 11, ackTypes.puback, true);
  queue.push(2, 12, ackTypes.puback, false);
  assert.equal(queue.take(), null, 'nothing is committed');
  queue.committed(2);
  assert.deepEqual([...(queue.take() ?? [])], [0x40, 2, 0, 10], '11 waits for the broker');
  assert.equal(queue.waitsForBroker, true);
  assert.equal(queue.brokerAcknowledged(ackTypes.puback, 99, Buffer.alloc(4)), false);
  assert.equal(queue.brokerAcknowledged(ackTypes.puback, 11, Buffer.alloc(4)), true);
  assert.deepEqual([...(queue.take() ?? [])], [0x40, 2, 0, 11, 0x40, 2, 0, 12]);
  assert.equal(queue.length, 0);
});

test('QoS 2 is answered with PUBREC, a Reason Code makes the packet longer', () => {
  const queue = new AckQueue();
  queue.push(1, 0x0102, ackTypes.pubrec, false);
  queue.push(1, 3, ackTypes.puback, false, 0x97);
  queue.committed(1);
  assert.deepEqual([...(queue.take() ?? [])], [0x50, 2, 1, 2, 0x40, 3, 0, 3, 0x97]);
});

test('what the broker answered takes its place, as it wrote it', () => {
  const queue = new AckQueue();
  queue.push(5, 1, ackTypes.puback, false);
  queue.pushPassed(2, ackTypes.puback);
  queue.push(5, 3, ackTypes.puback, false);
  const answer = Buffer.from([0x40, 4, 0, 2, 0x10, 0]);
  assert.equal(queue.brokerAcknowledged(ackTypes.pubrec, 2, answer), false, 'another type');
  assert.equal(queue.brokerAcknowledged(ackTypes.puback, 2, answer), true);
  assert.equal(queue.take(), null, 'it waits behind the first');
  assert.equal(queue.pubacks, 3);
  queue.committed(5);
  const all = [0x40, 2, 0, 1, ...answer, 0x40, 2, 0, 3];
  assert.deepEqual([...(queue.take() ?? [])], all);
  assert.equal(queue.pubacks, 0);
});

test('a copy’s success is told in the broker’s words, its refusal is not', () => {
  const queue = new AckQueue();
  for (const id of [1, 2, 3, 4]) queue.push(5, id, ackTypes.puback, true);
  const reasoned = Buffer.from([0x40, 8, 0, 2, 0x10, 4, 0x1f, 0, 1, 0x61]);
  queue.brokerAcknowledged(ackTypes.puback, 1, Buffer.from([0x40, 3, 0, 1, 0x10]));
  queue.brokerAcknowledged(ackTypes.puback, 2, reasoned);
  queue.brokerAcknowledged(ackTypes.puback, 3, Buffer.from([0x40, 3, 0, 3, 0x87]));
  queue.brokerAcknowledged(ackTypes.puback, 4, Buffer.from([0x40, 2, 0, 4]));
  assert.equal(queue.take(), null, 'none before its COMMIT');
  queue.committed(5);
  const stored = [0x40, 2, 0, 3, 0x40, 2, 0, 4];
  assert.deepEqual([...(queue.take() ?? [])], [0x40, 3, 0, 1, 0x10, ...reasoned, ...stored]);
});

test('a queue that never empties does not grow', () => {
  const queue = new AckQueue();
  for (let i = 0; i < 100_000; i++) {
    queue.push(i, i & 0xffff, ackTypes.puback, false);
    queue.committed(i - 1);
    queue.take();
  }
  assert.equal(queue.length, 1);
});

test('one byte at a time costs the inbox no more than twice the packet', () => {
  const inbox = new Inbox();
  const packet = Buffer.alloc(20_000, 7);
  for (const byte of packet) {
    inbox.push(Buffer.from([byte]));
    if (inbox.length === 5) inbox.consume(0, packet.length);
    assert.equal(inbox.ready, inbox.length < 5 || inbox.length === packet.length);
  }
  assert.ok(inbox.heldBytes <= 2 * packet.length, `${inbox.heldBytes} bytes held`);
  assert.deepEqual(inbox.bytes, packet);
  inbox.consume(packet.length, 0);
  assert.equal(inbox.heldBytes, 0);
});

test('what is left of a large chunk does not keep the chunk', () => {
  const inbox = new Inbox();
  inbox.push(Buffer.alloc(65_536, 1));
  inbox.consume(65_500, 100);
  inbox.settle();
  assert.ok(inbox.heldBytes <= 256, `${inbox.heldBytes} bytes held`);
  assert.equal(inbox.length, 36);
});

test('Keep Alive: ours is due while the device is heard, expired when it is not', () => {
  const alive = new KeepAlive();
  alive.start(10, 0);
  assert.equal(alive.due(5_000), 'nothing');
  alive.deviceSent(6_000);
  assert.equal(alive.due(6_500), 'ping', 'the broker heard nothing for 6.5 s');
  alive.pinged(6_500);
  assert.equal(alive.due(7_000), 'nothing');
  assert.equal(alive.due(21_001), 'expired');
  alive.stoppedReading();
  assert.notEqual(alive.due(60_000), 'expired', 'time in which we do not read does not count');
  alive.readsAgain(60_000);
  assert.notEqual(alive.due(74_000), 'expired');
  assert.equal(alive.due(75_001), 'expired');
});

test('PINGRESPs are told apart in the order of their PINGREQs', () => {
  const alive = new KeepAlive();
  alive.start(10, 0);
  alive.devicePinged();
  alive.pinged(1);
  alive.devicePinged();
  assert.deepEqual(
    [1, 2, 3].map(() => alive.pingAnswered()),
    [false, true, false],
  );
});

test('the budget closes the connection that holds most, and no other', () => {
  const closed: string[] = [];
  const holder = (name: string) => ({ refuse: () => void closed.push(name) });
  const [small, large] = [holder('small'), holder('large')];
  const budget = new PartialBudget(100);
  budget.set(small, 30);
  budget.set(large, 60);
  budget.set(small, 45);
  assert.deepEqual(closed, ['large']);
  assert.equal(budget.totalBytes, 45);
});

test('a shared bucket serves in turn, and a source that left is not served', async () => {
  const served: string[] = [];
  const queue = new HoldQueue();
  const source = (name: string, frames: number): Source => {
    let left = frames;
    return {
      wake: (): Served => {
        served.push(name);
        left -= 1;
        return left > 0 ? 'more' : 'served';
      },
    } as unknown as Source;
  };
  const [a, b, gone] = [source('a', 3), source('b', 2), source('gone', 9)];
  for (const each of [a, b, gone]) queue.hold(each, 0, true, 1);
  assert.equal(queue.size, 3);
  queue.leave(gone);
  await eventually('nobody waits', servedWithinMs, () => queue.size === 0);
  assert.deepEqual(served, ['a', 'b', 'a', 'b', 'a']);
  assert.equal(queue.size, 0);
});

test('held by something else in its turn, a source strands nobody behind it', async () => {
  const served: string[] = [];
  const queue = new HoldQueue();
  const source = (name: string, answer: Served, then = () => {}): Source => {
    const wake = (): Served => {
      served.push(name);
      then();
      return answer;
    };
    return { wake } as unknown as Source;
  };
  // A full segment holds it without the queue; another limit holds it elsewhere in the queue.
  const full = source('full', 'held');
  const other: Source = source('other', 'held', () => queue.hold(other, 2, false, 5_000));
  const [last, late] = [source('last', 'served'), source('late', 'served')];
  for (const each of [full, other, last]) queue.hold(each, 1, true, 1);
  await eventually('the last is served', servedWithinMs, () => served.includes('last'));
  assert.deepEqual(served, ['full', 'other', 'last']);
  assert.equal(queue.size, 1, 'the other limit has it');
  queue.leave(other);
  queue.hold(late, 1, true, 1);
  await eventually('it is served', servedWithinMs, () => served.includes('late'));
  assert.equal(served.at(-1), 'late');
  assert.equal(queue.size, 0);
});
