/**
 * A small machine, made by the unit's own limits: 192 MiB for all of the agent, page cache and
 * children included, and half of one core.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { statusOf } from './install.ts';
import type { Machine } from './machine.ts';
import { dropIn } from './notify.ts';
import type { Detail } from './report.ts';
import { mainPid, must, show, unit } from './system.ts';

const load = { messages: 300, perSecond: 300, withinMs: 120_000 } as const;
const limits = ['MemoryMax=192M', 'CPUQuota=50%'];

export async function limited(machine: Machine): Promise<void> {
  await dropIn('limits', limits);
  await must('systemctl', 'restart', unit);
  await machine.report.check('limits.load', () => underLoad(machine));
  await dropIn('limits', null);
}

function counter(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN);
}

async function underLoad(machine: Machine): Promise<Detail> {
  const { report } = machine;
  const { ControlGroup = '' } = await show('ControlGroup');
  const read = (name: string): string =>
    readFileSync(`/sys/fs/cgroup${ControlGroup}/${name}`, 'utf8');
  const started = performance.now();
  await machine.load(load.messages, load.perSecond, load.withinMs);
  const seconds = (performance.now() - started) / 1_000;
  const settled = await machine.settled();
  const events = read('memory.events');
  const [killed, throttled] = [
    counter(events, 'oom_kill'),
    counter(read('cpu.stat'), 'nr_throttled'),
  ];
  assert.equal(killed, 0, events);
  const process = statusOf(await mainPid());
  const name = 'under MemoryMax=192M and CPUQuota=50%';
  report.figure(`memory.peak ${name}`, Number(read('memory.peak')), 'B');
  report.figure(`memory.current ${name}`, Number(read('memory.current')), 'B');
  report.figure(`peak RSS ${name}`, process.VmHWM ?? 0, 'KiB');
  report.figure(`messages acknowledged ${name}`, load.messages / seconds, '/s');
  report.figure(`periods throttled ${name}`, throttled, '');
  const { NRestarts } = await show('NRestarts');
  assert.equal(NRestarts, '0');
  return { ...settled, killed, throttled, seconds };
}
