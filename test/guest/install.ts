/**
 * A fresh machine gets the package from a disk, as an installer without a network does it: apt, one
 * file. What stands there afterwards is looked at from outside: systemd, dpkg, /proc, the files.
 */
import assert from 'node:assert/strict';
import { lstatSync, readFileSync } from 'node:fs';
import { configFile, type Machine, state } from './machine.ts';
import type { Detail } from './report.ts';
import { mainPid, must, run, show, unit } from './system.ts';

const microsPerSecond = 1_000_000;
const firstLoad = { messages: 200, perSecond: 200 } as const;
// A field of dpkg-query, not of a template.
const conffilesField = ['$', '{Conffiles}'].join('');
const writableByOthers = 0o022;

export async function installed(machine: Machine): Promise<void> {
  const { report } = machine;
  await report.check('install.ready', () => aptInstalls(machine));
  await report.check('install.enabled', async () => {
    const said = await must('systemctl', 'is-enabled', unit);
    return { said: said.trim() };
  });
  await report.check('install.user', () => ownUser());
  await report.check('install.conffile', async () => {
    const said = await must('dpkg-query', '--show', '--showformat', conffilesField, 'tidegate');
    assert.match(said, new RegExp(`^ ${configFile} `, 'm'));
    return { said };
  });
  await report.check('install.files', () => filesOfRoot());
  await report.check('install.commands', () => commandsAnswer(machine));
  await report.check('install.first', async () => {
    await machine.load(firstLoad.messages, firstLoad.perSecond);
    return await machine.settled();
  });
  const idle = statusOf(await mainPid());
  report.figure('RSS of the agent, files as the upstream', idle.VmRSS ?? 0, 'KiB');
}

/** apt takes the file's dependencies from what is installed: nothing else can be reached. */
async function aptInstalls(machine: Machine): Promise<Detail> {
  const started = performance.now();
  const { code, said } = await run('apt-get', 'install', '-y', machine.package('first'));
  const seconds = (performance.now() - started) / 1_000;
  assert.equal(code, 0, said);
  // Asked once, without waiting: apt has waited for it.
  const times = ['ActiveEnterTimestampMonotonic', 'InactiveExitTimestampMonotonic'];
  const found = await show('ActiveState', 'Type', 'NRestarts', ...times);
  assert.deepEqual([found.ActiveState, found.Type, found.NRestarts], ['active', 'notify', '0']);
  const micros = times.map((name) => Number(found[name]));
  const readyIn = ((micros[0] ?? 0) - (micros[1] ?? 0)) / microsPerSecond;
  machine.report.figure('apt install, to its end', seconds, 's');
  machine.report.figure('start to READY, first start', readyIn, 's');
  return { seconds, readyIn, said: said.split('\n').slice(-12) };
}

/** Fields of /proc/PID/status that are numbers, and the first number of those that are lists. */
export function statusOf(pid: number): Record<string, number> {
  const lines = readFileSync(`/proc/${pid}/status`, 'utf8').split('\n');
  return Object.fromEntries(
    lines.flatMap((line) => {
      const [, name, first] = /^(\w+):\s+([0-9a-f]+)/.exec(line) ?? [];
      const base = name?.startsWith('Cap') === true ? 16 : 10;
      return name === undefined ? [] : [[name, Number.parseInt(first ?? '', base)]];
    }),
  );
}

async function ownUser(): Promise<Detail> {
  const found = statusOf(await mainPid());
  const user = (await must('getent', 'passwd', 'tidegate')).trim();
  assert.equal(found.Uid, Number(user.split(':')[2]));
  assert.notEqual(found.Uid, 0);
  for (const name of ['CapEff', 'CapPrm', 'CapBnd', 'CapAmb']) assert.equal(found[name], 0, name);
  assert.equal(found.NoNewPrivs, 1);
  const elsewhere = ['(', '-path', state, '-o', '-path', '/proc', ')', '-prune', '-o'];
  const owned = await must('find', '/', '-xdev', ...elsewhere, '-user', 'tidegate', '-print');
  assert.equal(owned, '', 'owned outside of its state');
  return { user, uid: found.Uid };
}

async function filesOfRoot(): Promise<Detail> {
  const paths = (await must('dpkg', '--listfiles', 'tidegate')).trim().split('\n');
  const wrong = paths.filter((path) => {
    const { uid, mode } = lstatSync(path);
    return uid !== 0 || (mode & writableByOthers) !== 0;
  });
  // A symbolic link's own mode says nothing.
  const places = wrong.filter((path) => !lstatSync(path).isSymbolicLink());
  assert.deepEqual(places, []);
  return { files: paths.length };
}

async function commandsAnswer(machine: Machine): Promise<Detail> {
  const version = (await must('tidegate', '--version')).trim();
  const packaged = await machine.versionOf('first');
  assert.ok(packaged.startsWith(version), `${packaged} installed, ${version} answers`);
  await must('tidegate', 'check', configFile);
  const status = await must('tidegate', 'status');
  assert.match(status, /ready/);
  return { version, status };
}
