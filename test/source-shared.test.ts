/**
 * Two agents, two processes, one shared subscription: $share/gw/plant/# at a Mosquitto. What each
 * has in its buffer is looked for in the files that its upstream wrote, each frame once (ce_id).
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import mqtt, { type MqttClient } from 'mqtt';
import { type AgentSetup, AgentUnderTest, eventually } from './support/agent.ts';
import { readLines } from './support/files.ts';
import { total } from './support/metrics.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';

const withinMs = 30_000;
const messages = 2_000;
const commitEveryMs = 20;

let broker: Mosquitto;
let publisher: MqttClient;
before(async () => {
  broker = await startMosquitto({ lines: ['max_queued_messages 0', 'max_inflight_messages 0'] });
  publisher = mqtt.connect(`mqtt://127.0.0.1:${broker.port}`, { protocolVersion: 5 });
  publisher.on('error', () => {});
  await new Promise((resolve) => publisher.once('connect', resolve));
});
after(async () => {
  publisher.end(true);
  await broker.stop();
});

/** Each test has a group and a branch of its own: `plant/<branch>/#`. */
async function agentAt(
  branch: string,
  gateway: string,
  qos: number,
  extra: AgentSetup['extra'] = {},
): Promise<AgentUnderTest> {
  const agent = await AgentUnderTest.start({
    routes: [{ name: 'plant', from: 'plant/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    sources: [
      {
        ...{ url: `mqtt://127.0.0.1:${broker.port}`, clientId: `${branch}-${gateway}`, qos },
        subscribe: [`$share/gw/plant/${branch}/#`],
      },
    ],
    extra: { gateway, ...extra },
  });
  await subscribed(agent);
  return agent;
}

function subscribed(agent: AgentUnderTest): Promise<void> {
  return eventually('the source is subscribed', withinMs, async () => {
    return total(await agent.metrics(), 'tidegate_source_subscribed') === 1;
  });
}

/** The values of every frame that an agent has passed on. */
function arrived(agent: AgentUnderTest): string[] {
  const lines = readLines(join(agent.directory, 'out'));
  return [...new Map(lines.map(({ headers, value }) => [headers.ce_id, `${value}`])).values()];
}

async function publishAll(branch: string, first: number, count: number, qos: 1 | 2) {
  const sent = Array.from({ length: count }, (_, index) => `e${first + index}`);
  const topic = (index: number) => `plant/${branch}/device-${index % 7}`;
  await Promise.all(sent.map((value, i) => publisher.publishAsync(topic(i), value, { qos })));
  return sent;
}

async function bothHave(agents: readonly AgentUnderTest[], wanted: readonly string[]) {
  await eventually(`all ${wanted.length} arrived`, withinMs, () => {
    const all = new Set(agents.flatMap(arrived));
    return wanted.every((value) => all.has(value));
  });
}

test('QoS 2: every message is in exactly one of the two buffers', async (t) => {
  await using a = await agentAt('two', 'gw-a', 2);
  await using b = await agentAt('two', 'gw-b', 2);
  const sent = await publishAll('two', 0, messages, 2);
  await bothHave([a, b], sent);
  const [ofA, ofB] = [arrived(a), arrived(b)];
  t.diagnostic(`${ofA.length} and ${ofB.length} of ${sent.length}`);
  assert.deepEqual([...ofA, ...ofB].sort(), [...sent].sort(), 'each once, in one of them');
  assert.ok(ofA.length > 0 && ofB.length > 0, 'both take part');
  for (const agent of [a, b]) assert.equal(await agent.stop(), 0);
});

test('QoS 1: with one of the two killed, nothing acknowledged is lost', async (t) => {
  await using a = await agentAt('one', 'gw-a', 1);
  await using b = await agentAt('one', 'gw-b', 1);
  const sending = publishAll('one', 0, messages, 1);
  await eventually('under way', withinMs, () => arrived(a).length > 0);
  await a.kill();
  const sent = [...(await sending), ...(await publishAll('one', messages, messages / 10, 1))];
  // What the broker had given to the one that was killed waits for it there.
  await a.start();
  await subscribed(a);
  await bothHave([a, b], sent);
  const stored = arrived(a).length + arrived(b).length;
  t.diagnostic(`${stored} stored of ${sent.length} acknowledged`);
});

test('acknowledgements follow the commit, and not one by one', async (t) => {
  const buffer = { commitEvery: `${commitEveryMs}ms` };
  await using agent = await agentAt('group', 'gw-a', 1, { buffer });
  const began = performance.now();
  const sent = await publishAll('group', 0, messages, 1);
  await eventually('all are stored', withinMs, async () => {
    return total(await agent.metrics(), 'tidegate_lane_appended_frames_total') >= sent.length;
  });
  const tookMs = performance.now() - began;
  const acknowledged = () => broker.log.match(/Received PUBACK from group-gw-a/g)?.length ?? 0;
  await eventually('each is acknowledged', withinMs, () => acknowledged() >= sent.length);
  assert.equal(acknowledged(), sent.length, 'each once');
  const commits = total(await agent.metrics(), 'tidegate_commit_seconds_count');
  t.diagnostic(`${sent.length} messages in ${Math.round(tookMs)} ms and ${commits} commits`);
  assert.ok(commits < sent.length / 10, `${commits} commits`);
  assert.ok(tookMs < (messages * commitEveryMs) / 2, `${tookMs} ms`);
});
