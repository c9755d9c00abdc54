/**
 * SIGHUP and the sources: one is added, changed and removed, while devices of the listener stay and
 * the session at its broker keeps what comes meanwhile.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { readLines } from './support/files.ts';
import { total } from './support/metrics.ts';
import { startMosquitto } from './support/mosquitto.ts';

const withinMs = 15_000;

test('a source is added and removed, and the devices of the listener stay', async () => {
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
  });
  const broker = await startMosquitto();
  const device = await Device.connect(agent.mqttPort, 'pump');
  try {
    const source = { url: `mqtt://127.0.0.1:${broker.port}`, subscribe: ['plant/#'] };
    await agent.reload((config) => config.mqtt.sources.push(source));
    const subscribed = async () => total(await agent.metrics(), 'tidegate_source_subscribed');
    await eventually('subscribed', withinMs, async () => (await subscribed()) === 1);
    const far = await Device.connect(broker.port, 'far');
    assert.equal(await far.publishAndWait('plant/far', 'one'), 0);
    const values = () => readLines(join(agent.directory, 'out')).map(({ value }) => `${value}`);
    await eventually('one', withinMs, () => values().includes('one'));
    // Its session is the same: what comes while it changes over is not lost.
    const wider = { ...source, subscribe: ['plant/#', 'site/#'] };
    const changing = agent.reload((config) => {
      config.mqtt.sources = [wider];
    });
    for (let i = 0; i < 20; i++) await far.publishAndWait('plant/far', `during-${i}`);
    assert.equal((await changing).event, 'configReloaded');
    await eventually('all of it', withinMs, () => new Set(values()).size === 21);
    await agent.reload((config) => {
      config.mqtt.sources = [];
    });
    assert.equal(await subscribed(), 0);
    await far.publishAndWait('plant/far', 'unheard');
    assert.equal(await device.publishAndWait('plant/pump', 'heard'), 0);
    await eventually('heard', withinMs, () => values().includes('heard'));
    assert.ok(!values().includes('unheard'));
    assert.match(broker.log, /disconnect/i);
    far.close();
  } finally {
    device.close();
    await broker.stop();
  }
});
