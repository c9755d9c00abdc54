/**
 * SIGHUP on a file that cannot be taken: refused with every reason, what runs goes on, and a later
 * good file is applied. And SIGHUP at awkward moments: while starting, twice at once, under load.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readMeta } from '../agent/buffer/meta.ts';
import { AgentUnderTest, accepts, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { type Line, readLines } from './support/files.ts';
import { laneBalances, total } from './support/metrics.ts';

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

test('SIGHUP while the agent starts waits for it; of two at once the last counts', async () => {
  const agent = await AgentUnderTest.prepare(setup);
  try {
    const starting = agent.start();
    // From the moment Node runs the program; before that no program could take a signal.
    await eventually('the process runs', withinMs, () => {
      const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
      const caught = /^SigCgt:\s+([0-9a-f]+)/m.exec(status)?.[1] ?? '0';
      return (BigInt(`0x${caught}`) & 1n) === 1n;
    });
    const startedAt = agent.events('agentReady').length;
    agent.hangUp();
    await starting;
    assert.equal(startedAt, 0, 'it came before the agent was ready');
    await eventually('reloaded', withinMs, () => agent.events('configReloaded').length > 0);
    await sleep(1_100);
    const device = await Device.connect(agent.mqttPort, 'pump');
    const moved = { name: 'moved', from: 'moved/#', to: { upstream: 'out' } };
    agent.edit((config) => config.routes.push(moved));
    agent.hangUp();
    agent.edit((config) => config.upstreams.more === undefined && config.routes.shift());
    agent.hangUp();
    await eventually('the last one', withinMs, async () => {
      await device.publishAndWait('moved/a', 'm');
      return agent.events('configReloaded').some(({ routes }) => routes === 1);
    });
    assert.equal(agent.events('configRefused', 'unexpected').length, 0);
    assert.equal(device.ended, false);
    device.close();
    assert.equal(await agent.stop(), 0);
  } finally {
    await agent[Symbol.asyncDispose]();
  }
});

test('SIGTERM in the middle of a reload ends the agent cleanly', async () => {
  await using agent = await AgentUnderTest.start(setup);
  const device = await Device.connect(agent.mqttPort, 'pump');
  for (let id = 1; id <= 50; id++) device.publish('plant/a', `${id}`, id);
  agent.edit((config) => {
    config.upstreams = { out: { file: { directory: './elsewhere' } } };
    Object.assign(config.mqtt.listeners[0] ?? {}, { receiveMaximum: 9 });
  });
  agent.hangUp();
  await sleep(20);
  assert.equal(await agent.stop(), 0);
  assert.equal(agent.events('unexpected', 'agentHalted').length, 0, agent.logTail());
  assert.equal(await accepts(agent.mqttPort), false);
});

test('five reloads under 2,000 messages: each acknowledged one arrives, in order', async () => {
  await using agent = await AgentUnderTest.start(setup);
  const count = 500;
  const names = ['d0', 'd1', 'd2', 'd3'];
  const devices = await Promise.all(names.map((name) => Device.connect(agent.mqttPort, name)));
  let flowing = true;
  const flow = devices.map(async (device, at) => {
    for (let id = 1; id <= count; id++) {
      device.publish(`plant/${names[at]}/t`, `${id}`, id);
      if (id % 10 === 0) await sleep(20);
    }
  });
  const all = Promise.all(flow).then(() => {
    flowing = false;
  });
  let reloads = 0;
  for (let round = 0; round < 5; round++) {
    await sleep(150);
    const { event } = await agent.reload((config) => {
      const to = { upstream: 'out', topic: `round-${round}` };
      const limits = [{ per: 'device', messages: `${9_000 + round}/s` }];
      config.routes = [{ name: `r${round}`, from: 'plant/+/t', to, limits }, ...setup.routes];
      config.upstreams.out = {
        ...config.upstreams.out,
        drain: { messages: `${50_000 + round}/s` },
      };
    });
    assert.equal(event, 'configReloaded');
    if (flowing) reloads += 1;
  }
  assert.ok(reloads > 0, 'messages flowed meanwhile');
  await all;
  const wanted = Array.from({ length: count }, (_, i) => i + 1);
  for (const device of devices) {
    await eventually('all acknowledged', withinMs, () => device.acknowledged().length >= count);
    assert.deepEqual(device.acknowledged(), wanted, 'none lost, none twice');
    assert.equal(device.ended, false);
  }
  const arrivals = (name: string): number[] => {
    const own = written(agent).filter(({ key }) => key === name);
    return [...new Set(own.map(({ value }) => Number(`${value}`)))];
  };
  await eventually('all stored', withinMs, () => names.every((n) => arrivals(n).length === count));
  for (const name of names) assert.deepEqual(arrivals(name), wanted, 'in order');
  assert.ok(new Set(written(agent).map(({ topic }) => topic)).size > 1, 'by several definitions');
  await eventually('passed', withinMs, async () => {
    return laneBalances(await agent.metrics()).every(({ backlog }) => backlog === 0);
  });
  for (const { appended, outcomes } of laneBalances(await agent.metrics())) {
    assert.equal(appended, outcomes);
  }
  for (const device of devices) device.close();
});
