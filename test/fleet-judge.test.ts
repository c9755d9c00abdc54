/**
 * Whether a config that was applied does harm, on a clock of the test: only what was well before
 * counts against it, and a fault has a grace unless it needs hands.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Health, HealthMemory, isSettled, type Usual } from '../agent/fleet/health.ts';
import { Judge, type Judgement, type Tolerance } from '../agent/fleet/judge.ts';

const tolerance: Tolerance = { confirmWithinMs: 20_000, errors: 3, backlogBytes: 1_000 };
const well: Health = {
  atMs: 0,
  lanes: { 'cloud/at-least-once': 'forwarding' },
  linked: true,
  errors: 0,
  backlogBytes: 0,
};

type Moment = Partial<Omit<Health, 'lanes'>> & { lanes?: Record<string, string> };

/** One look a second from second 1 on, the last moment staying. */
function judged(
  moments: readonly Moment[],
  before: Moment = {},
  rates: Partial<Usual> = {},
  tolerated = tolerance,
): { verdict: string; second: number } {
  const start = { ...well, ...before };
  const usual = { before: start, errorsPerSecond: 0, backlogBytesPerSecond: 0, ...rates };
  const judge = new Judge(usual, start, tolerated);
  let judgement: Judgement = { kind: 'watching' };
  let second = 0;
  for (; judgement.kind === 'watching' && second < 60; ) {
    second += 1;
    const moment = moments[Math.min(second, moments.length) - 1] ?? {};
    judgement = judge.look({ ...well, ...before, ...moment, atMs: second * 1_000 });
  }
  return { verdict: judgement.kind === 'harm' ? judgement.reason : judgement.kind, second };
}

const cloud = (state: string) => ({ lanes: { 'cloud/at-least-once': state } });
const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

test('all well: confirmed when the time is over, not before', () => {
  assert.deepEqual(judged([{}]), { verdict: 'confirmed', second: 20 });
});

test('a halted lane is harm at once', () => {
  const { verdict, second } = judged([{}, {}, cloud('halted')]);
  assert.match(verdict, /cloud\/at-least-once forwarded before, and is halted/);
  assert.equal(second, 3);
});

test('a lane that does not forward has a quarter of the time', () => {
  const { verdict, second } = judged([{}, cloud('backing-off')]);
  assert.match(verdict, /is backing-off for 6\.0 s/);
  assert.equal(second, 8);
  const back = [...times(5, cloud('backing-off')), {}];
  assert.equal(judged(back).verdict, 'confirmed', 'it came back in time');
});

test('a fault that lasts at the end has its grace, and nothing is confirmed before', () => {
  const late = judged([...times(17, {}), cloud('backing-off')]);
  assert.match(late.verdict, /backing-off/);
  assert.equal(late.second, 24);
  const mended = judged([...times(18, {}), ...times(4, cloud('connecting')), {}]);
  assert.deepEqual(mended, { verdict: 'confirmed', second: 23 });
});

test('what was not well before does not count', () => {
  const away = cloud('backing-off');
  assert.equal(judged([away], away).verdict, 'confirmed');
  assert.equal(judged([cloud('halted')], away).verdict, 'confirmed');
  assert.equal(judged([{ linked: false }], { linked: false }).verdict, 'confirmed');
});

test('a new lane of an upstream that was well counts, one of a new upstream does not', () => {
  const lanes = { 'cloud/at-most-once': 'halted' };
  assert.match(judged([{ lanes }]).verdict, /cloud\/at-most-once/);
  const more = { ...well.lanes, 'archive/at-least-once': 'halted' };
  assert.equal(judged([{ lanes: more }]).verdict, 'confirmed');
  const both = { 'cloud/at-least-once': 'forwarding', 'cloud/at-most-once': 'halted' };
  assert.equal(judged([{ lanes: both }], { lanes: both }).verdict, 'confirmed');
});

test('another upstream in the place of all that forwarded has to forward', () => {
  const dead = { lanes: { 'other/at-least-once': 'backing-off' } };
  assert.match(judged([dead]).verdict, /all lanes that forwarded are gone/);
  assert.match(judged([{ lanes: {} }]).verdict, /all lanes that forwarded are gone/);
  const alive = { lanes: { 'other/at-least-once': 'forwarding' } };
  assert.equal(judged([dead, alive]).verdict, 'confirmed');
});

test('what an operator paused by hand says nothing', () => {
  assert.equal(judged([cloud('paused')]).verdict, 'confirmed');
});

test('NATS may be gone for half of the time, and not be confirmed without', () => {
  const gone = judged([{ linked: false }]);
  assert.match(gone.verdict, /NATS was connected before/);
  assert.equal(gone.second, 12);
  const back = judged([...times(15, {}), ...times(8, { linked: false }), {}]);
  assert.deepEqual(back, { verdict: 'confirmed', second: 24 });
  // A short trial outlasts a server that is started again.
  const short = { ...tolerance, confirmWithinMs: 3_000 };
  const restarted = [{}, ...times(7, { linked: false }), {}];
  assert.deepEqual(judged(restarted, {}, {}, short), { verdict: 'confirmed', second: 9 });
});

test('error events count beyond those that were usual', () => {
  const each = (perSecond: number) =>
    times(60, {}).map((_, i) => ({ errors: (i + 1) * perSecond }));
  assert.equal(judged(each(1)).second, 4);
  assert.match(judged(each(1)).verdict, /4 error events more than before/);
  assert.equal(judged(each(1), {}, { errorsPerSecond: 1 }).verdict, 'confirmed');
  assert.equal(judged(each(2), {}, { errorsPerSecond: 1 }).second, 4);
});

test('the backlog may grow as it did, and so much more', () => {
  const grown = (perSecond: number) =>
    times(60, {}).map((_, i) => ({ backlogBytes: (i + 1) * perSecond }));
  assert.match(judged(grown(100)).verdict, /backlog grew by 1100 bytes/);
  assert.equal(judged(grown(100), {}, { backlogBytesPerSecond: 60 }).verdict, 'confirmed');
});

test('what was usual is what was in the last minute', () => {
  const memory = new HealthMemory();
  for (let second = 0; second <= 120; second++) {
    const errors = second < 60 ? second * 10 : 600 + (second - 60);
    memory.add({ ...well, atMs: second * 1_000, errors, backlogBytes: second * 5 });
  }
  const now = { ...well, atMs: 120_000, errors: 660, backlogBytes: 600 };
  const usual = memory.usual(now);
  assert.equal(usual.errorsPerSecond, 1);
  assert.equal(usual.backlogBytesPerSecond, 5);
  const shrinking = memory.usual({ ...now, backlogBytes: 0 });
  assert.equal(shrinking.backlogBytesPerSecond, 0, 'a drain is no licence to grow later');
  memory.clear();
  assert.equal(memory.usual(now).errorsPerSecond, 0);
});

test('lanes are settled when none is on its way', () => {
  assert.equal(isSettled(well), true);
  assert.equal(isSettled({ ...well, ...cloud('connecting') }), false);
  assert.equal(isSettled({ ...well, ...cloud('starting') }), false);
  assert.equal(isSettled({ ...well, ...cloud('backing-off') }), true);
});
