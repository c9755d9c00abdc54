/**
 * What systemd and the agent tell each other: READY and STATUS, RELOADING around a reload, and what
 * happens to an agent that hangs (the watchdog) or is killed (the back-off).
 *
 * RELOADING is seen in what PID 1 logs of its notifications at the level debug, since the state
 * itself may be over before anybody asks for it.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { configFile, type Machine } from './machine.ts';
import type { Detail } from './report.ts';
import { ask, journal, journalEnd, mainPid, must, run, show, unit, until } from './system.ts';

export const dropIns = `/etc/systemd/system/${unit}.d`;
const reloadWithinMs = 20_000;
const restartWithinMs = 90_000;
const secondPort = 1_893;
const load = { messages: 150, perSecond: 150 } as const;
const watchdogSeconds = 10;
const microsPerSecond = 1_000_000;
const secondUnits = { s: 1, ms: 0.001, min: 60 } as const;

export async function notified(machine: Machine): Promise<void> {
  const { report } = machine;
  await report.check('notify.status', async () => {
    const { StatusText = '' } = await show('StatusText');
    assert.notEqual(StatusText, '');
    return { StatusText };
  });
  const before = readFileSync(configFile, 'utf8');
  await report.check('notify.reload', () => reloads(before));
  writeFileSync(configFile, before);
  await report.check('notify.refused', () => refuses(machine, before));
  writeFileSync(configFile, before);
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** A listener more, and then one less. */
async function reloads(before: string): Promise<Detail> {
  const more = `    - { bind: '127.0.0.1:${secondPort}', broker: embedded }\n`;
  const withMore = before.replace(/^( {2}listeners:.*\n)/m, `$1${more}`);
  assert.notEqual(withMore, before, 'the packaged config has no mqtt.listeners');
  const pid = await mainPid();
  const since = await journalEnd();
  const detail = await withDebug(async () => {
    writeFileSync(configFile, withMore);
    const started = performance.now();
    await must('systemctl', 'reload', unit);
    const returnedMs = Math.round(performance.now() - started);
    const ranWhenItReturned = await accepts(secondPort);
    await until('the new listener takes connections', reloadWithinMs, () => accepts(secondPort));
    writeFileSync(configFile, before);
    await must('systemctl', 'reload', unit);
    await until('it is gone again', reloadWithinMs, async () => !(await accepts(secondPort)));
    return { returnedMs, ranWhenItReturned };
  });
  const told = (await journal(since, '_PID=1'))
    .split('\n')
    .flatMap((line) => /notification message.*\b(RELOADING|READY)=1/.exec(line)?.[1] ?? []);
  assert.deepEqual(told, ['RELOADING', 'READY', 'RELOADING', 'READY']);
  assert.equal(await mainPid(), pid);
  return { told, ...detail };
}

/** While PID 1 logs what it is told. */
async function withDebug<T>(work: () => Promise<T>): Promise<T> {
  await must('systemctl', 'log-level', 'debug');
  try {
    return await work();
  } finally {
    await must('systemctl', 'log-level', 'info');
  }
}

export async function degraded(): Promise<string | null> {
  const status = JSON.parse((await ask('/status')) ?? '{}') as { degraded?: string | null };
  return status.degraded ?? null;
}

async function refuses(machine: Machine, before: string): Promise<Detail> {
  const { connections } = machine.devices;
  const since = await journalEnd();
  writeFileSync(configFile, before.replace('listeners:', 'listenrs:'));
  await run('systemctl', 'reload', unit);
  await until('it says so', reloadWithinMs, async () => (await degraded()) === 'config');
  const { ActiveState, StatusText } = await show('ActiveState', 'StatusText');
  assert.equal(ActiveState, 'active');
  assert.match(await journal(since, '-u', unit), /listenrs/);
  await machine.load(load.messages, load.perSecond);
  assert.equal(machine.devices.connections, connections, 'devices stay connected');
  writeFileSync(configFile, before);
  await must('systemctl', 'reload', unit);
  await until('it is well again', reloadWithinMs, async () => (await degraded()) === null);
  return { StatusText };
}

/** A drop-in, as an operator's; `null` takes it away. The unit is not restarted. */
export async function dropIn(name: string, lines: readonly string[] | null): Promise<void> {
  const path = `${dropIns}/${name}.conf`;
  mkdirSync(dropIns, { recursive: true });
  if (lines === null) rmSync(path);
  else writeFileSync(path, `[Service]\n${lines.join('\n')}\n`);
  await must('systemctl', 'daemon-reload');
}

/** Stopped in mid-load, it neither feeds the watchdog nor ends by itself. */
export async function watched(machine: Machine): Promise<void> {
  await dropIn('watchdog', [`WatchdogSec=${watchdogSeconds}s`, 'RestartSec=1s']);
  await must('systemctl', 'restart', unit);
  const { devices, report } = machine;
  await report.check('watchdog.restart', async () => {
    const [pid, since] = [await mainPid(), await journalEnd()];
    devices.publish(load.perSecond);
    await devices.acknowledgedMore(load.messages, reloadWithinMs);
    const started = performance.now();
    process.kill(pid, 'SIGSTOP');
    await anotherProcess(pid);
    const seconds = (performance.now() - started) / 1_000;
    const said = await journal(since, '_PID=1', '-u', unit);
    assert.match(said, /Failed with result 'watchdog'/);
    assert.match(said, /signal SIGABRT|status=6\/ABRT/);
    report.figure(`hang to READY again, WatchdogSec=${watchdogSeconds}s`, seconds, 's');
    return { seconds, said: said.trim().split('\n') };
  });
  await report.check('watchdog.ledger', async () => {
    await devices.acknowledgedMore(load.messages, restartWithinMs);
    await devices.rest(restartWithinMs);
    return await machine.settled();
  });
  await dropIn('watchdog', null);
}

async function anotherProcess(pid: number): Promise<void> {
  await until('another process is ready', restartWithinMs, async () => {
    const found = await show('MainPID', 'ActiveState');
    return found.ActiveState === 'active' && !['0', `${pid}`].includes(found.MainPID ?? '');
  });
}

/** Seconds, by the clock that systemd's monotonic times are of. */
export function uptime(): number {
  return Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]);
}

/** systemd's `5s`, `100ms`, `1min 30s`. */
function secondsOf(text: string): number {
  const parts = text.matchAll(/([\d.]+)(ms|min|s)/g);
  return [...parts].reduce((sum, [, count, name]) => {
    return sum + Number(count) * secondUnits[name as keyof typeof secondUnits];
  }, 0);
}

export async function killed(machine: Machine): Promise<void> {
  const { devices, report } = machine;
  await report.check('kill.restart', async () => {
    const pid = await mainPid();
    devices.publish(load.perSecond);
    await devices.acknowledgedMore(load.messages, reloadWithinMs);
    const killedAt = uptime();
    process.kill(pid, 'SIGKILL');
    await anotherProcess(pid);
    const started = 'ExecMainStartTimestampMonotonic';
    const found = await show('RestartUSec', 'NRestarts', started);
    const backOff = secondsOf(found.RestartUSec ?? '');
    const waited = Number(found[started]) / microsPerSecond - killedAt;
    assert.ok(backOff > 0 && waited >= backOff, `again after ${waited} s, RestartSec ${backOff} s`);
    report.figure('SIGKILL to READY again', uptime() - killedAt, 's');
    return { backOff, waited, NRestarts: found.NRestarts };
  });
  await report.check('kill.ledger', async () => {
    await devices.acknowledgedMore(load.messages, restartWithinMs);
    await devices.rest(restartWithinMs);
    return await machine.settled();
  });
}
