/**
 * The ledger over the seats: QoS 1 and QoS 2 devices, through the listener in front of a Mosquitto
 * and through sources at a Mosquitto, with agent, broker and a real Kafka killed in turn.
 *
 *   everything acknowledged to a device is in Kafka; first arrivals stand in the device's order
 *   QoS 2: one frame in the buffer (one ce_id) for each message, as long as its session lives
 *   repeats of one ce_id in Kafka stay within the bound of a kill; appended = Σ outcomes + backlog
 *
 * What makes a QoS 2 message the server's differs. In the listener seat it is the agent's PUBREC,
 * which follows the COMMIT. In the source seat Mosquitto answers the devices, and gives a message
 * to its subscribers only after PUBREL: there it is PUBCOMP. For the same reason Mosquitto is
 * killed with SIGKILL behind the listener, where nothing depends on what it keeps, and stopped with
 * SIGTERM in the source seat: it acknowledges what it has in memory and writes that at a stop, so
 * that its own acknowledgements do not survive a SIGKILL, with any subscriber. What it sends a
 * second time against the standard (`mosquitto-log.ts`) is counted and granted to it.
 */
import assert from 'node:assert/strict';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { duplicatesPerKillFrames } from '../agent/bounds.ts';
import { Ledger } from '../agent/cli/demo/ledger.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { readNumbered } from './support/fleet.ts';
import { type Kafka, startKafka } from './support/kafka.ts';
import { laneBalances, total } from './support/metrics.ts';
import { type Mosquitto, startMosquitto } from './support/mosquitto.ts';
import { sentAfterPubrel } from './support/mosquitto-log.ts';
import { randomFrom, seedOfRun } from './support/random.ts';
import type { DeviceOptions } from './support/session-device.ts';
import { SessionFleet } from './support/session-fleet.ts';
import { Witness } from './support/witness.ts';

const perSecond = 800;
const window = 12;
const identifiers = 32;
/** Long enough that a kill finds something between the packet and its COMMIT. */
const commitEveryMs = 20;
const rounds = 2;
const killsOfEach = 2;
const [leastMs, mostMs] = [150, 900];
const settleWithinMs = 60_000;
const quietMs = 1_000;
const partitions = 4;

let kafka: Kafka;
before(async () => {
  kafka = await startKafka({ partitions });
});
after(async () => {
  await kafka?.stop();
});

interface Scene {
  readonly agent: AgentUnderTest;
  readonly broker: Mosquitto;
  readonly brokerSignal: NodeJS.Signals;
  readonly fleet: SessionFleet;
  readonly ledger: Ledger;
  readonly topic: string;
}

/** Every combination of QoS, version and branch, each as three devices. */
function devicesOn(branches: readonly string[]): DeviceOptions[] {
  const all: DeviceOptions[] = [];
  for (let copy = 0; copy < 3; copy++) {
    for (const qos of [1, 2] as const) {
      for (const version of [4, 5] as const) {
        for (const branch of branches) {
          const name = `device-${all.length}`;
          all.push({ name, qos, version, topicName: `plant/${branch}/${name}/telemetry` });
        }
      }
    }
  }
  return all;
}

function mosquitto(): Promise<Mosquitto> {
  return startMosquitto({ lines: ['max_queued_messages 0', 'max_inflight_messages 500'] });
}

async function scene(
  topic: string,
  seat: 'listener' | 'source',
  setup: Partial<Parameters<typeof AgentUnderTest.start>[0]>,
  broker: Mosquitto,
): Promise<Scene> {
  const cloud = { kafka: { brokers: [kafka.bootstrap], createTopics: true } };
  const extra = { buffer: { commitEvery: `${commitEveryMs}ms` } };
  const agent = await AgentUnderTest.start({ routes: [], upstreams: { cloud }, extra, ...setup });
  const ledger = new Ledger();
  const listener = seat === 'listener';
  const fleet = new SessionFleet({
    ...{ window, perSecond, identifiers, ledger },
    port: listener ? agent.mqttPort : broker.port,
    devices: devicesOn(listener ? ['copied', 'alone'] : ['five', 'four']),
    acknowledgedBy: listener ? 'pubrec' : 'pubcomp',
  });
  fleet.connect();
  const { length } = fleet.options.devices;
  await eventually('all devices are connected', settleWithinMs, () => fleet.up === length);
  return { agent, broker, fleet, ledger, topic, brokerSignal: listener ? 'SIGKILL' : 'SIGTERM' };
}

/** Agent, broker and Kafka, in turn and each several times, at random moments of the load. */
async function killInTurn({ agent, broker, brokerSignal, fleet }: Scene, t: TestContext) {
  const seed = seedOfRun();
  const random = randomFrom(seed);
  t.diagnostic(`seed ${seed}`);
  const moment = () => sleep(leastMs + random() * (mostMs - leastMs));
  fleet.publish();
  for (let round = 0; round < rounds; round++) {
    for (let kill = 0; kill < killsOfEach; kill++) {
      await moment();
      await agent.kill();
      await agent.start();
      await moment();
      await broker.kill(brokerSignal);
      await sleep(random() * leastMs);
      await broker.start();
    }
    await moment();
    await kafka.kill();
    await moment();
    await kafka.restart();
  }
  await moment();
}

/** A broker may still be sending: it is over when nothing more comes. */
async function taken(agent: AgentUnderTest, least: number): Promise<void> {
  let [before, since] = [-1, 0];
  await eventually('everything acknowledged is taken', settleWithinMs, async () => {
    const lanes = laneBalances(await agent.metrics());
    const appended = lanes.reduce((sum, lane) => sum + lane.appended, 0);
    if (appended !== before) [before, since] = [appended, performance.now()];
    const quiet = performance.now() - since > quietMs;
    return quiet && appended >= least && lanes.every(({ backlog }) => backlog === 0);
  });
}

async function settle({ agent, broker, fleet, ledger, topic }: Scene): Promise<string> {
  fleet.pausePublishing();
  await eventually('every message is acknowledged', settleWithinMs, () => fleet.inFlight === 0);
  await taken(agent, ledger.acknowledged);
  const witness = new Witness();
  await kafka.consumeEach([topic], ({ value, headers }) => {
    const message = readNumbered(value);
    if (message === null) return;
    ledger.arrive(message.device, message.number);
    witness.see(`${message.device} ${message.number}`, headers.ce_id ?? '');
  });
  const { tally } = fleet;
  const totals = ledger.totals();
  const shown = JSON.stringify(totals);
  assert.equal(totals.lost, 0, `acknowledged and not in Kafka: ${shown}`);
  assert.equal(totals.unknown, 0, `in Kafka and never sent: ${shown}`);
  assert.equal(totals.outOfOrder, 0, `order per device broken: ${shown}`);
  assert.equal(totals.acknowledged, totals.sent, `everything was acknowledged: ${shown}`);
  assert.deepEqual(tally.strays, [], 'no answer without its question');
  const doubled = { 1: 0, 2: 0 };
  let beyond = 0;
  for (const { device, number, more } of witness.doubled()) {
    const { qos, renewals } = fleet.of(device, number);
    doubled[qos] += more;
    if (qos === 2) beyond += Math.max(0, more - renewals);
  }
  const brokers = sentAfterPubrel(broker.log);
  assert.ok(beyond <= brokers, `${beyond} QoS 2 more than once, ${brokers} by the broker's fault`);
  const kills = rounds * killsOfEach;
  assert.ok(witness.repeats <= kills * duplicatesPerKillFrames, `${witness.repeats} repeats`);
  let appended = 0;
  for (const lane of laneBalances(await agent.metrics())) {
    assert.equal(lane.appended, lane.outcomes + lane.backlog, JSON.stringify(lane));
    appended += lane.appended;
  }
  assert.equal(appended, witness.frames, 'every frame of the buffer is in Kafka, and no other');
  return (
    `${totals.sent} sent and acknowledged, ${witness.frames} frames (${doubled[1]} QoS 1 and ` +
    `${doubled[2]} QoS 2 stand twice), ${witness.repeats} repeats in Kafka, ` +
    `${tally.resent} sent again, ${tally.renewed} as new ones (${tally.sessionsLost} sessions ` +
    `lost), ${brokers} by the broker after PUBREL`
  );
}

test('listener: QoS 1 and 2, with agent, broker and Kafka killed in turn', async (t) => {
  const broker = await mosquitto();
  const topic = 'listener-seat';
  const route = (branch: string, local: boolean) => ({
    ...{ name: branch, from: `plant/${branch}/+/telemetry`, local },
    to: { upstream: 'cloud', topic },
  });
  const setup = {
    routes: [route('copied', true), route('alone', false)],
    listener: { broker: `mqtt://127.0.0.1:${broker.port}`, publishAcl: 'none' },
  };
  const stage = await scene(topic, 'listener', setup, broker);
  try {
    await killInTurn(stage, t);
    t.diagnostic(await settle(stage));
    assert.equal(await stage.agent.stop(), 0, 'a clean stop');
  } finally {
    stage.fleet.close();
    await stage.agent[Symbol.asyncDispose]();
    await broker.stop();
  }
});

test('source: QoS 1 and 2, with agent, broker and Kafka killed in turn', async (t) => {
  const broker = await mosquitto();
  const topic = 'source-seat';
  const source = (host: string, version: string, branch: string) => ({
    ...{ url: `mqtt://${host}:${broker.port}`, version, qos: 2, device: '{1}' },
    ...{ clientId: `agent-${branch}`, subscribe: [`plant/${branch}/#`] },
  });
  const setup = {
    routes: [{ name: 'telemetry', from: 'plant/+/+/telemetry', to: { upstream: 'cloud', topic } }],
    sources: [source('127.0.0.1', '5', 'five'), source('localhost', '3.1.1', 'four')],
  };
  const stage = await scene(topic, 'source', setup, broker);
  try {
    await eventually('both sources are subscribed', settleWithinMs, async () => {
      return total(await stage.agent.metrics(), 'tidegate_source_subscribed') === 2;
    });
    await killInTurn(stage, t);
    t.diagnostic(await settle(stage));
    assert.equal(stage.fleet.tally.sessionsLost, 0, 'Mosquitto kept what it acknowledged');
    assert.equal(await stage.agent.stop(), 0, 'a clean stop');
  } finally {
    stage.fleet.close();
    await stage.agent[Symbol.asyncDispose]();
    await broker.stop();
  }
});
