/**
 * Removed, and installed again: what was acknowledged and not yet confirmed upstream lies in the
 * buffer meanwhile. To have such a backlog, the upstream is paused first.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { bufferFile, configFile, dpkg, type Machine, output } from './machine.ts';
import type { Detail } from './report.ts';
import { run, until, untilActive } from './system.ts';
import { installUnattended } from './upgrade.ts';

const backlog = { messages: 200, perSecond: 200 } as const;
const withinMs = 60_000;

export async function removed(machine: Machine): Promise<void> {
  const { report } = machine;
  await machine.settled();
  // What was limited a moment ago may answer late.
  await until('the upstream is paused', withinMs, async () => {
    return (await run('tidegate', 'upstream', 'pause', 'files')).code === 0;
  });
  await machine.load(backlog.messages, backlog.perSecond);
  const config = readFileSync(configFile, 'utf8');
  await report.check('remove.kept', async () => {
    const { code, said, seconds } = await dpkg('--remove', 'tidegate');
    assert.equal(code, 0, said);
    assert.ok(existsSync(bufferFile) && existsSync(output));
    assert.equal(readFileSync(configFile, 'utf8'), config);
    return { seconds, ...(await nothingRuns()) };
  });
  await report.check('remove.reinstalled', async () => {
    const { code, said, seconds } = await installUnattended(machine.package('next'));
    assert.equal(code, 0, said);
    assert.equal(readFileSync(configFile, 'utf8'), config);
    await untilActive(withinMs);
    return { seconds, ...(await machine.settled()) };
  });
}

/** Its program is the package's Node, also once that file is gone. */
function isOfThePackage(pid: string): boolean {
  try {
    return /^\d+$/.test(pid) && readlinkSync(`/proc/${pid}/exe`).startsWith('/usr/lib/tidegate/');
  } catch {
    return false; // a thread of the kernel, or it ended meanwhile
  }
}

/** Neither a process of the user nor the unit. */
export async function nothingRuns(): Promise<Detail> {
  const running = readdirSync('/proc').filter((name) => isOfThePackage(name));
  assert.deepEqual(running, []);
  const { code, said } = await run('systemctl', 'is-active', 'tidegate');
  assert.notEqual(code, 0, said);
  return { unit: said.trim() };
}
