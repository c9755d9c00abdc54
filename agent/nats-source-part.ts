/**
 * One NATS source of the config, put together: core subjects or a stream, and the link that both
 * are kept up by. Loads the library, and the kind of source, that the config has.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { closeWithinMs } from './bounds.ts';
import type { NatsSourceConfig } from './config/types-nats.ts';
import { TidegateError } from './errors.ts';
import { faultName } from './frames/faults.ts';
import type { NatsSourceParts } from './ingress/nats-source.ts';
import type { NatsLink, NatsLinkParts } from './nats-link.ts';
import { type AnySource, deviceOf, type SourceNeeds, SourcePart } from './source-part.ts';

const pollMs = 2;

export async function makeNatsSource(
  config: NatsSourceConfig,
  { path, report, gateway }: SourceNeeds,
): Promise<SourcePart> {
  const { connectNats } = await import('./nats-client.ts');
  const { NatsLink } = await import('./nats-link.ts');
  const name = showName(config);
  const parts: NatsSourceParts = {
    ...{ name, gateway, path, report, faultName, settle },
    ...deviceOf(config.device, 'header:'),
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
  return new SourcePart(await sourceOf(config, parts, openLink));
}

async function sourceOf(
  config: NatsSourceConfig,
  parts: NatsSourceParts,
  openLink: (hooks: Pick<NatsLinkParts, 'up'>) => NatsLink,
): Promise<AnySource> {
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
