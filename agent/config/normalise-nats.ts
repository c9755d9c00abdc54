/**
 * What the schema accepted about NATS → shapes of types-nats.ts: names that come from the
 * gateway's, one value as a list of one, core and JetStream told apart.
 */
import { clientTlsOf, list } from './normalise-mqtt.ts';
import type { Written } from './schema.ts';
import type {
  FleetConfig,
  NatsClientConfig,
  NatsSourceConfig,
  NatsUpstreamOwn,
} from './types-nats.ts';

type WrittenSource = Written['nats']['sources'][number];
type WrittenUpstream = NonNullable<Written['upstreams'][string]['nats']>;
type WrittenFleet = NonNullable<Written['fleet']>;

function clientOf(
  written: WrittenSource | WrittenUpstream | WrittenFleet,
  name: string,
): NatsClientConfig {
  const { username = null, password = null, token = null, nkey = null, creds = null } = written;
  const servers = list(written.servers);
  return { servers, name, username, password, token, nkey, creds, tls: clientTlsOf(written.tls) };
}

/** A second source of one gateway that names no durable has its own. */
export function natsSourceOf(
  written: WrittenSource,
  index: number,
  gateway: string,
): NatsSourceConfig {
  const place = index === 0 ? '' : `-${index + 1}`;
  const { device, maxMessageSize, queue = null, stream, acks, from } = written;
  const client = clientOf(written, `tidegate-${gateway}-source${place}`);
  const base = { ...client, device, maxMessageSize, subjects: list(written.subjects) };
  if (stream === undefined) return { kind: 'core', ...base, queue };
  const durable = written.durable ?? `tidegate-${gateway}${place}`;
  return { kind: 'stream', ...base, stream, durable, acks, from };
}

export function natsUpstreamOf(written: WrittenUpstream, name: string): NatsUpstreamOwn {
  const { jetstream, inFlight } = written;
  return { ...clientOf(written, name), jetstream, inFlight };
}

export function fleetOf(written: WrittenFleet, gateway: string): FleetConfig {
  const { bucket, statusBucket, confirmWithin, reportEvery, revertWhen } = written;
  return {
    ...clientOf(written, `tidegate-${gateway}-fleet`),
    trust: list(written.trust),
    groups: list(written.groups),
    ...{ bucket, statusBucket },
    confirmWithinMs: confirmWithin,
    reportEveryMs: reportEvery,
    revertWhen: { errors: revertWhen.errors, backlogBytes: revertWhen.backlog },
  };
}
