/**
 * The ledger against a real Kafka: what was PUBACKed is a subset of what a Kafka consumer reads,
 * the order of each device is kept among first arrivals, repeats stay within the bound that
 * bounds.ts names, and the agent's own counts add up. With nothing wrong, Kafka absent at the
 * start, Kafka killed in mid-load, and the agent killed ten times at random moments.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { duplicatesPerKillFrames } from '../agent/bounds.ts';
import { Ledger } from '../agent/cli/demo/ledger.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Fleet, readNumbered } from './support/fleet.ts';
import { type Kafka, startKafka } from './support/kafka.ts';
import { laneBalances } from './support/metrics.ts';
import { randomFrom, seedOfRun } from './support/random.ts';

const devices = 24;
const perSecond = 3_000;
const window = 40;
const payloadBytes = 64;
const settleWithinMs = 60_000;
const partitions = 4;

let kafka: Kafka;
let kafkaUp = false;

before(async () => {
  kafka = await startKafka({ down: true, partitions });
});
after(async () => {
  await kafka?.stop();
});

interface Scene {
  readonly agent: AgentUnderTest;
  readonly fleet: Fleet;
  readonly ledger: Ledger;
  readonly topic: string;
}

async function kafkaIsUp(): Promise<void> {
  if (!kafkaUp) await kafka.restart();
  kafkaUp = true;
}

async function scene(topic: string): Promise<Scene> {
  const agent = await AgentUnderTest.start({
    routes: [{ name: 'telemetry', from: 'plant/+/+/telemetry', to: { upstream: 'cloud', topic } }],
    upstreams: { cloud: { kafka: { brokers: [kafka.bootstrap], createTopics: true } } },
  });
  const ledger = new Ledger();
  const port = agent.mqttPort;
  const fleet = new Fleet({ port, devices, window, perSecond, payloadBytes, ledger });
  fleet.connect();
  await eventually('all devices are connected', settleWithinMs, () => fleet.up === devices);
  fleet.publish();
  return { agent, fleet, ledger, topic };
}

/** Lets everything drain, reads Kafka from outside, and holds the promises against it. */
async function settle({ agent, fleet, ledger, topic }: Scene, kills: number): Promise<string> {
  fleet.pausePublishing();
  await eventually('every message is acknowledged', settleWithinMs, () => fleet.inFlight === 0);
  await eventually('the backlog is empty', settleWithinMs, async () => {
    return laneBalances(await agent.metrics()).every((lane) => lane.backlog === 0);
  });
  await kafka.consumeEach([topic], ({ value }) => {
    const message = readNumbered(value);
    if (message !== null) ledger.arrive(message.device, message.number);
  });
  const totals = ledger.totals();
  const shown = JSON.stringify(totals);
  assert.equal(totals.lost, 0, `acknowledged and not in Kafka: ${shown}`);
  assert.equal(totals.unknown, 0, `in Kafka and never sent: ${shown}`);
  assert.equal(totals.outOfOrder, 0, `order per device broken: ${shown}`);
  assert.equal(totals.acknowledged, totals.sent, `everything was acknowledged: ${shown}`);
  assert.equal(fleet.strayAcknowledgements, 0, 'no PUBACK without its PUBLISH');
  const allowed = kills * duplicatesPerKillFrames + fleet.resent;
  assert.ok(totals.repeats <= allowed, `${totals.repeats} repeats, ${allowed} allowed`);
  for (const lane of laneBalances(await agent.metrics())) {
    assert.equal(lane.appended, lane.outcomes + lane.backlog, JSON.stringify(lane));
    assert.ok(lane.appended >= totals.acknowledged, JSON.stringify(lane));
    assert.ok(lane.appended <= totals.sent + fleet.resent, JSON.stringify(lane));
  }
  assert.equal(await agent.stop(), 0, 'a clean stop');
  return (
    `${totals.sent} sent, ${totals.acknowledged} acknowledged, ${totals.repeats} arrived twice ` +
    `(${allowed} allowed), ${fleet.resent} sent again by devices, ${kills} kills`
  );
}

test('with Kafka absent at the start, what was acknowledged arrives later', async (t) => {
  assert.equal(kafkaUp, false);
  const stage = await scene('absent-at-start');
  await using _agent = stage.agent;
  try {
    await sleep(4_000);
    const before = stage.ledger.acknowledged;
    assert.ok(before > perSecond, `acknowledged ${before} while Kafka was absent`);
    await kafkaIsUp();
    await sleep(2_000);
    t.diagnostic(await settle(stage, 0));
  } finally {
    stage.fleet.close();
  }
});

test('with nothing wrong, every acknowledged message is in Kafka once', async (t) => {
  await kafkaIsUp();
  const stage = await scene('nothing-wrong');
  await using _agent = stage.agent;
  try {
    await sleep(5_000);
    t.diagnostic(await settle(stage, 0));
    assert.equal(stage.ledger.totals().repeats, 0);
  } finally {
    stage.fleet.close();
  }
});

test('with Kafka killed in mid-load and started again, nothing acknowledged is lost', async (t) => {
  await kafkaIsUp();
  const stage = await scene('kafka-killed');
  await using _agent = stage.agent;
  try {
    await sleep(2_000);
    kafkaUp = false;
    await kafka.kill();
    const before = stage.ledger.acknowledged;
    await sleep(3_000);
    const during = stage.ledger.acknowledged - before;
    assert.ok(during > perSecond, `acknowledged ${during} while Kafka was down`);
    await kafkaIsUp();
    await sleep(2_000);
    t.diagnostic(await settle(stage, 0));
  } finally {
    stage.fleet.close();
  }
});

test('with the agent killed ten times in mid-load, nothing acknowledged is lost', async (t) => {
  await kafkaIsUp();
  const kills = 10;
  const [leastMs, mostMs] = [200, 1_600];
  const seed = seedOfRun();
  const random = randomFrom(seed);
  t.diagnostic(`seed ${seed}`);
  const stage = await scene('agent-killed');
  await using _agent = stage.agent;
  try {
    for (let kill = 0; kill < kills; kill++) {
      await sleep(leastMs + random() * (mostMs - leastMs));
      await stage.agent.kill();
      await stage.agent.start();
    }
    await sleep(1_000);
    t.diagnostic(await settle(stage, kills));
  } finally {
    stage.fleet.close();
  }
});
