/**
 * Produce requests of Confluent's REST Proxy, API version 2:
 *
 *   POST /topics/TOPIC                 { "records": [ { "key"?, "value", "partition"? }, … ] }
 *   POST /topics/TOPIC/partitions/N    the same without "partition"
 *
 * `application/vnd.kafka.json.v2+json`: key and value are any JSON, and are written as JSON.
 * `application/vnd.kafka.binary.v2+json`, and types that name no format: both are base64 (RFC 4648,
 * section 4). Formats with schemas are refused with 42203.
 *
 * The answer comes when all records are on this gateway's disk. Partition and offset are not known
 * then: a record has the partition it asked for, or −1, and its number in the gateway's log as the
 * offset (`Tidegate-Offsets: provisional`).
 */

import { bridgeRecordsMax } from '../bounds.ts';
import type { Judged } from '../ingress/request-source.ts';
import { type Answer, BridgeRefusal, retryAfter } from './answer.ts';
import { base64Of } from './base64.ts';
import { isObject, jsonBytes } from './exact-json.ts';
import type { Published } from './published.ts';

export const v2Type = 'application/vnd.kafka.v2+json';
const typeShape = /^application\/(?:vnd\.kafka(?:\.(?!v2\+)(\w+))?(?:\.v2)?\+json|json)$/;
const formats = new Set(['json', 'binary']);
const withSchemas = new Set(['avro', 'jsonschema', 'protobuf']);
const retriable = 2;
const notRetriable = 1;
const partitionMost = 2 ** 31 - 1;
const schemasLater = 'formats with schemas are not taken yet: send json or binary';

type Format = 'json' | 'binary';

/** @throws BridgeRefusal 415, 42203 */
export function v2Format(contentType: string): Format {
  const matched = typeShape.exec(contentType);
  const format = matched === null ? '' : (matched[1] ?? 'binary');
  if (withSchemas.has(format)) throw new BridgeRefusal(42203, schemasLater);
  if (!formats.has(format)) {
    const send = 'application/vnd.kafka.json.v2+json or application/vnd.kafka.binary.v2+json';
    throw new BridgeRefusal(415, `Content-Type ${contentType || '(none)'}: send ${send}`);
  }
  return format as Format;
}

/** @param partition of the path; null: each record may name its own @throws BridgeRefusal */
export function v2Records(body: unknown, format: Format, partition: number | null): Published[] {
  if (!isObject(body)) throw new BridgeRefusal(422, 'the body is no object with records');
  const { records } = body;
  if (!Array.isArray(records) || records.length === 0) {
    throw new BridgeRefusal(422, 'records: give a list of at least one');
  }
  if (records.length > bridgeRecordsMax) {
    throw new BridgeRefusal(422, `records: at most ${bridgeRecordsMax} in a request`);
  }
  const bytesOf = format === 'json' ? jsonBytes : base64Of;
  return records.map((record: unknown, index) => {
    const where = `records[${index}]`;
    if (!isObject(record)) throw new BridgeRefusal(422, `${where} is no object`);
    const { key, value } = record;
    if (value === undefined || value === null) {
      throw new BridgeRefusal(
        422,
        `${where}.value is missing; null (a tombstone) is not taken yet`,
      );
    }
    return {
      key: key === undefined || key === null ? null : bytesOf(key, `${where}.key`),
      payload: bytesOf(value, `${where}.value`),
      partition: partition ?? partitionOf(record.partition, `${where}.partition`),
    };
  });
}

/** @throws BridgeRefusal 422 */
export function partitionOf(written: unknown, where: string): number | null {
  if (written === undefined || written === null) return null;
  if (Number.isInteger(written) && Number(written) >= 0 && Number(written) <= partitionMost) {
    return Number(written);
  }
  throw new BridgeRefusal(422, `${where} is no partition: write a number from 0`);
}

interface Offset {
  readonly partition: number | null;
  readonly offset: number | null;
  readonly error_code: number | null;
  readonly error: string | null;
}

/** @throws BridgeRefusal when nothing of it is stored, and all for one reason */
export function v2Answer(records: readonly Published[], judged: readonly Judged[]): Answer {
  const offsets = judged.map((one, index) => offsetOf(one, records[index]?.partition ?? null));
  const value = { key_schema_id: null, value_schema_id: null, offsets };
  const provisional = { 'tidegate-offsets': 'provisional' };
  const wait = Math.max(0, ...judged.map((one) => (one.outcome === 'limited' ? one.waitMs : 0)));
  const headers = wait > 0 ? { ...provisional, ...retryAfter(wait) } : provisional;
  return { status: 200, value, type: v2Type, headers };
}

function offsetOf(judged: Judged, partition: number | null): Offset {
  if (judged.outcome === 'stored') {
    return { partition: partition ?? -1, offset: judged.frame, error_code: null, error: null };
  }
  const failed = { partition: null, offset: null };
  if (judged.outcome === 'refused') {
    return { ...failed, error_code: notRetriable, error: judged.reason };
  }
  const error = {
    passed: 'no route',
    dropped: 'limit',
    limited: 'limit',
    unavailable: 'not stored',
  };
  return { ...failed, error_code: retriable, error: error[judged.outcome] };
}
