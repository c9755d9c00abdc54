/**
 * A gateway of a fleet on a real nats-server: an agent as a process, and whoever writes its bucket:
 * the operator with the key that is trusted, or anybody else.
 */
import type { ConnectionOptions, KV } from 'nats';
import type { GatewayReport, LayerState } from '../../agent/fleet/report.ts';
import { type ConfigBody, signConfig } from '../../agent/fleet/signed.ts';
import { createNkey, type Nkey } from '../../agent/nats-client.ts';
import { type AgentSetup, type AgentUnderTest, eventually } from './agent.ts';
import type { NatsServer } from './nats.ts';

const withinMs = 20_000;

export const operator = createNkey();

export interface FleetKeys {
  readonly confirmWithin?: string;
  readonly reportEvery?: string;
  readonly [key: string]: unknown;
}

/** The local file of a gateway: one listener, one route, one file upstream. */
export function gatewaySetup(
  nats: NatsServer,
  fleet: FleetKeys = {},
  extra: Readonly<Record<string, unknown>> = {},
): AgentSetup {
  return {
    routes: [{ name: 'all', from: 'plant/#', to: { upstream: 'out' } }],
    upstreams: { out: { file: { directory: './out' } } },
    extra: {
      fleet: {
        servers: [nats.url],
        trust: operator.publicKey,
        groups: ['line-a'],
        confirmWithin: '1s',
        reportEvery: '1s',
        ...fleet,
      },
      ...extra,
    },
  };
}

/** Who may write to the buckets. */
export class Writer {
  readonly configs: KV;
  readonly status: KV;
  readonly close: () => Promise<void>;

  private constructor(configs: KV, status: KV, close: () => Promise<void>) {
    this.configs = configs;
    this.status = status;
    this.close = close;
  }

  static async connect(nats: NatsServer, options: ConnectionOptions = {}): Promise<Writer> {
    const connection = await nats.connect(options);
    const { views } = connection.jetstream();
    const configs = await views.kv('tidegate-config', { history: 10 });
    const status = await views.kv('tidegate-status', { history: 1 });
    return new Writer(configs, status, () => connection.close());
  }

  /** @returns as it was written */
  async push(
    key: string,
    revision: number,
    config: object | string,
    { rollout = null, signer = operator }: Partial<ConfigBody> & { signer?: Nkey } = {},
  ): Promise<string> {
    const text = signConfig(
      {
        ...{ key, revision, rollout },
        pushedAt: new Date().toISOString(),
        config: typeof config === 'string' ? config : JSON.stringify(config),
      },
      signer,
    );
    await this.configs.put(key, text);
    return text;
  }

  async report(gateway = 'test-gw'): Promise<GatewayReport | null> {
    const entry = await this.status.get(gateway);
    return entry === null ? null : (entry.json() as GatewayReport);
  }

  /** Waits until the gateway reports this of a layer. */
  async reported(
    key: string,
    revision: number,
    state: LayerState,
    gateway = 'test-gw',
  ): Promise<GatewayReport> {
    let last: GatewayReport | null = null;
    try {
      await eventually(`${key}@${revision} ${state}`, withinMs, async () => {
        last = await this.report(gateway);
        const layer = last?.layers[key];
        return layer?.revision === revision && layer.state === state;
      });
    } catch (error) {
      throw new Error(`${error}\n${JSON.stringify(last)}`);
    }
    return last as unknown as GatewayReport;
  }
}

/** What a running gateway says of its fleet in /status. */
export async function fleetOf(agent: AgentUnderTest): Promise<{
  connected: boolean;
  lastError: string | null;
  hash: string;
  layers: GatewayReport['layers'];
}> {
  const response = await fetch(`http://127.0.0.1:${agent.httpPort}/status`);
  const { fleet } = (await response.json()) as { fleet: Awaited<ReturnType<typeof fleetOf>> };
  return fleet;
}
