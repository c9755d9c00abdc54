/**
 * The next version, installed over this one while devices go on publishing: they see a connection
 * that ends and one that opens again. The operator has changed the config, and so has the package.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { configFile, dpkg, type Installed, type Machine, type PackageName } from './machine.ts';
import { ask, show, until } from './system.ts';

const load = { before: 150, after: 150, perSecond: 150 } as const;
const withinMs = 90_000;
const ownChange = '# changed by the operator of this gateway\n';

export async function runningVersion(): Promise<string> {
  return await until('the agent tells its version', withinMs, async () => {
    return (JSON.parse((await ask('/status')) ?? '{}') as { version?: string }).version;
  });
}

/** As an unattended installer does it: a changed config is kept without asking. */
export async function installUnattended(path: string): Promise<Installed> {
  return await dpkg('--force-confdef', '--force-confold', '--install', path);
}

/** Under load from before to after. */
export async function upgradeUnderLoad(machine: Machine, to: PackageName): Promise<Installed> {
  const { devices } = machine;
  devices.publish(load.perSecond);
  await devices.acknowledgedMore(load.before, withinMs);
  const done = await installUnattended(machine.package(to));
  await devices.acknowledgedMore(load.after, withinMs);
  await devices.rest(withinMs);
  return done;
}

export async function upgraded(machine: Machine): Promise<void> {
  const { report, devices } = machine;
  const own = ownChange + readFileSync(configFile, 'utf8');
  writeFileSync(configFile, own);
  await report.check('upgrade.done', async () => {
    devices.longestSilenceMs = 0;
    const { code, said, seconds } = await upgradeUnderLoad(machine, 'next');
    assert.equal(code, 0, said);
    assert.equal(await runningVersion(), await machine.versionOf('next'));
    const { ActiveState, NRestarts } = await show('ActiveState', 'NRestarts');
    assert.equal(ActiveState, 'active');
    report.figure('upgrade under load, to its end', seconds, 's');
    report.figure('longest wait for an acknowledgement', devices.longestSilenceMs / 1_000, 's');
    return { seconds, NRestarts, said: said.split('\n').slice(-12) };
  });
  await report.check('upgrade.ledger', () => machine.settled());
  await report.check('upgrade.conffile', async () => {
    assert.equal(readFileSync(configFile, 'utf8'), own);
    assert.ok(existsSync(`${configFile}.dpkg-dist`), 'the package’s own lies beside it');
    return {};
  });
}
