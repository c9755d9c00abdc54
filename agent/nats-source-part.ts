/**
 * One NATS source of the config, put together: a part that a reload keeps, stops or opens
 * (`kept.ts`). It needs no address of this machine and waits for no server, so that nothing of it
 * can fail.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { closeWithinMs } from './bounds.ts';
import type { NatsSourceConfig } from './config/types-nats.ts';
import { TidegateError } from './errors.ts';
import { deviceRules } from './frames/core.ts';
import { faultName } from './frames/faults.ts';
import type { NatsSource, NatsSourceParts } from './ingress/nats-source.ts';
import type { Part } from './kept.ts';
import type { NatsLink, NatsLinkParts } from './nats-link.ts';
import type { SourceNeeds } from './source-part.ts';

const pollMs = 2;
const headerPrefix = 'header:';

export interface NatsSourceNeeds extends SourceNeeds {
  readonly gateway: string;
}

export class NatsSourcePart implements Part {
  readonly source: NatsSource;

  private constructor(source: NatsSource) {
    this.source = source;
  }

  static async make(config: NatsSourceConfig, needs: NatsSourceNeeds): Promise<NatsSourcePart> {
    const { connectNats } = await import('./nats-client.ts');
    const { NatsLink } = await import('./nats-link.ts');
    const { path, report, gateway } = needs;
    const name = showName(config);
    const parts: NatsSourceParts = {
      ...{ name, gateway, path, report, faultName, settle },
      ...deviceOf(config.device),
    };
    const openLink = (hooks: Pick<NatsLinkParts, 'up'>): NatsLink => {
      const link: NatsLink = new NatsLink({
        ...hooks,
        client: config,
        connect: connectNats,
        random: Math.random,
        down: (error, delayMs) => {
          const told = { source: name, error: error.message, remedy: error.remedy, delayMs };
          report('sourceRetrying', told);
        },
        denied: (operation, subject) => {
          // A core source publishes replies alone, where who asked wants them.
          if (config.kind === 'core' && operation === 'publish') {
            report('replyDenied', { source: name, subject });
            return;
          }
          const detail = `the server does not let us ${operation} ${subject}`;
          link.fail(new TidegateError('upstreamUnauthorized', detail));
        },
      });
      return link;
    };
    return new NatsSourcePart(await sourceOf(config, parts, openLink));
  }

  async open(): Promise<void> {}

  release(): void {}

  begin(): void {
    this.source.start();
  }

  stop(): void {
    this.source.stop();
  }

  async close(): Promise<void> {
    this.source.stop();
    await this.source.close();
  }

  collides(): boolean {
    return false;
  }
}

async function sourceOf(
  config: NatsSourceConfig,
  parts: NatsSourceParts,
  openLink: (hooks: Pick<NatsLinkParts, 'up'>) => NatsLink,
): Promise<NatsSource> {
  if (config.kind === 'core') {
    const { NatsCoreSource } = await import('./ingress/nats-core-source.ts');
    return new NatsCoreSource(config, parts, openLink);
  }
  const { NatsStreamSource } = await import('./ingress/nats-stream-source.ts');
  return new NatsStreamSource(config, parts, openLink);
}

async function settle(done: () => boolean): Promise<void> {
  const deadline = performance.now() + closeWithinMs;
  while (!done() && performance.now() < deadline) await sleep(pollMs);
}

function showName(config: NatsSourceConfig): string {
  const { host, port } = config.servers[0] ?? { host: '', port: 0 };
  const what =
    config.kind === 'core' ? config.subjects.join(' ') : `${config.stream}/${config.durable}`;
  return `${what}@${host}:${port}`;
}

/** What names the device of an event: the rule's number, and the name it needs. */
function deviceOf(written: string): { deviceRule: number; deviceName: Uint8Array } {
  const nothing = Buffer.alloc(0);
  if (written.startsWith(headerPrefix)) {
    const name = Buffer.from(written.slice(headerPrefix.length));
    return { deviceRule: deviceRules.property, deviceName: name };
  }
  if (written === '{topic}') return { deviceRule: deviceRules.topicName, deviceName: nothing };
  return { deviceRule: deviceRules.capture + Number(written.slice(1, -1)), deviceName: nothing };
}
