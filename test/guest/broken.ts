/**
 * A config file that cannot be read, at the worst moment: when the agent starts (promise 7). With a
 * last good config in the buffer it runs on that; without one it says so, ends with exit 78 and is
 * tried again for as long as it takes, so that whoever repairs the file need not know of systemd.
 */
import assert from 'node:assert/strict';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { configFile, type Machine, state } from './machine.ts';
import { degraded } from './notify.ts';
import { must, run, show, unit, until, untilActive } from './system.ts';

const aside = `${state}.aside`;
const withinMs = 90_000;
const configExit = '78';
const load = { messages: 60, perSecond: 150 } as const;
export const brokenConfig = 'mqtt: { listeners: [ {bind: nowhere} ]\nroutes: none\n';

export async function broken(machine: Machine): Promise<void> {
  const { report } = machine;
  const good = readFileSync(configFile, 'utf8');
  writeFileSync(configFile, brokenConfig);
  await report.check('config.degraded', async () => {
    await must('systemctl', 'restart', unit);
    const { StatusText } = await show('StatusText');
    assert.equal(await degraded(), 'config');
    await machine.load(load.messages, load.perSecond);
    return { StatusText, ...(await machine.settled()) };
  });
  await must('systemctl', 'stop', unit);
  renameSync(state, aside);
  await report.check('config.none', async () => {
    const { code } = await run('systemctl', 'start', unit);
    assert.notEqual(code, 0);
    const names = ['ExecMainStatus', 'NRestarts', 'ActiveState', 'SubState', 'StatusText'];
    return await until('it was tried again', withinMs, async () => {
      const found = await show(...names);
      return Number(found.NRestarts) >= 1 && found.ExecMainStatus === configExit && found;
    });
  });
  await report.check('config.repaired', async () => {
    writeFileSync(configFile, good);
    return await untilActive(withinMs);
  });
  await must('systemctl', 'stop', unit);
  rmSync(state, { recursive: true, force: true });
  renameSync(aside, state);
  await must('systemctl', 'start', unit);
}
