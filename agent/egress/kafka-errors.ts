/**
 * What follows from a Kafka error code: one table, so that no caller invents its own answer.
 *
 *   confirmed  the batch is in the log already (a repeat of one we had no answer for)
 *   retry      the cluster or the network; the same batch again, under the same sequence
 *   stale      retry, after asking for metadata again
 *   renew      the broker lost what it knew of this producer: a new producer id, sequence from 0
 *   split      the batch is too large, or a record in it is refused: halve it; alone, bury it
 *   missing    the topic does not exist
 *   halt       hands are needed
 *
 * A code that is not in the table is retried: nothing is ever dropped because a broker is newer
 * than this file. Codes: kafka.apache.org/protocol, Error Codes.
 */
import { type ErrorCode, TidegateError } from '../errors.ts';

export type KafkaVerdict = 'confirmed' | 'retry' | 'stale' | 'renew' | 'split' | 'missing' | 'halt';

interface Entry {
  readonly name: string;
  readonly verdict: KafkaVerdict;
  readonly code: ErrorCode;
}

const entry = (name: string, verdict: KafkaVerdict, code: ErrorCode): Entry => ({
  name,
  verdict,
  code,
});

const table: Readonly<Record<number, Entry>> = {
  2: entry('CORRUPT_MESSAGE', 'retry', 'upstreamRejected'),
  3: entry('UNKNOWN_TOPIC_OR_PARTITION', 'missing', 'topicUnknown'),
  5: entry('LEADER_NOT_AVAILABLE', 'stale', 'upstreamRejected'),
  6: entry('NOT_LEADER_OR_FOLLOWER', 'stale', 'upstreamRejected'),
  7: entry('REQUEST_TIMED_OUT', 'retry', 'upstreamRejected'),
  8: entry('BROKER_NOT_AVAILABLE', 'stale', 'upstreamUnreachable'),
  9: entry('REPLICA_NOT_AVAILABLE', 'stale', 'upstreamRejected'),
  10: entry('MESSAGE_TOO_LARGE', 'split', 'recordTooLarge'),
  13: entry('NETWORK_EXCEPTION', 'stale', 'upstreamUnreachable'),
  14: entry('COORDINATOR_LOAD_IN_PROGRESS', 'retry', 'upstreamRejected'),
  15: entry('COORDINATOR_NOT_AVAILABLE', 'retry', 'upstreamRejected'),
  16: entry('NOT_COORDINATOR', 'retry', 'upstreamRejected'),
  17: entry('INVALID_TOPIC_EXCEPTION', 'split', 'topicInvalid'),
  18: entry('RECORD_LIST_TOO_LARGE', 'split', 'recordTooLarge'),
  19: entry('NOT_ENOUGH_REPLICAS', 'retry', 'upstreamRejected'),
  20: entry('NOT_ENOUGH_REPLICAS_AFTER_APPEND', 'retry', 'upstreamRejected'),
  29: entry('TOPIC_AUTHORIZATION_FAILED', 'halt', 'upstreamUnauthorized'),
  31: entry('CLUSTER_AUTHORIZATION_FAILED', 'halt', 'upstreamUnauthorized'),
  32: entry('INVALID_TIMESTAMP', 'split', 'recordInvalid'),
  33: entry('UNSUPPORTED_SASL_MECHANISM', 'halt', 'upstreamUnauthorized'),
  34: entry('ILLEGAL_SASL_STATE', 'retry', 'upstreamRejected'),
  41: entry('NOT_CONTROLLER', 'stale', 'upstreamRejected'),
  43: entry('UNSUPPORTED_FOR_MESSAGE_FORMAT', 'split', 'recordInvalid'),
  45: entry('OUT_OF_ORDER_SEQUENCE_NUMBER', 'renew', 'upstreamRejected'),
  46: entry('DUPLICATE_SEQUENCE_NUMBER', 'confirmed', 'upstreamRejected'),
  47: entry('INVALID_PRODUCER_EPOCH', 'renew', 'upstreamRejected'),
  49: entry('INVALID_PRODUCER_ID_MAPPING', 'renew', 'upstreamRejected'),
  53: entry('TRANSACTIONAL_ID_AUTHORIZATION_FAILED', 'halt', 'upstreamUnauthorized'),
  56: entry('KAFKA_STORAGE_ERROR', 'stale', 'upstreamRejected'),
  58: entry('SASL_AUTHENTICATION_FAILED', 'halt', 'upstreamUnauthorized'),
  59: entry('UNKNOWN_PRODUCER_ID', 'renew', 'upstreamRejected'),
  72: entry('LISTENER_NOT_FOUND', 'stale', 'upstreamRejected'),
  74: entry('FENCED_LEADER_EPOCH', 'stale', 'upstreamRejected'),
  75: entry('UNKNOWN_LEADER_EPOCH', 'stale', 'upstreamRejected'),
  76: entry('UNSUPPORTED_COMPRESSION_TYPE', 'retry', 'upstreamRejected'),
  87: entry('INVALID_RECORD', 'split', 'recordInvalid'),
  89: entry('THROTTLING_QUOTA_EXCEEDED', 'retry', 'upstreamRejected'),
  90: entry('PRODUCER_FENCED', 'halt', 'upstreamFenced'),
};

export const kafkaCode = { none: 0, unknownTopic: 3, invalidTopic: 17, topicExists: 36 } as const;

export interface KafkaFault {
  readonly verdict: KafkaVerdict;
  readonly error: TidegateError;
}

/** @param where topic and partition, for the sentence */
export function classify(errorCode: number, where: string, detail: string | null): KafkaFault {
  const known = table[errorCode];
  const name = known?.name ?? `error ${errorCode}`;
  const sentence = `${where}: ${name}${detail === null || detail === '' ? '' : `: ${detail}`}`;
  return {
    verdict: known?.verdict ?? 'retry',
    error: new TidegateError(known?.code ?? 'upstreamRejected', sentence),
  };
}
