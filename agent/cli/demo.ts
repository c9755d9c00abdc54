/**
 * `tidegate demo`: the promise, shown. Fifty devices publish through a real agent to an upstream;
 * the way upstream is cut, the agent is killed with SIGKILL (once while the backlog grows, once
 * while it drains), and a ledger kept outside of the agent shows that what was acknowledged
 * arrived.
 *
 *   everything up → uplink cut → agent killed → uplink back, draining → agent killed → devices stop
 *   → the rest drains → the ledger
 *
 * The devices, the upstream and the ledger live in this process, the agent in a child: the ledger
 * trusts nothing the agent says of itself. Exit 0 only when the ledger holds.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { exitCodes, TidegateError } from '../errors.ts';
import { report, summary } from './demo/report.ts';
import { deviceCount, drainPerSecond, type Stage, setTheStage, strike } from './demo/stage.ts';
import { count } from './demo/view.ts';

export interface DemoOptions {
  /** `host:port` of a real Kafka; without it a stand-in in this process takes its place. */
  readonly kafka?: string;
  /** Length of the load, in seconds; the drain comes on top. */
  readonly seconds?: string;
  readonly json?: boolean;
  readonly plain?: boolean;
}

const perDevicePerSecond = 40;
const secondsDefault = 25;
const secondsLeast = 10;
const secondsMost = 3_600;
const sampleEveryMs = 250;
const drainWithinMs = 60_000;
const connectWithinMs = 20_000;
/** The second kill waits until this much came through, so that it falls into the drain. */
const drainSeenMessages = 1_000;
/** Repeats may still arrive when nothing is owed any more. */
const settleMs = 1_000;
const share = { steady: 0.2, cut: 0.2, dead: 0.2, afterKill: 0.25 } as const;

export async function runDemo(options: DemoOptions): Promise<number> {
  const seconds = Number(options.seconds ?? secondsDefault);
  if (!(seconds >= secondsLeast && seconds <= secondsMost)) {
    throw new TidegateError('usage', `--seconds takes ${secondsLeast} to ${secondsMost}`);
  }
  const rich = process.stdout.isTTY && options.plain !== true;
  const how = options.json === true ? 'silent' : rich ? 'terminal' : 'plain';
  const stage = await setTheStage(options.kafka, seconds, how);
  const interrupted = () => {
    stage.view.close();
    void strike(stage, false).then(() => process.exit(exitCodes.tryLater));
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupted);
  let holds = false;
  try {
    const meter = startMeter(stage);
    await play(stage);
    clearInterval(meter);
    const totals = stage.ledger.totals();
    holds = totals.holds && stage.agent.unasked === null;
    stage.view.end(report(stage, totals));
    if (options.json === true) process.stdout.write(`${JSON.stringify(summary(stage, totals))}\n`);
  } finally {
    process.removeListener('SIGINT', interrupted);
    process.removeListener('SIGTERM', interrupted);
    stage.view.close();
    await strike(stage, !holds);
  }
  return holds ? exitCodes.ok : exitCodes.ourFault;
}

async function play(stage: Stage): Promise<void> {
  const { agent, devices, ledger, uplink, view, seconds } = stage;
  view.phase('the agent starts, the devices connect');
  agent.start();
  await agent.ready();
  devices.connect(stage.mqttPort, deviceCount);
  await until(stage, connectWithinMs, () => devices.connected === deviceCount);
  view.phase('everything is up: what is acknowledged arrives');
  devices.start(perDevicePerSecond);
  await until(stage, connectWithinMs, () => ledger.arrived > 0);
  await pause(stage, seconds * share.steady);

  view.phase(`the uplink is cut (${uplink.cutMeans})`);
  const acknowledgedBefore = ledger.acknowledged;
  stage.uplinkUp = false;
  await uplink.cut();
  await pause(stage, seconds * share.cut);
  await kill(stage, 'the agent is killed (SIGKILL), its backlog on disk, and started again');
  await pause(stage, seconds * share.dead);
  stage.acknowledgedWhileCut = ledger.acknowledged - acknowledgedBefore;

  view.phase(`the uplink is back: the backlog drains (shaped to ${count(drainPerSecond)}/s)`);
  await uplink.restore();
  stage.uplinkUp = true;
  const target = ledger.arrived + drainSeenMessages;
  await until(stage, drainWithinMs, () => ledger.arrived >= target);
  await kill(stage, 'the agent is killed again while it drains, and started again');
  await pause(stage, seconds * share.afterKill);

  view.phase('the devices stop publishing: what is owed drains');
  devices.stopPublishing();
  await until(stage, drainWithinMs, () => devices.inFlight === 0 && ledger.owed === 0);
  await sleep(settleMs);
}

async function kill(stage: Stage, text: string): Promise<void> {
  stage.view.phase(text);
  await stage.agent.end('SIGKILL');
  stage.kills += 1;
  stage.agent.start();
  await stage.agent.ready();
}

async function pause(stage: Stage, seconds: number): Promise<void> {
  await until(stage, seconds * 1000, () => false);
}

/** Waits for `met`, at most `withinMs`; an agent that ends unasked ends the demo. */
async function until(stage: Stage, withinMs: number, met: () => boolean): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (performance.now() < deadline && !met()) {
    if (stage.agent.unasked !== null) {
      throw new TidegateError('internal', `the demo's agent ended: ${stage.agent.unasked}`);
    }
    await sleep(Math.min(sampleEveryMs / 5, Math.max(1, deadline - performance.now())));
  }
}

function startMeter(stage: Stage): NodeJS.Timeout {
  const { ledger, devices, view } = stage;
  const began = performance.now();
  let [at, acknowledged, arrived] = [began, 0, 0];
  return setInterval(() => {
    const now = performance.now();
    const elapsed = Math.max(1, now - at) / 1000;
    stage.backlogPeak = Math.max(stage.backlogPeak, ledger.owed);
    view.sample({
      seconds: (now - began) / 1000,
      devicesConnected: devices.connected,
      devices: deviceCount,
      acknowledged: ledger.acknowledged,
      acknowledgedPerSecond: (ledger.acknowledged - acknowledged) / elapsed,
      arrived: ledger.arrived,
      arrivedPerSecond: (ledger.arrived - arrived) / elapsed,
      backlog: ledger.owed,
      agentUp: stage.agent.running,
      uplinkUp: stage.uplinkUp,
    });
    [at, acknowledged, arrived] = [now, ledger.acknowledged, ledger.arrived];
  }, sampleEveryMs);
}
