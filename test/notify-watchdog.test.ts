/**
 * The watchdog is fed by progress: a real agent whose disk is slow is left alive, one whose buffer
 * thread hangs is given up, and one whose main thread is blocked does not feed at all. strace makes
 * the system calls of the agent slow, which is as near as a test comes to a bad disk.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ThreadTurn } from '../agent/egress/thread-turn.ts';
import { type Turn, Watchdog } from '../agent/watchdog.ts';
import { AgentUnderTest } from './support/agent.ts';
import { Device } from './support/device.ts';
import { NotifiedService } from './support/service.ts';

const patience = 5;
/** A gap between two feeds that is no more than the timer's unrest. */
const unrestMs = 900;

/** Delays a system call of the agent, from its nth on. */
function slow(
  manager: NotifiedService,
  boundMs: number,
  call: string,
  delayMs: number,
  nth = '1+',
) {
  const inject = `inject=${call}:delay_enter=${delayMs * 1_000}:when=${nth}`;
  return {
    routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    env: manager.environment(boundMs),
    wrap: ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${call}`, '-e', inject],
  };
}

/** The longest time without a feed between the first and the last of them. */
function longestGapMs(manager: NotifiedService): number {
  const times = manager.with('WATCHDOG=1').map(({ atMs }) => atMs);
  return Math.max(...times.slice(1).map((atMs, i) => atMs - (times[i] ?? atMs)));
}

test('an agent at rest feeds at least every half of the bound', async () => {
  const boundMs = 2_000;
  using manager = NotifiedService.atPath();
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    env: manager.environment(boundMs),
  });
  await manager.until('ten feeds', () => manager.with('WATCHDOG=1').length >= 10);
  assert.ok(longestGapMs(manager) < boundMs / 2 + unrestMs, `${longestGapMs(manager)} ms`);
  assert.equal(await agent.stop(), 0);
});

/** What opening the buffer takes is let through; after that, every publish is one sync more. */
const syncsLetThrough = 40;
const afterOpening = `${syncsLetThrough}+`;

test('commits that take longer than the bound do not end the agent', async (t) => {
  const [boundMs, delayMs, slowOnes] = [1_000, 1_500, 3];
  using manager = NotifiedService.atPath();
  const setup = slow(manager, boundMs, 'fsync', delayMs, afterOpening);
  await using agent = await AgentUnderTest.start(setup);
  const device = await Device.connect(agent.mqttPort, 'pump');
  let seenSlow = 0;
  for (let n = 0; n < syncsLetThrough + slowOnes && seenSlow < slowOnes; n++) {
    const beganMs = performance.now();
    assert.equal(await device.publishAndWait('plant/a', `${n}`), 0);
    if (performance.now() - beganMs > delayMs) seenSlow += 1;
  }
  assert.equal(seenSlow, slowOnes);
  const gap = longestGapMs(manager);
  t.diagnostic(`commits of ${delayMs} ms, bound ${boundMs} ms, longest gap ${Math.round(gap)} ms`);
  assert.ok(gap < boundMs, `${gap} ms without a feed`);
  assert.deepEqual(manager.with('WATCHDOG=trigger'), []);
  assert.deepEqual(agent.events('threadStuck'), []);
  device.close();
});

test('a buffer thread that hangs is named, and the manager is asked to end the agent', async () => {
  const boundMs = 1_000;
  const hangsMs = 2 * patience * boundMs;
  using manager = NotifiedService.atPath();
  const setup = slow(manager, boundMs, 'fsync', hangsMs, afterOpening);
  await using agent = await AgentUnderTest.start(setup);
  const device = await Device.connect(agent.mqttPort, 'pump');
  let published = 0;
  const publishing = setInterval(() => device.publish('plant/a', 'x', ++published), 20).unref();
  await manager.until('given up', () => manager.with('WATCHDOG=trigger').length > 0);
  clearInterval(publishing);
  const [slowEvent] = agent.events('threadSlow');
  // Files are written in the buffer's thread, so that their egress hangs with it.
  const hung = 'buffer, egress of out';
  assert.equal(slowEvent?.threads, hung);
  const stuck = agent.events('threadStuck');
  assert.deepEqual(
    stuck.map(({ threads }) => threads),
    [hung],
  );
  assert.ok(Number(stuck[0]?.ms) >= patience * boundMs, `${stuck[0]?.ms} ms`);
  await manager.until('it is said', ({ status }) => /no answer for \d+ s: buffer/.test(status));
  const fed = manager.with('WATCHDOG=1').length;
  // The port still answers, and sentences are sent; that is no progress.
  assert.ok((await fetch(`http://127.0.0.1:${agent.httpPort}/healthz`)).ok);
  const told = manager.told.length;
  await manager.until('the main thread goes on', () => manager.told.length > told);
  assert.equal(manager.with('WATCHDOG=1').length, fed);
  assert.equal(manager.with('WATCHDOG=trigger').length, 1);
  device.close();
});

test('a main thread that is blocked does not feed', async () => {
  const [boundMs, delayMs] = [1_000, 4_000];
  using manager = NotifiedService.atPath();
  // The HTTP port and the listener are bound at the start; a third one by the reload.
  await using agent = await AgentUnderTest.start(slow(manager, boundMs, 'bind', delayMs, '3'));
  await manager.until('fed', () => manager.with('WATCHDOG=1').length > 2);
  await agent.reload((config) => {
    config.mqtt.listeners.push({ bind: '127.0.0.1:0' });
  });
  const fed = manager.with('WATCHDOG=1').length;
  await manager.until('fed again', () => manager.with('WATCHDOG=1').length > fed + 1);
  const gap = longestGapMs(manager);
  assert.ok(gap > delayMs - boundMs, `${gap} ms`);
  assert.equal(await agent.stop(), 0);
});

const spinning = `
  const { parentPort, workerData } = require('node:worker_threads');
  parentPort.on('message', () => {
    if (workerData.spins) for (;;) {}
    parentPort.postMessage({ kind: 'turned' });
  });
`;

function threadTurn(name: string, spins: boolean): { worker: Worker; turn: ThreadTurn } {
  const worker = new Worker(spinning, { eval: true, workerData: { spins } });
  const gone = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
  const post = (message: unknown): void => worker.postMessage(message);
  const turn = new ThreadTurn({ post, gone, abandon: () => void worker.terminate() }, name);
  worker.on('message', () => turn.answered());
  return { worker, turn };
}

test('a thread that spins starves the watchdog; one that answers or is gone does not', async () => {
  const well = threadTurn('well', false);
  const spins = threadTurn('spins', true);
  let nowMs = 0;
  const ask = (): Turn[] =>
    [well.turn, spins.turn].map((turn) => ({ thread: turn.name, answered: turn.ask() }));
  const watchdog = new Watchdog({ withinMs: 10, patienceMs: 50, ask, nowMs: () => nowMs });
  assert.deepEqual(watchdog.tick(), { state: 'fed' });
  await well.turn.ask();
  nowMs = 10;
  assert.deepEqual(watchdog.tick(), { state: 'fed' });
  nowMs = 11;
  assert.deepEqual(watchdog.tick(), { state: 'slow', threads: ['spins'], ms: 11 });
  nowMs = 51;
  assert.deepEqual(watchdog.tick(), { state: 'starved', threads: ['spins'], ms: 51 });
  const asked = spins.turn.ask();
  await spins.worker.terminate();
  await asked;
  nowMs = 52;
  assert.equal(watchdog.tick().state, 'starved', 'for ever: it hung once');

  const after = new Watchdog({ withinMs: 10, patienceMs: 50, ask: () => [], nowMs: () => nowMs });
  for (nowMs = 0; nowMs < 1_000; nowMs += 100) assert.equal(after.tick().state, 'fed');
  await well.worker.terminate();
});
