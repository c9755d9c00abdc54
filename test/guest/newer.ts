/**
 * A shorter life on a newer Debian: its libc, its systemd, its dpkg. Installed, used, upgraded
 * under load, purged.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dpkg, type Machine, state } from './machine.ts';
import { nothingRuns } from './removal.ts';
import { refusedCalls } from './sandbox.ts';
import { must, run, show } from './system.ts';
import { runningVersion, upgradeUnderLoad } from './upgrade.ts';

const load = { messages: 150, perSecond: 150 } as const;

export async function newerLife(machine: Machine): Promise<void> {
  const { report } = machine;
  await report.check('newer.ready', async () => {
    const { code, said } = await run('apt-get', 'install', '-y', machine.package('first'));
    assert.equal(code, 0, said);
    const { ActiveState } = await show('ActiveState');
    assert.equal(ActiveState, 'active');
    return { systemd: (await must('systemctl', '--version')).split('\n')[0] };
  });
  await report.check('newer.first', async () => {
    await machine.load(load.messages, load.perSecond);
    return await machine.settled();
  });
  await report.check('newer.upgrade', async () => {
    const { code, said, seconds } = await upgradeUnderLoad(machine, 'next');
    assert.equal(code, 0, said);
    assert.equal(await runningVersion(), await machine.versionOf('next'));
    return { seconds, ...(await machine.settled()) };
  });
  await report.check('newer.calls', () => refusedCalls());
  await report.check('newer.remove', async () => {
    const { code, said } = await dpkg('--purge', 'tidegate');
    assert.equal(code, 0, said);
    assert.ok(!existsSync(state));
    return await nothingRuns();
  });
}
