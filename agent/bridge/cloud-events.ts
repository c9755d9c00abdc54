/**
 * `POST /events`: CloudEvents 1.0.2, HTTP Protocol Binding, in its three content modes (section 3):
 *
 *   binary      attributes in ce-* headers, Content-Type is datacontenttype, the body is the data
 *   structured  application/cloudevents+json: one event, its data among its attributes
 *   batched     application/cloudevents-batch+json: a list of those
 *
 * The Topic Name is the event's `subject`, or its `type` where it has none. Its attributes go on as
 * they came, as `ce_*` headers (egress/own-event.ts), and its `id` is the record's id.
 *
 * Refused: an event without one of id, source, specversion and type; another version; names that
 * are not a–z and 0–9; a `time` that is none of RFC 3339; data twice; wrong base64.
 */
import { bridgeRecordsMax } from '../bounds.ts';
import type { MessageForm } from '../ingress/message-chunk.ts';
import { BridgeRefusal } from './answer.ts';
import { base64Of } from './base64.ts';
import { isObject, jsonBytes, parseExact, utf8 } from './exact-json.ts';

export const eventsPath = '/events';
const structuredType = 'application/cloudevents+json';
const batchType = 'application/cloudevents-batch+json';
const otherFormat = /^application\/cloudevents/;
const prefix = 'ce-';
const version = '1.0';
/** Section 3.1 of the specification: never empty. */
const required = ['id', 'source', 'specversion', 'type'] as const;
const neverEmpty = ['subject', 'dataschema', 'datacontenttype'] as const;
/** Section 3.1, Naming Conventions. */
const nameShape = /^[a-z0-9]+$/;
const neverAttribute = new Set(['data', 'data_base64']);
/** Section 3.2, Type System: String. */
const controlCharacter = /\p{Cc}/u;
const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/;
/** RFC 2046 by way of RFC 9110, 8.3: what JSON Format 3.1 calls JSON. */
const jsonType = /^[^/;\s]+\/(?:[^;\s]*\+)?json(?:\s*;.*)?$/i;
const hexByte = /%([0-9a-fA-F]{2})/g;
const hexadecimal = 16;

type Headers = Readonly<Record<string, string | string[] | undefined>>;
type Attributes = ReadonlyMap<string, string>;

/** @param contentType without its parameters @throws BridgeRefusal 400, 415, 422 */
export function eventsOf(headers: Headers, contentType: string, body: Buffer): MessageForm[] {
  if (contentType === structuredType) return [structured(parseExact(body), 'the event')];
  if (contentType === batchType) {
    const batch = parseExact(body);
    if (!Array.isArray(batch)) throw new BridgeRefusal(422, 'a batch is a list of events');
    if (batch.length > bridgeRecordsMax) {
      throw new BridgeRefusal(422, `a batch has at most ${bridgeRecordsMax} events`);
    }
    return batch.map((event: unknown, index) => structured(event, `event ${index}`));
  }
  if (otherFormat.test(contentType)) {
    const send = `${structuredType}, ${batchType}, or binary mode`;
    throw new BridgeRefusal(415, `Content-Type ${contentType}: send ${send}`);
  }
  return [binary(headers, body)];
}

function binary(headers: Headers, body: Buffer): MessageForm {
  const attributes = new Map<string, string>();
  for (const [name, value] of Object.entries(headers)) {
    if (!name.startsWith(prefix)) continue;
    attributes.set(name.slice(prefix.length), decoded(String(value)));
  }
  const type = headers['content-type'];
  if (typeof type === 'string') attributes.set('datacontenttype', type);
  return formOf(attributes, body, 'the event');
}

/** Section 3.1.3.2 of the HTTP binding: UTF-8, percent-encoded. */
function decoded(value: string): string {
  const unquoted = /^".*"$/.test(value) ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value;
  if (!unquoted.includes('%')) return unquoted;
  const bytes = unquoted.replaceAll(hexByte, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, hexadecimal)),
  );
  try {
    return utf8.decode(Buffer.from(bytes, 'latin1'));
  } catch {
    throw new BridgeRefusal(422, 'a ce-* header is percent-encoded and no UTF-8');
  }
}

function structured(event: unknown, where: string): MessageForm {
  if (!isObject(event)) throw new BridgeRefusal(422, `${where} is no object`);
  const { data, data_base64: base64, ...rest } = event;
  const hasBase64 = base64 !== undefined && base64 !== null;
  if (data !== undefined && data !== null && hasBase64) {
    throw new BridgeRefusal(422, `${where} has data and data_base64: send one of them`);
  }
  const attributes = new Map<string, string>();
  for (const [name, value] of Object.entries(rest)) {
    if (value === null) continue; // JSON Format 2.2: as if it were not there
    attributes.set(name, canonical(value, `${where}: ${name}`));
  }
  if (hasBase64) {
    return formOf(attributes, base64Of(base64, `${where}: data_base64`), where);
  }
  return formOf(attributes, payloadOf(data, attributes.get('datacontenttype')), where);
}

/** JSON Format 3.1.1: without datacontenttype data is JSON. */
function payloadOf(data: unknown, type: string | undefined): Buffer {
  if (data === undefined) return Buffer.alloc(0);
  const isText = typeof data === 'string' && type !== undefined && !jsonType.test(type);
  return isText ? Buffer.from(data) : jsonBytes(data, 'data');
}

/** RFC 3339, section 5.6, leap seconds with it; a day that its month has. */
function isTime(text: string): boolean {
  const [, year, month, day] = rfc3339.exec(text) ?? [];
  if (year === undefined) return false;
  const noLeap = text.replace(/:60(?=[.Zz+-])/, ':59');
  const last = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  return Number(day) <= last && !Number.isNaN(Date.parse(noLeap));
}

/** Section 3.2 of the specification, Type System: as a string. */
function canonical(value: unknown, where: string): string {
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean' || Number.isInteger(value)) return String(value);
  throw new BridgeRefusal(422, `${where} is no string, boolean or whole number`);
}

/** @throws BridgeRefusal 422 */
function formOf(attributes: Attributes, payload: Buffer, where: string): MessageForm {
  for (const name of required) {
    if ((attributes.get(name) ?? '') !== '') continue;
    const missing = attributes.has(name) ? 'is empty' : 'is missing';
    throw new BridgeRefusal(422, `${where}: ${name} ${missing} (CloudEvents 1.0.2, section 3.1)`);
  }
  const given = attributes.get('specversion');
  if (given !== version) {
    throw new BridgeRefusal(422, `${where}: specversion ${given}: send ${version}`);
  }
  for (const name of neverEmpty) {
    if (attributes.get(name) === '') throw new BridgeRefusal(422, `${where}: ${name} is empty`);
  }
  const time = attributes.get('time');
  if (time !== undefined && !isTime(time)) {
    throw new BridgeRefusal(422, `${where}: time is not as in 2026-01-02T03:04:05Z (RFC 3339)`);
  }
  const headers = [...attributes].map(([name, value]): [string, string] => {
    if (!nameShape.test(name) || neverAttribute.has(name)) {
      throw new BridgeRefusal(422, `${where}: ${name}: names have a to z and 0 to 9 alone`);
    }
    if (!controlCharacter.test(value)) return [`ce_${name}`, value];
    throw new BridgeRefusal(422, `${where}: ${name} has a control character`);
  });
  const topicName = attributes.get('subject') ?? attributes.get('type') ?? '';
  return { topicName, eventId: attributes.get('id') ?? '', headers, payload };
}
