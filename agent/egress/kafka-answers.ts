/**
 * Shapes of what is asked of Kafka and what it answers, and what a failed request means. Only
 * kafka.ts knows the library; nothing here does.
 */
import { messageOf, TidegateError } from '../errors.ts';
import { classify } from './kafka-errors.ts';

export interface TopicAnswer {
  readonly name: string;
  readonly id: string;
  readonly errorCode: number;
  /** Broker that leads each partition, by index; −1: none now. */
  readonly leaders: readonly number[];
}

export interface PartitionBatch {
  readonly topic: string;
  readonly partition: number;
  readonly wire: Uint8Array;
}

export interface PartitionAnswer {
  readonly errorCode: number;
  readonly detail: string | null;
}

export interface MetadataAnswer {
  readonly brokers: readonly { nodeId: number; host: string; port: number }[];
  readonly topics: readonly {
    name: string | null;
    topicId: string;
    errorCode: number;
    partitions: readonly { partitionIndex: number; leaderId: number }[];
  }[];
}

export interface CreateAnswer {
  readonly topics: readonly { name: string; errorCode: number }[];
}

export interface IdentityAnswer {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface ProduceAnswer {
  readonly responses: readonly {
    name: string;
    partitionResponses: readonly {
      index: number;
      errorCode: number;
      errorMessage?: string | null;
    }[];
  }[];
}

export function partitionAnswer(response: ProduceAnswer, batch: PartitionBatch): PartitionAnswer {
  for (const { name, partitionResponses } of response.responses) {
    if (name !== batch.topic) continue;
    const found = partitionResponses.find((one) => one.index === batch.partition);
    if (found === undefined) continue;
    return { errorCode: found.errorCode, detail: found.errorMessage ?? null };
  }
  throw new TidegateError('upstreamRejected', `no answer for ${batch.topic}/${batch.partition}`);
}

/** An error answer still carries the whole response: read that instead. */
export function answerIn<T>(error: unknown): T {
  const response = (error as { response?: T } | null)?.response;
  if (response === undefined) throw error;
  return response;
}

/** agent/tls.ts, handed in: rooms do not import what stands above them. */
export type TlsFault = (error: unknown, where: string) => TidegateError | null;

interface LibraryError {
  readonly cause?: unknown;
  readonly errors?: unknown[];
  /** The broker answered, with this error code. */
  readonly apiCode?: unknown;
}

const causesMost = 8;
/** The library's word for an answer that is a TLS record. */
const tlsAnswer = 'Broker requires TLS.';

/** @param where the broker, for the sentence */
export function faultOf(error: unknown, where: string, tlsFault?: TlsFault): TidegateError {
  let deepest: unknown = error;
  for (let depth = 0; depth < causesMost; depth++) {
    if (deepest instanceof TidegateError) return deepest;
    const { cause, errors, apiCode } = deepest as LibraryError;
    if (typeof apiCode === 'number') return classify(apiCode, where, messageOf(deepest)).error;
    const next = cause ?? errors?.at(-1);
    if (next === undefined) break;
    deepest = next;
  }
  const tls = tlsFault?.(error, where) ?? null;
  if (tls !== null) return tls;
  const sentence = messageOf(error);
  const reason = messageOf(deepest);
  const detail = sentence === reason ? `${where}: ${sentence}` : `${where}: ${sentence} ${reason}`;
  const code = reason === tlsAnswer ? 'tlsMissing' : 'upstreamUnreachable';
  return new TidegateError(code, detail, { cause: error });
}
