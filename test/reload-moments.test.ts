/**
 * SIGHUP at awkward moments: while the agent starts or stops, twice at once, and under load, where
 * each acknowledged message has to arrive in the order of its device.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentUnderTest, accepts, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { type Line, readLines } from './support/files.ts';
import { laneBalances } from './support/metrics.ts';

const withinMs = 20_000;
const setup = {
  routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
  upstreams: { out: { file: { directory: './out' } } },
};

const written = (agent: AgentUnderTest): Line[] => readLines(join(agent.directory, 'out'));

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
