/**
 * Produce requests of Confluent's REST Proxy, API version 3:
 *
 *   POST /v3/clusters/CLUSTER/topics/TOPIC/records
 *     { "partition_id"?, "headers"?: [{ "name", "value": base64 }], "timestamp"?: RFC 3339,
 *       "key"?: { "type", "data" }, "value": { "type": BINARY | JSON | STRING, "data" } }
 *
 * One object, or several one behind another (concatenated JSON); the answer has an object for each,
 * in their order, with an `error_code` of its own, 200 for what is on this gateway's disk. They are
 * stored and answered as they come, so that a request may stay open (rest-v3-stream.ts). CLUSTER is
 * not looked at: a route decides the upstream. Partition and offset are provisional, as in
 * version 2.
 */
import type { Judged } from '../ingress/request-source.ts';
import { BridgeRefusal } from './answer.ts';
import { base64Of } from './base64.ts';
import { isObject, jsonBytes, utf8 } from './exact-json.ts';
import type { Published } from './published.ts';
import { partitionOf } from './rest-v2.ts';

export const v3Type = 'application/json';
const typeShape = /^application\/json$/;
/** Any will do; every record's answer repeats it. */
const clusterShape = /^[A-Za-z0-9._-]{1,64}$/;
const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;
const statuses = {
  passed: 40401,
  dropped: 429,
  limited: 429,
  refused: 422,
  unavailable: 503,
} as const;

/** A record, or what is wrong with it. */
export type V3Record = Published & { readonly written: Record<string, unknown> };

/** @throws BridgeRefusal 415, 422 */
export function assertV3(contentType: string, cluster: string): void {
  if (!clusterShape.test(cluster)) {
    throw new BridgeRefusal(422, 'the cluster has 1 to 64 characters A-Z a-z 0-9 . _ -');
  }
  if (typeShape.test(contentType)) return;
  throw new BridgeRefusal(415, `Content-Type ${contentType || '(none)'}: send application/json`);
}

/** @throws BridgeRefusal 422 */
export function v3Record(written: unknown): V3Record {
  if (!isObject(written)) throw new BridgeRefusal(422, 'a record is an object');
  if (!isObject(written.value)) throw new BridgeRefusal(422, 'value: give { type, data }');
  return {
    key: written.key === undefined || written.key === null ? null : bytesOf(written.key, 'key'),
    payload: bytesOf(written.value, 'value'),
    partition: partitionOf(written.partition_id, 'partition_id'),
    timestampMs: timestampOf(written.timestamp),
    headers: headersOf(written.headers),
    written,
  };
}

function bytesOf(written: unknown, where: string): Buffer {
  if (!isObject(written)) throw new BridgeRefusal(422, `${where}: give { type, data }`);
  const { type, data } = written;
  if (data === undefined || data === null) {
    throw new BridgeRefusal(422, `${where}.data is missing; null is not taken yet`);
  }
  if (type === 'BINARY') return base64Of(data, `${where}.data`);
  if (type === 'JSON') return jsonBytes(data, `${where}.data`);
  if (type === 'STRING' && typeof data === 'string') return Buffer.from(data);
  throw new BridgeRefusal(422, `${where}.type: write BINARY, JSON, or STRING with a string`);
}

function timestampOf(written: unknown): number | null {
  if (written === undefined || written === null) return null;
  const ms =
    typeof written === 'string' && rfc3339.test(written) ? Date.parse(written) : Number.NaN;
  if (Number.isNaN(ms) || ms <= 0) {
    throw new BridgeRefusal(422, 'timestamp: write it as in 2026-01-02T03:04:05Z');
  }
  return ms;
}

function headersOf(written: unknown): [string, string][] {
  if (written === undefined || written === null) return [];
  if (!Array.isArray(written)) throw new BridgeRefusal(422, 'headers: give a list');
  return written.map((header: unknown, index) => {
    const where = `headers[${index}]`;
    if (!isObject(header) || typeof header.name !== 'string') {
      throw new BridgeRefusal(422, `${where}: give { name, value }`);
    }
    const value = header.value ?? '';
    try {
      return [header.name, utf8.decode(base64Of(value, `${where}.value`))];
    } catch (error) {
      if (error instanceof BridgeRefusal) throw error;
      throw new BridgeRefusal(422, `${where}.value holds bytes that are no UTF-8`);
    }
  });
}

export interface V3Place {
  readonly cluster: string;
  readonly topicName: string;
}

/** One object a record. @param records or, in the place of one, why it is refused */
export function v3Answers(
  place: V3Place,
  records: readonly (V3Record | BridgeRefusal)[],
  judged: readonly Judged[],
): object[] {
  const left = [...judged];
  return records.map((record) => {
    if (record instanceof BridgeRefusal) {
      return { error_code: record.errorCode, message: record.message };
    }
    return told(place, record, left.shift() ?? { outcome: 'unavailable' });
  });
}

function told({ cluster, topicName }: V3Place, record: V3Record, judged: Judged): object {
  if (judged.outcome !== 'stored') {
    const why = judged.outcome === 'refused' ? judged.reason : messages[judged.outcome];
    return { error_code: statuses[judged.outcome], message: why };
  }
  const size = (part: 'key' | 'value', bytes: number): object => {
    return { type: (record.written[part] as { type: string }).type, size: bytes };
  };
  return {
    error_code: 200,
    cluster_id: cluster,
    topic_name: topicName,
    partition_id: record.partition ?? -1,
    offset: judged.frame,
    ...(record.timestampMs == null
      ? {}
      : { timestamp: new Date(record.timestampMs).toISOString() }),
    ...(record.key === null ? {} : { key: size('key', record.key.length) }),
    value: size('value', record.payload.length),
  };
}

const messages = {
  passed: 'no route takes this topic',
  dropped: 'over a limit: not stored',
  limited: 'over a limit: send it again later',
  unavailable: 'not on disk in time: send it again',
} as const;
