/**
 * Wills over an agent that is killed, seen from outside: devices are MQTT.js clients, the agent is
 * a process of its own, and the Will is looked for in the files that the upstream wrote, by its
 * ce_id (one for each frame of the buffer; the file may repeat what a kill left unconfirmed).
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt, { type MqttClient } from 'mqtt';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { type Line, readLines } from './support/files.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { withWill } from './support/wills.ts';

const withinMs = 15_000;
const settleMs = 500;
const delaySeconds = 2;
/** Longer than a start of the agent takes. */
const longDelaySeconds = 5;

let broker: Mosquitto;
before(async () => {
  broker = await startMosquitto();
});
after(() => broker.stop());

function start(seat: 'listener' | 'embedded'): Promise<AgentUnderTest> {
  const behind = { broker: `mqtt://127.0.0.1:${broker.port}`, publishAcl: 'none' };
  return AgentUnderTest.start({
    routes: [{ name: 'plant', from: 'plant/+/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    listener: seat === 'listener' ? behind : {},
  });
}

async function connected(
  agent: AgentUnderTest,
  clientId: string,
  protocolVersion: 4 | 5,
  delay = 0,
): Promise<MqttClient> {
  const { will, properties } = withWill(protocolVersion, delay);
  const device = mqtt.connect(`mqtt://127.0.0.1:${agent.mqttPort}`, {
    ...{ clientId, clean: false, protocolVersion, reconnectPeriod: 0 },
    ...{ will: will as NonNullable<mqtt.IClientOptions['will']> },
    ...(properties ? { properties } : {}),
  });
  device.on('error', () => {});
  await new Promise((resolve) => device.once('connect', resolve));
  return device;
}

/** What the upstream has of this device, each frame once. */
function arrived(agent: AgentUnderTest, device: string): Line[] {
  const found = readLines(join(agent.directory, 'out')).filter(({ key }) => key === device);
  return [...new Map(found.map((line) => [line.headers.ce_id, line])).values()];
}

for (const [seat, version] of [
  ['listener', 4],
  ['listener', 5],
  ['embedded', 4],
] as const) {
  const of = `${seat}, MQTT ${version === 4 ? '3.1.1' : '5'}`;
  test(`Wills survive the agent, and none comes twice or by mistake (${of})`, async () => {
    await using agent = await start(seat);
    const name = (what: string) => `${what}-${seat}-${version}`;
    const [polite, lost, killed, later] = ['polite', 'lost', 'killed', 'later'].map(name);
    await (await connected(agent, polite as string, version)).endAsync();
    (await connected(agent, lost as string, version)).stream.destroy();
    await eventually('the Will of the lost one', withinMs, () => {
      return arrived(agent, lost as string).length === 1;
    });
    await connected(agent, killed as string, version);
    if (version === 5) await connected(agent, later as string, version, delaySeconds);
    for (let kill = 0; kill < 3; kill++) {
      await agent.kill();
      await agent.start();
    }
    const waiting = version === 5 ? [killed, later] : [killed];
    await eventually('the Wills of those whom the kill cut off', withinMs, () => {
      return waiting.every((device) => arrived(agent, device as string).length > 0);
    });
    await sleep(settleMs);
    const counts = [polite, lost, killed].map((each) => arrived(agent, each as string).length);
    assert.deepEqual(counts, [0, 1, 1]);
    const { topic, value, headers } = arrived(agent, killed as string)[0] as Line;
    assert.equal(topic, 'plant/1/gone');
    assert.equal(value.toString(), 'gone');
    assert.equal(headers.ce_type, 'plant');
    if (version === 5) assert.equal(arrived(agent, later as string).length, 1);
    assert.equal(await agent.stop(), 0);
  });
}

test('a device that is back before its Will Delay ends takes it with it over a kill', async () => {
  await using agent = await start('listener');
  await connected(agent, 'returns', 5, longDelaySeconds);
  await agent.kill();
  await agent.start();
  const device = await connected(agent, 'returns', 5, longDelaySeconds);
  await device.endAsync();
  await sleep(longDelaySeconds * 1_000 + settleMs);
  assert.deepEqual(arrived(agent, 'returns'), []);
});
