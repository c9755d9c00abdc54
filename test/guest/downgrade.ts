/**
 * Back to an older version: refused before anything is unpacked when that version cannot read the
 * buffer, and possible when it can. `narrow` is a package whose version knows only an older layout
 * of the buffer.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { brokenConfig } from './broken.ts';
import { configFile, type Machine } from './machine.ts';
import { degraded } from './notify.ts';
import { mainPid, show } from './system.ts';
import { installUnattended, runningVersion } from './upgrade.ts';

const load = { messages: 60, perSecond: 150 } as const;

export async function downgraded(machine: Machine): Promise<void> {
  const { report } = machine;
  const config = readFileSync(configFile, 'utf8');
  const version = await runningVersion();
  const pid = await mainPid();
  await report.check('downgrade.refused', async () => {
    const narrow = machine.package('narrow');
    const { code, said } = await installUnattended(narrow);
    assert.notEqual(code, 0, said);
    assert.match(said, /layout/);
    return { said: said.split('\n').slice(-15) };
  });
  await report.check('downgrade.running', async () => {
    assert.equal(await runningVersion(), version);
    assert.equal(readFileSync(configFile, 'utf8'), config);
    await machine.load(load.messages, load.perSecond);
    const { ActiveState } = await show('ActiveState');
    assert.equal(ActiveState, 'active');
    return { restarted: (await mainPid()) !== pid, ...(await machine.settled()) };
  });
  writeFileSync(configFile, brokenConfig);
  await report.check('downgrade.allowed', async () => {
    const { code, said } = await installUnattended(machine.package('first'));
    assert.equal(code, 0, said);
    assert.equal(await runningVersion(), await machine.versionOf('first'));
    return {};
  });
  await report.check('upgrade.degraded', async () => {
    assert.equal(await degraded(), 'config');
    await machine.load(load.messages, load.perSecond);
    return { ...(await machine.settled()) };
  });
  writeFileSync(configFile, config);
}
