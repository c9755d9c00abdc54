/**
 * What the guest runs: the part of the life that the kernel's command line names, from its first
 * report to `end`. Started by Node's own binary on the tools disk, so that it does not depend on
 * what it installs and purges. The host never talks to it.
 *
 * `life` does not end by itself: it goes on publishing and telling what is acknowledged until the
 * host takes the power away.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { broken } from './broken.ts';
import { downgraded } from './downgrade.ts';
import { installed } from './install.ts';
import { limited } from './limits.ts';
import { Machine } from './machine.ts';
import { newerLife } from './newer.ts';
import { killed, notified, uptime, watched } from './notify.ts';
import { afterPowerCut } from './power.ts';
import type { Part } from './promises.ts';
import { removed } from './removal.ts';
import { Report } from './report.ts';
import { refusedCalls, sandboxed } from './sandbox.ts';
import { upgraded } from './upgrade.ts';

const reportPort = '/dev/virtio-ports/tidegate-report';
const tellEveryMs = 50;
const lastLoadPerSecond = 300;
const devicesOf: Readonly<Record<Part, readonly string[]>> = {
  life: ['pump-1', 'pump-2', 'press-1', 'oven-1'],
  after: ['valve-1', 'valve-2'],
  newer: ['lamp-1', 'lamp-2'],
};

async function life(machine: Machine): Promise<void> {
  const { report, devices } = machine;
  await report.part('install', () => installed(machine));
  await report.part('notify', () => notified(machine));
  await report.part('sandbox', () => sandboxed(machine));
  await report.part('watchdog', () => watched(machine));
  await report.part('kill', () => killed(machine));
  await report.part('broken config', () => broken(machine));
  await report.part('upgrade', () => upgraded(machine));
  await report.part('downgrade', () => downgraded(machine));
  await report.part('limits', () => limited(machine));
  await report.part('remove', () => removed(machine));
  await report.check('sandbox.calls', () => refusedCalls());
  await report.check('life.ledger', () => machine.settled());
  devices.publish(lastLoadPerSecond);
  report.tell({ kind: 'end' });
  for (;;) {
    report.tell({ kind: 'acknowledged', upTo: devices.upTo });
    await sleep(tellEveryMs);
  }
}

async function only(report: Report, text: string, work: () => Promise<void>): Promise<void> {
  await report.part(text, work);
  report.tell({ kind: 'end' });
}

const report = new Report(reportPort);
const part = /\bguest\.part=(\w+)/.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1] as Part;
report.figure('boot until the scenario begins', uptime(), 's');
const machine = new Machine(report, devicesOf[part]);
if (part === 'life') await life(machine);
else if (part === 'after') await only(report, 'after the power cut', () => afterPowerCut(machine));
else await only(report, 'a newer Debian', () => newerLife(machine));
machine.devices.close();
