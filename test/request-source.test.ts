/**
 * The events of a request on their way through the real core and path, in front of a disk whose
 * COMMIT the test lets happen: who hears what, when, and in which order.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { commitsInFlight } from '../agent/bounds.ts';
import { publisherOn } from '../agent/bridge-part.ts';
import type { Limit } from '../agent/config/types.ts';
import type { EventName } from '../agent/events.ts';
import { PathCore } from '../agent/frames/path-core.ts';
import { systemClock } from '../agent/ingress/clock.ts';
import { HoldQueue } from '../agent/ingress/hold-queue.ts';
import type { MessageForm } from '../agent/ingress/message-chunk.ts';
import { Pipeline } from '../agent/pipeline.ts';
import { HeldDisk } from './support/rig.ts';

const storedWithinMs = 300;
const all = { httpOnly: false, local: true, maxBytes: null, to: [] } as const;

function rigOf({
  held = true,
  limits = [] as readonly Limit[],
  disk = new HeldDisk(held, []),
} = {}) {
  const core = new PathCore();
  const routes = [
    { ...all, name: 'plant', from: 'plant/#', limits },
    { ...all, name: 'rest', from: '#', limits: [], httpOnly: true },
  ];
  core.installRoutes(routes, [1, 2]);
  const holds = new HoldQueue();
  const path = new Pipeline({
    ...{ core, buffer: disk, holds, clock: systemClock(0) },
    ...{ telemetry: { frames: () => {} }, commitEveryMs: 0 },
  });
  const events: EventName[] = [];
  const publish = publisherOn(
    {
      ...{ path, stored: disk.sessions, lived: () => 0 },
      report: (name) => void events.push(name),
    },
    storedWithinMs,
  );
  return { disk, path, holds, publish, events };
}

const form = (topicName: string, payload: string | Buffer = topicName): MessageForm => ({
  ...{ topicName, eventId: '', headers: [] },
  payload: Buffer.from(payload),
});

/** What it was told by now; null: nothing. */
async function heard<T>(promise: Promise<T>): Promise<T | null> {
  const nothing = Symbol('nothing');
  for (let turns = 0; turns < 5; turns++) await turn();
  const found = await Promise.race([promise, Promise.resolve(nothing)]);
  return found === nothing ? null : (found as T);
}

test('nobody is answered before the COMMIT of the last event', async () => {
  const { disk, publish } = rigOf();
  const asked = publish('erp', [form('plant/1'), form('plant/2')], null);
  assert.equal(await heard(asked), null);
  disk.release();
  assert.deepEqual(await asked, [
    { outcome: 'stored', frame: 1 },
    { outcome: 'stored', frame: 2 },
  ]);
});

test('each answer is its own event’s, whatever is wrong with those between', async () => {
  const { disk, publish, events } = rigOf({ held: false });
  const large = Buffer.alloc(300_000);
  const names = ['plant/1', '', 'plant/+', 'plant/2', '$SYS/x', 'other', 'plant/3'];
  const forms = names.map((name) => form(name));
  forms.splice(4, 0, form('plant/large', large));
  const judged = (await publish('erp', forms, null)) as { outcome: string; frame?: number }[];
  assert.deepEqual(
    judged.map(({ outcome, frame }) => (outcome === 'stored' ? frame : outcome)),
    [1, 'refused', 'refused', 2, 'refused', 'passed', 3, 4],
  );
  assert.deepEqual(
    disk.views().map(({ topicName, device, protocol }) => [topicName, device, protocol]),
    ['plant/1', 'plant/2', 'other', 'plant/3'].map((name) => [name, 'erp', 3]),
  );
  assert.equal(events.filter((name) => name === 'messageRefused').length, 3);
});

test('thousands of events that are refused cost one look each', async () => {
  const { path, publish } = rigOf({ held: false });
  let calls = 0;
  const take = path.take.bind(path);
  path.take = (...args) => {
    calls += 1;
    return take(...args);
  };
  const forms = Array.from({ length: 5_000 }, (_, n) => form(n % 50 === 0 ? 'plant/x' : 'plant/#'));
  await publish('erp', forms, null);
  assert.ok(calls <= 100, `${calls} calls of the core`);
});

test('a request larger than what may be on its way waits for room', async () => {
  const { disk, publish } = rigOf();
  const payload = Buffer.alloc(200_000);
  const forms = Array.from({ length: 30 }, (_, n) => form(`plant/${n}`, payload));
  const asked = publish('erp', forms, null);
  const other = publish('mes', [form('plant/other')], null);
  for (let rounds = 0; rounds < 30; rounds++) {
    await turn();
    if (disk.appended >= commitsInFlight) disk.release();
  }
  disk.held = false;
  disk.release();
  const judged = (await asked) as { outcome: string; frame: number }[];
  assert.ok(judged.every(({ outcome }) => outcome === 'stored'));
  const views = disk.views();
  for (const [index, { frame }] of judged.entries()) {
    assert.equal(views[frame - 1]?.topicName, `plant/${index}`);
  }
  const [alone] = (await other) as readonly { frame?: number }[];
  assert.equal(views[(alone?.frame ?? 0) - 1]?.topicName, 'plant/other');
});

test('over a limit the events behind are told to wait, and nothing waits for them', async () => {
  const limit = {
    per: 'device',
    messagesPerSecond: 1,
    bytesPerSecond: 0,
    burstMessages: 2,
  } as const;
  const limits = [{ ...limit, burstBytes: 0, over: 'hold' } as const];
  const { holds, publish } = rigOf({ held: false, limits });
  const judged = await publish(
    'erp',
    [1, 2, 3, 4].map((n) => form(`plant/${n}`)),
    null,
  );
  const outcomes = (judged as { outcome: string; waitMs?: number }[]).map(({ outcome }) => outcome);
  assert.deepEqual(outcomes, ['stored', 'stored', 'limited', 'limited']);
  assert.equal(holds.size, 0);
});

test('when the disk does not answer in time nothing is called stored', async () => {
  const { disk, publish } = rigOf();
  const once = { key: 'k', fingerprint: 'f' };
  const asked = publish('erp', [form('plant/1')], once);
  assert.deepEqual(await asked, [{ outcome: 'unavailable' }]);
  assert.equal(await publish('erp', [form('plant/1')], once), 'onItsWay');
  disk.release();
  assert.deepEqual(await publish('erp', [form('plant/1')], once), [
    { outcome: 'stored', frame: 1 },
  ]);
  const crashed = rigOf({ disk: new HeldDisk(false, disk.sessions) });
  assert.deepEqual(await crashed.publish('erp', [form('plant/1')], once), [
    { outcome: 'stored', frame: 1 },
  ]);
  assert.equal(crashed.disk.appended, 0);
});

test('a key is on disk in the commit of its events, not before', async () => {
  const { disk, publish } = rigOf();
  const asked = publish('erp', [form('plant/1')], { key: 'k', fingerprint: 'f' });
  assert.equal(await heard(asked), null);
  assert.deepEqual(disk.sessions, []);
  assert.equal(disk.appended, 1);
  disk.release();
  await asked;
  assert.equal(disk.sessions.length, 1);
});
