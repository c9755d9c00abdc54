/**
 * SIGHUP on a file that cannot be taken: refused with every reason, what runs goes on, and a later
 * good file is applied.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMeta } from '../agent/buffer/meta.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { type Line, readLines } from './support/files.ts';
import { total } from './support/metrics.ts';

const withinMs = 20_000;
const setup = {
  routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
  upstreams: { out: { file: { directory: './out' } } },
};

const written = (agent: AgentUnderTest): Line[] => readLines(join(agent.directory, 'out'));

test('an invalid file is refused with every reason, and a good one is applied later', async () => {
  await using agent = await AgentUnderTest.start(setup);
  const device = await Device.connect(agent.mqttPort, 'pump');
  const good = readFileSync(agent.configPath, 'utf8');
  const kept = () => readMeta(join(agent.directory, 'tidegate.db'), 'config');
  assert.equal(kept(), good);
  const told = await agent.reload((config) => {
    config.gatway = 'x';
    config.routes = [{ name: 'all', from: 'a/#/b', to: { upstream: 'nowhere' } }];
    config.log = { level: 'loud' };
  });
  assert.equal(told.event, 'configRefused');
  assert.equal(told.level, 'error');
  for (const reason of [/gatway: unknown key/, /nowhere/, /log\.level/, /routes\[0\]\.from/]) {
    assert.match(String(told.detail), reason);
  }
  assert.equal(told.problems, 5, 'with the warning of an upstream nobody names');
  assert.match(String(told.remedy), /tidegate check/);
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 1);
  assert.equal(await device.publishAndWait('plant/a', 'on the old one'), 0);
  assert.equal(kept(), good);

  agent.writeConfig('broken: [yaml');
  assert.equal((await agent.reload()).event, 'configRefused');
  assert.equal((await agent.reload((config) => config.routes.pop())).event, 'configReloaded');
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 0);
  assert.equal(device.ended, false);
  await eventually('kept', withinMs, () => kept() === readFileSync(agent.configPath, 'utf8'));
  assert.equal(await device.publishAndWait('plant/a', 'for nobody'), 0);
  assert.deepEqual(
    written(agent).map(({ value }) => `${value}`),
    ['on the old one'],
  );
  // A crash now starts with what was applied last.
  agent.writeConfig('broken: [yaml');
  await agent.kill();
  await agent.start();
  assert.equal(total(await agent.metrics(), 'tidegate_degraded'), 1);
  const after = await Device.connect(agent.mqttPort, 'pump');
  assert.equal(await after.publishAndWait('plant/a', 'for nobody'), 0);
  await sleep(300);
  assert.equal(written(agent).length, 1);
  for (const each of [device, after]) each.close();
});

test('keys that need a restart are refused by name, and the file with them', async () => {
  await using agent = await AgentUnderTest.start(setup);
  const device = await Device.connect(agent.mqttPort, 'pump');
  const told = await agent.reload((config) => {
    config.gateway = 'another';
    config.buffer = { path: join(agent.directory, 'another.db') };
    config.routes = [];
  });
  assert.equal(told.event, 'configRefused');
  assert.equal(told.detail, 'gateway and buffer.path cannot change while the agent runs');
  assert.match(String(told.remedy), /Restart the agent/);
  assert.equal(await device.publishAndWait('plant/a', 'taken'), 0);
  await eventually('stored', withinMs, () => written(agent).length === 1);
  device.close();
});
