/**
 * Gateways as the fleet's operator meets them: reports in the status bucket, and an answer to every
 * revision in the bucket of configs, played here. No agent runs.
 */
import type { KV, NatsConnection } from 'nats';
import type { GatewayReport, LayerReport, LayerState } from '../../agent/fleet/report.ts';
import { keysOf } from '../../agent/fleet/report.ts';
import { isInRollout, type SignedConfig } from '../../agent/fleet/signed.ts';
import { eventually } from './agent.ts';
import type { NatsServer } from './nats.ts';

const answerWithinMs = 10_000;

export interface PlayedGateway {
  readonly name: string;
  readonly groups?: readonly string[];
  /** What it makes of a config that is for it; null: nothing is heard of it. */
  readonly answers?: (signed: SignedConfig) => readonly [LayerState, string?] | null;
}

export class PlayedFleet {
  readonly #connection: NatsConnection;
  readonly #reports: KV;
  readonly configs: KV;
  readonly #gateways = new Map<string, PlayedGateway>();
  readonly #layers = new Map<string, Record<string, LayerReport>>();

  private constructor(connection: NatsConnection, reports: KV, configs: KV) {
    this.#connection = connection;
    this.#reports = reports;
    this.configs = configs;
  }

  static async start(server: NatsServer, prefix = 'tidegate'): Promise<PlayedFleet> {
    const connection = await server.connect();
    const { views } = connection.jetstream();
    const reports = await views.kv(`${prefix}-status`, { ttl: 600_000 });
    const configs = await views.kv(`${prefix}-config`, { history: 10 });
    const fleet = new PlayedFleet(connection, reports, configs);
    void fleet.#listen();
    return fleet;
  }

  /** It reports, and from now on answers. */
  async join(...gateways: readonly PlayedGateway[]): Promise<void> {
    await Promise.all(
      gateways.map(async (gateway) => {
        this.#gateways.set(gateway.name, gateway);
        this.#layers.set(gateway.name, {});
        await this.report(gateway.name);
      }),
    );
  }

  async report(name: string, more: Partial<GatewayReport> = {}): Promise<void> {
    const report: GatewayReport = {
      gateway: name,
      version: '0.1.0',
      at: new Date().toISOString(),
      everySeconds: 30,
      uptimeSeconds: 60,
      groups: this.#gateways.get(name)?.groups ?? [],
      layers: this.#layers.get(name) ?? {},
      hash: '',
      health: 'ok',
      lanes: { out: 'forwarding' },
      backlog: { frames: 0, bytes: 0 },
      rates: { framesPerSecond: 12, errorsPerSecond: 0 },
      ...more,
    };
    await this.#reports.put(name, JSON.stringify(report));
  }

  async leave(name: string): Promise<void> {
    this.#gateways.delete(name);
    await this.#reports.delete(name);
  }

  /** Anything at all under this name. */
  async scribble(name: string, text: string): Promise<void> {
    await this.#reports.put(name, text);
  }

  async #listen(): Promise<void> {
    for await (const entry of await this.configs.watch()) {
      if (entry.operation !== 'PUT') continue;
      const signed = read(entry.string());
      if (signed === null) continue;
      for (const gateway of this.#gateways.values()) await this.#answer(gateway, signed);
    }
  }

  async #answer(gateway: PlayedGateway, signed: SignedConfig): Promise<void> {
    const { name, groups = [], answers = () => ['applied'] as const } = gateway;
    if (!keysOf(name, groups).includes(signed.key)) return;
    const before = this.#layers.get(name) ?? {};
    const running = before[signed.key]?.running ?? null;
    const isHit = isInRollout(name, signed.rollout);
    const answer = isHit ? answers(signed) : (['spared'] as const);
    if (answer === null) return;
    const [state, reason = null] = answer;
    const { revision, hash } = signed;
    const runs = state === 'applied' || state === 'pending' ? revision : running;
    const layer = { revision, hash, state, reason, running: runs };
    this.#layers.set(name, { ...before, [signed.key]: layer });
    await this.report(name);
  }

  /** Another answer to the revision that it answered last. */
  async answer(name: string, key: string, state: LayerState, reason: string): Promise<void> {
    const layers = this.#layers.get(name) ?? {};
    const layer = layers[key];
    if (layer === undefined) throw new Error(`${name} has seen nothing of ${key}`);
    this.#layers.set(name, { ...layers, [key]: { ...layer, state, reason } });
    await this.report(name);
  }

  states(key: string): (readonly [gateway: string, state: LayerState])[] {
    return [...this.#layers].flatMap(([name, layers]) => {
      const state = layers[key]?.state;
      return state === undefined ? [] : [[name, state] as const];
    });
  }

  until(met: () => boolean): Promise<void> {
    return eventually('the gateways have answered', answerWithinMs, met);
  }

  /** Revisions of a key as they stand in the bucket, oldest first. */
  async revisions(key: string): Promise<SignedConfig[]> {
    const found: SignedConfig[] = [];
    for await (const entry of await this.configs.history({ key })) {
      const signed = read(entry.string());
      if (signed !== null) found.push(signed);
    }
    return found;
  }

  async stop(): Promise<void> {
    await this.#connection.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

function read(text: string): SignedConfig | null {
  try {
    return JSON.parse(text) as SignedConfig;
  } catch {
    return null;
  }
}
