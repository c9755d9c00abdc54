/**
 * The ledger over JetStream: what a stream took is a subset of what a Kafka consumer reads, in the
 * order of each device among first arrivals, with the agent killed ten times at random moments and
 * Kafka killed and started again meanwhile; and the agent's own counts add up.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, type NatsConnection } from 'nats';
import { duplicatesPerKillFrames, natsUnacknowledged } from '../agent/bounds.ts';
import { Ledger } from '../agent/cli/demo/ledger.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { readNumbered } from './support/fleet.ts';
import { type Kafka, startKafka } from './support/kafka.ts';
import { laneBalances } from './support/metrics.ts';
import { type NatsServer, startNats } from './support/nats.ts';
import { randomFrom, seedOfRun } from './support/random.ts';

const devices = 24;
const perSecond = 2_000;
const tickMs = 5;
const stream = 'PLANT';
const topic = 'nats-ledger';
const kills = 10;
const settleWithinMs = 60_000;
const [leastMs, mostMs] = [1_500, 2_600];
const ackWaitMs = 1_000;
const nanosecondsPerMs = 1_000_000;

let kafka: Kafka;
let server: NatsServer;

before(async () => {
  [kafka, server] = await Promise.all([startKafka({ partitions: 4 }), startNats()]);
});
after(async () => {
  await kafka?.stop();
  await server?.stop();
});

/** Devices that publish to the stream; its PubAck is the acknowledgement. */
class Publishers {
  readonly #ledger: Ledger;
  readonly #client: NatsConnection;
  readonly #timer: NodeJS.Timeout;
  inFlight = 0;

  constructor(ledger: Ledger, client: NatsConnection) {
    this.#ledger = ledger;
    this.#client = client;
    const began = performance.now();
    let due = 0;
    this.#timer = setInterval(() => {
      const target = ((performance.now() - began) / 1000) * perSecond;
      for (; due < target; due++) void this.#publish(due % devices);
    }, tickMs);
  }

  async #publish(index: number): Promise<void> {
    const device = `device-${index}`;
    const number = this.#ledger.nextNumber(device);
    this.inFlight += 1;
    const subject = `plant.line-${index % 3}.${device}.telemetry`;
    await this.#client.jetstream().publish(subject, `${device}:${number}:`.padEnd(64, '.'));
    this.#ledger.acknowledge(device, number);
    this.inFlight -= 1;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

test('ten kills of the agent, Kafka restarted: the whole stream is in Kafka', async (t) => {
  const seed = seedOfRun();
  const random = randomFrom(seed);
  t.diagnostic(`seed ${seed}`);
  const client = await server.connect();
  const manager = await client.jetstreamManager();
  await manager.streams.add({ name: stream, subjects: ['plant.>'] });
  // As the agent makes it, but that a killed run is waited for a second only: ten fit into a test.
  await manager.consumers.add(stream, {
    ...{ durable_name: 'tidegate-test-gw', description: 'tidegate test-gw' },
    ...{ ack_policy: AckPolicy.All, max_ack_pending: natsUnacknowledged },
    ack_wait: ackWaitMs * nanosecondsPerMs,
  });
  await using agent = await AgentUnderTest.start({
    routes: [{ name: 'telemetry', from: 'plant/+/+/telemetry', to: { upstream: 'cloud', topic } }],
    upstreams: { cloud: { kafka: { brokers: [kafka.bootstrap], createTopics: true } } },
    extra: { nats: { sources: [{ servers: server.url, stream, device: '{2}' }] } },
  });
  const ledger = new Ledger();
  const publishers = new Publishers(ledger, client);
  try {
    for (let kill = 0; kill < kills; kill++) {
      await sleep(leastMs + random() * (mostMs - leastMs));
      if (kill === 3) await kafka.kill();
      if (kill === 5) await kafka.restart();
      await agent.kill();
      await agent.start();
    }
    await sleep(1_000);
  } finally {
    publishers.stop();
  }
  await eventually(
    'every publish is acknowledged',
    settleWithinMs,
    () => publishers.inFlight === 0,
  );
  await eventually('the stream is taken', settleWithinMs, async () => {
    const { num_pending, num_ack_pending } = await manager.consumers.info(
      stream,
      'tidegate-test-gw',
    );
    return num_pending === 0 && num_ack_pending === 0;
  });
  await eventually('the backlog is empty', settleWithinMs, async () => {
    return laneBalances(await agent.metrics()).every((lane) => lane.backlog === 0);
  });
  await kafka.consumeEach([topic], ({ value, key, headers }) => {
    const message = readNumbered(value);
    if (message === null) return;
    assert.equal(key?.toString(), message.device);
    assert.match(headers.ce_id ?? '', /^PLANT\/\d+$/);
    ledger.arrive(message.device, message.number);
  });
  const totals = ledger.totals();
  const shown = JSON.stringify(totals);
  assert.ok(totals.acknowledged > perSecond * 10, shown);
  assert.equal(totals.lost, 0, `in the stream and not in Kafka: ${shown}`);
  assert.equal(totals.unknown, 0, `in Kafka and never published: ${shown}`);
  assert.equal(totals.outOfOrder, 0, `order per device broken: ${shown}`);
  const allowed = kills * (duplicatesPerKillFrames + natsUnacknowledged);
  assert.ok(totals.repeats <= allowed, `${totals.repeats} repeats, ${allowed} allowed`);
  for (const lane of laneBalances(await agent.metrics())) {
    assert.equal(lane.appended, lane.outcomes + lane.backlog, JSON.stringify(lane));
    assert.ok(lane.appended >= totals.acknowledged, JSON.stringify(lane));
  }
  assert.equal(await agent.stop(), 0, 'a clean stop');
  t.diagnostic(`${shown}, ${kills} kills, ${allowed} repeats allowed`);
  await client.close();
});
