/**
 * The durable pull consumer of a JetStream source: found or made, never changed.
 *
 *   not there ─▶ made, with our name in its description: ours, `alone`
 *   there, with our name ─▶ alone: nobody else pulls from it, so that one acknowledgement may stand
 *                           for all before it (AckPolicy.All)
 *   there, of somebody else ─▶ shared: acknowledged one by one; AckPolicy.All there would
 *                           acknowledge what another one has not committed, and is refused
 *
 * A work-queue stream takes explicit acknowledgements only (server/consumer.go), as the config may
 * ask for. What differs from what we would make is said and stays.
 */
import type { AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy } from 'nats';
import { natsAckWaitMs, natsProgressMostMs, natsUnacknowledged } from '../bounds.ts';
import type { NatsStreamSourceConfig } from '../config/types-nats.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import type { NatsConnection } from '../nats-client.ts';

const nanosecondsPerMs = 1_000_000;
/** JSConsumerNotFoundErr, JSStreamNotFoundErr: server/errors.json. */
const consumerNotFound = 10_014;
const streamNotFound = 10_059;

export interface Consumer {
  readonly alone: boolean;
  /** One acknowledgement stands for all before it. */
  readonly acksAll: boolean;
  readonly ackWaitMs: number;
  /** Most that may be delivered and not acknowledged. */
  readonly unacknowledged: number;
  /** When it was found: delivered and not acknowledged; its last delivery, and in its stream. */
  readonly pending: number;
  readonly place: number;
  readonly sequence: number;
  /** When it was made: another one, or one of another stream, counts from the beginning. */
  readonly created: string;
}

/** @throws TidegateError natsStreamMissing, natsConsumerUnsuited */
export async function bindConsumer(
  connection: NatsConnection,
  config: NatsStreamSourceConfig,
  gateway: string,
  report: Report,
): Promise<Consumer> {
  const manager = await connection.manager();
  const { stream, durable } = config;
  let info: ConsumerInfo;
  try {
    info = await manager.consumers.info(stream, durable);
    const differences = differing(info.config, config);
    if (differences.length > 0) {
      report('consumerDiffers', { stream, durable, differences: differences.join(', ') });
    }
  } catch (error) {
    if (codeOf(error) !== consumerNotFound) throw asOurs(error, stream);
    const { config: of } = await manager.streams.info(stream).catch((cause) => {
      throw asOurs(cause, stream);
    });
    const isWorkQueue = String(of.retention) === 'workqueue';
    const wanted = wantedOf(config, gateway, isWorkQueue);
    info = await manager.consumers.add(stream, wanted).catch((cause) => {
      throw asOurs(cause, stream);
    });
    report('consumerMade', { stream, durable, acks: String(info.config.ack_policy) });
  }
  return judged(info, config, gateway);
}

/** Delivered and not acknowledged by now. @throws TidegateError natsTimeout */
export async function pendingOf(
  connection: NatsConnection,
  { stream, durable }: NatsStreamSourceConfig,
): Promise<number> {
  const manager = await connection.manager();
  const info = await manager.consumers.info(stream, durable).catch((cause) => {
    throw asOurs(cause, stream);
  });
  return info.num_ack_pending;
}

function nameOf(gateway: string): string {
  return `tidegate ${gateway}`;
}

function wantedOf(
  { durable, subjects, acks, from }: NatsStreamSourceConfig,
  gateway: string,
  isWorkQueue: boolean,
): Partial<ConsumerConfig> {
  const policy = acks === 'explicit' || isWorkQueue ? 'explicit' : 'all';
  return {
    durable_name: durable,
    description: nameOf(gateway),
    ack_policy: policy as AckPolicy,
    ack_wait: natsAckWaitMs * nanosecondsPerMs,
    max_ack_pending: natsUnacknowledged,
    max_deliver: -1,
    deliver_policy: (from === 'oldest' ? 'all' : 'new') as DeliverPolicy,
    ...filterOf(subjects),
  };
}

/** Several need nats-server 2.10. */
function filterOf(subjects: readonly string[]): Partial<ConsumerConfig> {
  if (subjects.length > 1) return { filter_subjects: [...subjects] };
  return subjects[0] === undefined ? {} : { filter_subject: subjects[0] };
}

function judged(info: ConsumerInfo, config: NatsStreamSourceConfig, gateway: string): Consumer {
  const { stream, durable } = config;
  const { ack_policy, ack_wait = 0, max_ack_pending = 0, description } = info.config;
  const alone = description === nameOf(gateway);
  const policy = String(ack_policy);
  const unsuited = (why: string): TidegateError =>
    new TidegateError('natsConsumerUnsuited', `consumer ${durable} of ${stream} ${why}`);
  if (info.config.deliver_subject) throw unsuited('pushes, and is not pulled from');
  if (policy === 'none') throw unsuited('asks for no acknowledgement: what is lost stays lost');
  if (policy === 'all' && !alone) {
    throw unsuited('acknowledges all at once and was not made by this gateway');
  }
  const most = max_ack_pending > 0 ? max_ack_pending : natsUnacknowledged;
  return {
    alone,
    acksAll: policy === 'all',
    ackWaitMs: ack_wait > 0 ? ack_wait / nanosecondsPerMs : natsAckWaitMs,
    unacknowledged: Math.min(most, natsUnacknowledged),
    pending: info.num_ack_pending,
    place: info.delivered.consumer_seq,
    sequence: info.delivered.stream_seq,
    created: info.created,
  };
}

function differing(found: ConsumerConfig, config: NatsStreamSourceConfig): string[] {
  const present = found.filter_subjects ?? (found.filter_subject ? [found.filter_subject] : []);
  const written = [...config.subjects].sort().join(' ') || 'everything';
  const filters = [...present].sort().join(' ') || 'everything';
  const differences: string[] = [];
  if (filters !== written) differences.push(`it delivers ${filters}, the config says ${written}`);
  if (config.acks === 'explicit' && String(found.ack_policy) !== 'explicit') {
    differences.push(`its AckPolicy is ${found.ack_policy}, the config says explicit`);
  }
  const { max_deliver = -1 } = found;
  const ackWaitMs = (found.ack_wait ?? 0) / nanosecondsPerMs;
  if (ackWaitMs > natsProgressMostMs) {
    differences.push(`after a break nothing is taken for its AckWait, ${ackWaitMs} ms`);
  }
  if (max_deliver > 0) differences.push(`it gives a message up after ${max_deliver} deliveries`);
  return differences;
}

function codeOf(error: unknown): number | null {
  const { api_error: api } = Object(error) as { api_error?: { err_code?: number } };
  return api?.err_code ?? null;
}

function asOurs(error: unknown, stream: string): TidegateError {
  if (error instanceof TidegateError) return error;
  const code = codeOf(error);
  if (code === streamNotFound) {
    return new TidegateError('natsStreamMissing', `stream ${stream}`, { cause: error });
  }
  const detail = `stream ${stream}: ${messageOf(error)}`;
  const known = code === null ? 'natsTimeout' : 'natsConsumerUnsuited';
  return new TidegateError(known, detail, { cause: error });
}
