/**
 * The same disk, after the power went in mid-load: it starts by itself, and what was acknowledged
 * before is there. The guest that knew the ledger is gone; the host has it, and gets all numbers
 * that arrived. At the end the package is purged.
 */
import assert from 'node:assert/strict';
import { existsSync, globSync } from 'node:fs';
import { everythingArrived } from './arrivals.ts';
import { bufferFile, configFile, dpkg, type Machine, output, state } from './machine.ts';
import { nothingRuns } from './removal.ts';
import type { Detail } from './report.ts';
import { operatorsFiles } from './sandbox.ts';
import { ask, journal, journalEnd, must, run, until, untilActive } from './system.ts';

const withinMs = 90_000;
const load = { messages: 150, perSecond: 150 } as const;

interface Lane {
  readonly lane: string;
  readonly backlogFrames: number;
}

interface Backlog {
  readonly buffer: { readonly lanes: readonly Lane[] } | null;
}

export async function afterPowerCut(machine: Machine): Promise<void> {
  const { report } = machine;
  await report.check('power.started', () => untilActive(withinMs));
  await report.part('the backlog drains', () => drained());
  report.tell({ kind: 'arrived', of: everythingArrived(output) });
  await report.check('power.verified', async () => {
    return { said: (await must('tidegate', 'buffer', 'verify', '--buffer', bufferFile)).trim() };
  });
  await report.check('power.goesOn', async () => {
    await machine.load(load.messages, load.perSecond);
    return await machine.settled();
  });
  await report.part('purge', () => purged(machine));
}

async function drained(): Promise<void> {
  await until('the lane of the files is empty', withinMs, async () => {
    const status = JSON.parse((await ask('/status')) ?? 'null') as Backlog | null;
    const lane = status?.buffer?.lanes.find((one) => one.lane.startsWith('files/'));
    return lane?.backlogFrames === 0;
  });
}

async function purged({ report }: Machine): Promise<void> {
  const since = await journalEnd();
  const { code, said, seconds } = await dpkg('--purge', 'tidegate');
  await report.check('purge.asked', async () => {
    await must('journalctl', '--sync');
    const notes = await journal(since, '--grep', state, '-t', 'tidegate');
    assert.match(notes, /delet|remov|purg/i);
    return { notes: notes.trim().split('\n') };
  });
  await report.check('purge.gone', () => gone(code, said, seconds));
  await report.check('purge.user', async () => {
    const user = (await run('getent', 'passwd', 'tidegate')).out.trim();
    assert.match(user, /^$|nologin$|false$/);
    const shadow = (await run('getent', 'shadow', 'tidegate')).out.trim();
    assert.match(shadow, /^$|^tidegate:[!*]/);
    const left = ['(', '-user', 'tidegate', '-o', '-nouser', ')', '-print'];
    const among = user === '' ? ['-nouser', '-print'] : left;
    const found = (await must('find', '/', '-xdev', ...among)).split('\n');
    assert.deepEqual(
      found.filter((path) => path !== '' && !operatorsFiles.includes(path)),
      [],
    );
    return { user };
  });
}

async function gone(code: number | null, said: string, seconds: number): Promise<Detail> {
  assert.equal(code, 0, said);
  const places = [state, configFile, '/usr/lib/tidegate', '/usr/bin/tidegate'];
  assert.deepEqual(places.filter(existsSync), []);
  assert.deepEqual(globSync('/etc/tidegate/*').toSorted(), operatorsFiles);
  const units = await run('systemctl', 'list-unit-files', '--no-legend', 'tidegate*');
  assert.equal(units.out.trim(), '');
  return { seconds, ...(await nothingRuns()) };
}
