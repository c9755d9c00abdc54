/**
 * An agent with a bridge, as its services use it: a route with a slow limit, one that takes what is
 * below `plant/`, and an upstream for all other topics; one service with its token.
 */
import { join } from 'node:path';
import { AgentUnderTest, eventually } from './agent.ts';
import { type Line, readLines } from './files.ts';

export const v2Json = 'application/vnd.kafka.json.v2+json';
export const arriveWithinMs = 20_000;
export const token = 'a-token-of-the-test-0123456789';

export interface Sent {
  readonly path: string;
  /** Version 2 of REST Proxy, JSON, when left out. */
  readonly type?: string;
  /** An object is sent as JSON. */
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}

export class BridgeRig {
  readonly agent: AgentUnderTest;

  private constructor(agent: AgentUnderTest) {
    this.agent = agent;
  }

  static async start(): Promise<BridgeRig> {
    const limits = [{ per: 'device', messages: '1/m', burst: 2, over: 'hold' }];
    const agent = await AgentUnderTest.start({
      routes: [
        { name: 'slow', from: 'slow/#', to: { upstream: 'out' }, limits },
        { name: 'plant', from: 'plant/#', to: { upstream: 'out', key: '{device}' } },
      ],
      upstreams: { out: { file: { directory: './out' } }, rest: { file: { directory: './rest' } } },
      http: { bridge: { rest: 'rest', clients: [{ device: 'erp', token }] } },
    });
    return new BridgeRig(agent);
  }

  async post({ path, type = v2Json, body, headers = {} }: Sent): Promise<Response> {
    const isWritten = typeof body === 'string' || body instanceof Uint8Array;
    return await fetch(`http://127.0.0.1:${this.agent.httpPort}${path}`, {
      method: 'POST',
      headers: { 'content-type': type, authorization: `Bearer ${token}`, ...headers },
      body: isWritten ? (body as string) : JSON.stringify(body),
    });
  }

  lines(upstream: 'out' | 'rest'): Line[] {
    return readLines(join(this.agent.directory, upstream));
  }

  /** The first line with this value. */
  async arrived(upstream: 'out' | 'rest', value: string): Promise<Line> {
    let found: Line | undefined;
    await eventually(`${value} arrives`, arriveWithinMs, () => {
      found = this.lines(upstream).find((line) => line.value.toString() === value);
      return found !== undefined;
    });
    return found as Line;
  }
}
