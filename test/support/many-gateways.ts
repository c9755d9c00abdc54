/**
 * A whole fleet on one nats-server: agents as processes, each with its own buffer, local file and a
 * device that publishes QoS 1 throughout and keeps a ledger; and the operator's command line.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ledger } from '../../agent/cli/demo/ledger.ts';
import type { GatewayReport } from '../../agent/fleet/report.ts';
import { AgentUnderTest, eventually } from './agent.ts';
import { readLines } from './files.ts';
import { Fleet, readNumbered } from './fleet.ts';
import { gatewaySetup, operator, Writer } from './gateway-rig.ts';
import type { NatsServer } from './nats.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const startedAtOnce = 3;
const perSecond = 1;
const payloadBytes = 40;
const withinMs = 60_000;
const digits = 2;

export interface Pushed {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
  readonly seconds: number;
}

export class ManyGateways {
  readonly agents: AgentUnderTest[] = [];
  readonly names: string[] = [];
  readonly #ledgers: Ledger[] = [];
  readonly #devices: Fleet[] = [];
  readonly #nats: NatsServer;
  readonly #directory = mkdtempSync(join(tmpdir(), 'tidegate-operator-'));
  #writer: Writer | null = null;

  private constructor(nats: NatsServer) {
    this.#nats = nats;
    writeFileSync(join(this.#directory, 'seed'), `${operator.seed}\n`);
  }

  static async start(nats: NatsServer, count: number): Promise<ManyGateways> {
    const fleet = new ManyGateways(nats);
    // Each agent is ended with this process.
    process.setMaxListeners(process.getMaxListeners() + count);
    try {
      await fleet.#start(count);
    } catch (error) {
      await fleet.close();
      throw error;
    }
    return fleet;
  }

  async #start(count: number): Promise<void> {
    const waiting = Array.from({ length: count }, (_, index) => index + 1);
    const startNext = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const gateway = `gw-${String(next).padStart(digits, '0')}`;
        const keys = { reportEvery: '2s', confirmWithin: '8s' };
        const setup = gatewaySetup(this.#nats, keys, { gateway });
        // Its ports are chosen now: those of an agent that waits may be taken.
        const agent = await AgentUnderTest.prepare(setup);
        this.names.push(gateway);
        this.agents.push(agent);
        await agent.start();
      }
    };
    await Promise.all(Array.from({ length: startedAtOnce }, startNext));
    this.#writer = await Writer.connect(this.#nats);
    await eventually('all report', withinMs, async () => {
      return (await this.reports()).length === count;
    });
  }

  publish(): void {
    for (const { mqttPort: port } of this.agents) {
      const ledger = new Ledger();
      const device = new Fleet({ port, devices: 1, window: 20, perSecond, payloadBytes, ledger });
      this.#ledgers.push(ledger);
      this.#devices.push(device);
      device.connect();
      device.publish();
    }
  }

  get drops(): number {
    return this.#devices.reduce((sum, device) => sum + device.drops, 0);
  }

  async reports(): Promise<GatewayReport[]> {
    const reports: GatewayReport[] = [];
    for (const name of this.names) {
      const report = await this.#writer?.report(name).catch(() => null);
      if (report) reports.push(report);
    }
    return reports;
  }

  /** Gateways by what they say of the newest revision of a key. */
  async states(key: string): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const { layers } of await this.reports()) {
      const layer = layers[key];
      const state = layer ? `${layer.state}@${layer.revision}` : 'none';
      counts[state] = (counts[state] ?? 0) + 1;
    }
    return counts;
  }

  /** Waits until all say so; else what they say instead. */
  async areAll(state: string, key: string): Promise<void> {
    const isSo = async () => (await this.states(key))[state] === this.names.length;
    await eventually(`all ${state}`, withinMs, isSo).catch(async (error) => {
      const reasons = (await this.reports()).map(({ layers }) => layers[key]?.reason);
      const shown = JSON.stringify([await this.states(key), [...new Set(reasons)]]);
      throw new Error(`${error}: ${shown}`);
    });
  }

  /** `tidegate fleet …` as an operator runs it. */
  async command(...args: readonly string[]): Promise<Pushed> {
    const began = performance.now();
    const connection = ['--servers', this.#nats.url];
    const child = spawn(process.execPath, [main, 'fleet', ...args, ...connection], {
      env: { ...process.env, TIDEGATE_FLEET_KEY: join(this.#directory, 'seed') },
    });
    const said = { out: '', err: '' };
    child.stdout.on('data', (chunk) => (said.out += String(chunk)));
    child.stderr.on('data', (chunk) => (said.err += String(chunk)));
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, ...said, seconds: (performance.now() - began) / 1_000 };
  }

  push(config: object, ...flags: readonly string[]): Promise<Pushed> {
    const file = join(this.#directory, 'pushed.yaml');
    writeFileSync(file, JSON.stringify(config));
    const base = this.agents[0]?.configPath ?? '';
    return this.command('push', file, '--base', base, ...flags);
  }

  /** Everything is acknowledged, and stands in the files of its gateway. */
  async settle(): Promise<{ acknowledged: number; lost: number; repeats: number }> {
    for (const device of this.#devices) device.pausePublishing();
    await eventually('all are acknowledged', withinMs, () =>
      this.#devices.every(({ inFlight }) => inFlight === 0),
    );
    let sum = { acknowledged: 0, lost: 0, repeats: 0 };
    for (const [index, ledger] of this.#ledgers.entries()) {
      const agent = this.agents[index] as AgentUnderTest;
      const read = () => readLines(join(agent.directory, 'out'));
      await eventually('its backlog is written', withinMs, () => {
        const arrived = new Set(read().map(({ value }) => readNumbered(value)?.number));
        return arrived.size >= ledger.acknowledged;
      }).catch(() => undefined);
      for (const { value } of read()) {
        const message = readNumbered(value);
        if (message !== null) ledger.arrive(message.device, message.number);
      }
      const { acknowledged, lost, repeats } = ledger.totals();
      sum = {
        acknowledged: sum.acknowledged + acknowledged,
        lost: sum.lost + lost,
        repeats: sum.repeats + repeats,
      };
    }
    return sum;
  }

  async close(): Promise<void> {
    for (const device of this.#devices) device.close();
    await this.#writer?.close();
    await Promise.all(this.agents.map((agent) => agent[Symbol.asyncDispose]()));
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
