/**
 * Connections to Kafka as they age: one a broker, another before the log-in ends, the old one
 * closed only when nothing is in flight on it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Connections, type Link } from '../agent/egress/kafka-connections.ts';

interface Fake extends Link {
  readonly name: string;
  isOpen: boolean;
  renewAtMs: number;
  closed: boolean;
}

function rig(refusals = 0) {
  const opened: Fake[] = [];
  const connections = new Connections<Fake>(async ({ host, port }) => {
    await sleep(1);
    if (refusals-- > 0) throw new Error('refused');
    const link: Fake = {
      name: `${host}:${port}/${opened.length}`,
      isOpen: true,
      renewAtMs: Number.POSITIVE_INFINITY,
      closed: false,
      close: async () => {
        link.closed = true;
        link.isOpen = false;
      },
    };
    opened.push(link);
    return link;
  });
  return { connections, opened };
}

const one = { host: 'k1', port: 9092 };
const other = { host: 'k2', port: 9092 };
const name = async (link: Fake) => link.name;

test('requests to one broker share a connection, and those to another do not', async () => {
  const { connections, opened } = rig();
  const asked = [one, one, other].map((broker) => connections.use(broker, name));
  assert.equal(new Set(await Promise.all(asked)).size, 2);
  await connections.use(one, name);
  assert.equal(opened.length, 2);
  await connections.close();
  assert.ok(opened.every(({ closed }) => closed));
  await assert.rejects(connections.use(one, name), /closed/);
});

test('a log-in that ages gets another connection, and what is in flight is answered', async () => {
  const { connections, opened } = rig();
  let answer = (_: string) => {};
  const slow = connections.use(one, () => new Promise<string>((resolve) => (answer = resolve)));
  await sleep(5);
  const [old] = opened as [Fake];
  old.renewAtMs = performance.now();
  assert.equal(await connections.use(one, name), 'k1:9092/1');
  assert.equal(old.closed, false, 'a request is in flight on it');
  answer('late');
  assert.equal(await slow, 'late');
  assert.equal(old.closed, true);
  assert.equal(await connections.use(one, name), 'k1:9092/1');
});

test('a connection that broke or could not be opened is opened again', async () => {
  const { connections, opened } = rig(1);
  await assert.rejects(connections.use(one, name), /refused/);
  await connections.use(one, name);
  (opened[0] as Fake).isOpen = false;
  assert.equal(await connections.use(one, name), 'k1:9092/1');
});
