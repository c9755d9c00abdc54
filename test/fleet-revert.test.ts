/**
 * A config that does harm is taken back by the gateway itself to what was confirmed last, is told,
 * and is never tried again; also when it takes the process with it.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { GatewayReport, LayerState } from '../agent/fleet/report.ts';
import { AgentUnderTest, eventually } from './support/agent.ts';
import { Device } from './support/device.ts';
import { fleetOf, gatewaySetup, Writer } from './support/gateway-rig.ts';
import { type NatsServer, startNats } from './support/nats.ts';
import { freePorts } from './support/ports.ts';

const withinMs = 20_000;

let nats: NatsServer;
let writer: Writer;
before(async () => {
  nats = await startNats();
  writer = await Writer.connect(nats);
});
after(async () => {
  await writer.close();
  await nats.stop();
});

const level = (name: string) => ({ log: { level: name } });
/** An upstream that forwarded writes where it cannot. */
const broken = { upstreams: { out: { file: { directory: './tidegate.yaml/out' } } } };
/** All events go to a server that is not there. */
const dead = (port: number, more: object = {}) => ({
  upstreams: { dead: { mqtt: { url: `mqtt://127.0.0.1:${port}` } } },
  routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'dead' } }],
  ...more,
});

/** A gateway that runs on one confirmed layer of its own. */
class Rig implements AsyncDisposable {
  readonly agent: AgentUnderTest;
  readonly gateway: string;
  readonly key: string;
  readonly writer: Writer;
  revision = 0;
  /** Of the config that was confirmed. */
  hash = '';

  private constructor(agent: AgentUnderTest, gateway: string, writer: Writer) {
    this.agent = agent;
    this.gateway = gateway;
    this.writer = writer;
    this.key = `gateway.${gateway}`;
  }

  static async start(
    gateway: string,
    confirmWithin = '1s',
    on: { nats: NatsServer; writer: Writer } = { nats, writer },
  ): Promise<Rig> {
    const setup = gatewaySetup(on.nats, { groups: undefined, confirmWithin }, { gateway });
    const rig = new Rig(await AgentUnderTest.prepare(setup), gateway, on.writer);
    await rig.push(level('debug'));
    await rig.agent.start();
    rig.hash = (await rig.reported('applied')).hash;
    return rig;
  }

  async push(config: object | string): Promise<void> {
    this.revision += 1;
    await this.writer.push(this.key, this.revision, config);
  }

  reported(state: LayerState): Promise<GatewayReport> {
    return this.writer.reported(this.key, this.revision, state, this.gateway);
  }

  /** It runs, whatever is thought of it. */
  async runs(revision = this.revision): Promise<void> {
    await eventually(`revision ${revision} runs`, withinMs, async () => {
      return (await fleetOf(this.agent)).layers[this.key]?.running === revision;
    });
  }

  reason({ layers }: GatewayReport): string {
    return layers[this.key]?.reason ?? '';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
  }
}

/** Each with a gateway of its own, at the same time. */
const tests: Readonly<Record<string, () => Promise<void>>> = {
  'a lane that forwarded and does not any more: blamed, and never tried again': async () => {
    await using rig = await Rig.start('gw-broken');
    const { agent } = rig;
    const device = await Device.connect(agent.mqttPort, 'pump');
    await rig.push({ ...broken, ...level('debug') });
    const report = await rig.reported('reverted');
    const [reason] = [rig.reason(report)];
    assert.match(reason, /out\/at-least-once forwarded before, and is halted/);
    const [told] = agent.events('fleetReverted');
    assert.equal(told?.level, 'error');
    await eventually('healthy again', withinMs, async () => {
      const now = await writer.report(rig.gateway);
      return now?.health === 'ok' && now.hash === rig.hash;
    });
    assert.equal(await device.publishAndWait('plant/a', 'x'), 0);
    assert.equal(device.ended, false);
    device.close();
    // The same text under a new revision, and another text that comes to the same config.
    await rig.push({ ...broken, ...level('debug') });
    const again = await rig.reported('reverted');
    assert.equal(rig.reason(again), reason);
    assert.equal(again.layers[rig.key]?.running, 1);
    await rig.push(`# once more\n${JSON.stringify({ ...broken, ...level('debug') })}`);
    assert.match(rig.reason(await rig.reported('refused')), /refused before: out\/at-least-once/);
    // Nor after a restart.
    await agent.stop();
    await agent.start();
    await eventually('connected', withinMs, async () => (await fleetOf(agent)).connected);
    await sleep(500);
    assert.equal((await fleetOf(agent)).hash, rig.hash);
    assert.equal(agent.events('fleetReverted').length, 1);
    // A good one is taken all the same.
    await rig.push(level('info'));
    await rig.reported('applied');
  },

  'all that forwarded is gone, the new one is dead; a rollback needs no wait': async () => {
    await using rig = await Rig.start('gw-dead');
    const [port = 0] = await freePorts(1);
    await rig.push(dead(port));
    const report = await rig.reported('reverted');
    assert.match(rig.reason(report), /all lanes that forwarded are gone/);
    // Another one that does harm, and the operator is faster than the judge.
    await rig.push(dead(port, level('warn')));
    await rig.runs();
    await rig.push(level('debug'));
    const back = await rig.reported('applied');
    assert.equal(back.hash, rig.hash);
    assert.equal(rig.agent.events('fleetConfirmed').length, 1, 'what was confirmed needs no trial');
    // Where this machine is slow, the judge may have been first after all.
    const told = rig.agent.events('fleetApplied').at(-1);
    assert.ok(told?.confirmed === true || told?.unchanged === true);
  },

  'one that comes while another is on trial: there is one thing to go back to': async () => {
    await using rig = await Rig.start('gw-queue', '3s');
    await rig.push(level('info'));
    await rig.runs();
    await rig.push({ ...broken, ...level('info') });
    const report = await rig.reported('reverted');
    await eventually('back', withinMs, async () => (await fleetOf(rig.agent)).hash === rig.hash);
    assert.match(rig.reason(report), /halted/);
    // The first one did no harm, and may come again.
    await rig.push(level('info'));
    await rig.reported('applied');
  },

  'killed on trial: tried once more after the start, and then blamed': async () => {
    await using rig = await Rig.start('gw-killed', '3s');
    await rig.push(level('warn'));
    for (const _ of [1, 2]) {
      await rig.runs();
      await rig.agent.kill();
      await rig.agent.start();
    }
    const report = await rig.reported('reverted');
    assert.match(rig.reason(report), /did not survive/);
    assert.equal(report.hash, rig.hash);
  },

  'stopped on trial, in good order: that is not held against it': async () => {
    await using rig = await Rig.start('gw-stopped', '2s');
    await rig.push(level('warn'));
    for (const _ of [1, 2, 3]) {
      await rig.runs();
      assert.equal(await rig.agent.stop(), 0);
      await rig.agent.start();
    }
    await rig.reported('applied');
  },

  'killed on trial, and NATS is away: what was confirmed runs': async () => {
    await using nats = await startNats();
    const writer = await Writer.connect(nats);
    await using rig = await Rig.start('gw-alone', '3s', { nats, writer });
    await rig.push(level('warn'));
    await rig.runs();
    await rig.agent.kill();
    await writer.close();
    await nats.kill();
    await rig.agent.start();
    const { hash, connected, layers } = await fleetOf(rig.agent);
    assert.equal(connected, false);
    assert.equal(hash, rig.hash);
    assert.equal(layers[rig.key]?.running, 1);
  },
};

describe('taken back', { concurrency: true }, () => {
  for (const [title, body] of Object.entries(tests)) test(title, body);
});
