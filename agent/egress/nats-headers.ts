/**
 * The headers of a NATS message: CloudEvents 1.0, NATS binding, binary mode (1.0.3, section 3.1),
 * and its way onto the wire.
 *
 *   Nats-Msg-Id            the event's id, always: the server drops repeats by it
 *   ce-id, ce-time, ce-specversion, ce-type, ce-source, ce-subject, ce-datacontenttype
 *   mqtt-response-topic, mqtt-correlation-data (base64), mqtt-payload-format (utf-8)
 *   tidegate-via, tidegate-clock, traceparent
 *
 * A stream drops repeats whatever their subject: where one route sends an event to several targets
 * of one upstream, the Nats-Msg-Id of those behind the first has their place behind it (`…#2`).
 *
 * User Properties and headers ride along under their own names, but those that are ours or steer
 * the server get a prefix: `mqtt-`, or `source-` for what came otherwise (`nats-` would still be
 * the server's). What a header cannot say is percent-encoded, names as well as values: see `said…`.
 * `envelope: none` leaves Nats-Msg-Id, what rides along, and tidegate-via.
 */
import { createHash } from 'node:crypto';
import {
  clockHeader,
  EventId,
  type FixedContext,
  fixedHeaders,
  type Header,
  ownPrefix,
  Rfc3339,
  utf8Payload,
} from './envelope.ts';
import { percent } from './nats-subject.ts';
import { attributeName, isAttribute, isOwnEvent } from './own-event.ts';
import type { EgressRecord, Frame, FrameProperties } from './record.ts';
import { viaName } from './via.ts';

const messageIdName = 'Nats-Msg-Id';
const messageId = /^nats-msg-id$/i;
const own = /^(?:ce-|tidegate-|nats-|mqtt-(?:response-topic|correlation-data|payload-format)$|$)/i;
const ownWithout = /^(?:tidegate-|nats-|$)/i;
/** NATS binding, section 3.1.3.2. */
const notInAttribute = /[^\x21-\x7e]+|["%]/gu;
/** ADR-4 of NATS: names are printable US-ASCII without the colon. */
const notInName = /[^\x21-\x39\x3b-\x7e]|%/gu;
const nameSaid = /^[\x21-\x39\x3b-\x7e]*$/;
const notInValue = /[\p{Cc}%]|^\s+|\s+$/gu;
const valueUnsaid = /\p{Cc}|^\s|\s$/u;

export function saidAttribute(value: string): string {
  return value.replaceAll(notInAttribute, percent);
}

/** A name that can be said stays as it is; in one that cannot, `%` is encoded too. */
function saidName(name: string): string {
  return nameSaid.test(name) ? name : name.replaceAll(notInName, percent);
}

/** Line breaks would end it, and readers cut off white space at its ends. */
function saidValue(value: string): string {
  return valueUnsaid.test(value) ? value.replaceAll(notInValue, percent) : value;
}

/** Headers of the config. */
export function saidHeader([name, value]: Header): Header {
  return [saidName(name), saidValue(String(value))];
}

export function natsFixedHeaders(context: FixedContext): Header[] {
  return fixedHeaders(context, 'nats').map(([name, value]) => [name, saidAttribute(String(value))]);
}

export interface NatsEnvelopeOptions {
  readonly gateway: string;
  readonly bare: boolean;
  /** 1 for the first target of its route in this upstream. */
  readonly place: number;
}

export class NatsEnvelope {
  readonly #id: EventId;
  readonly #own: RegExp;
  readonly #bare: boolean;
  readonly #suffix: string;
  readonly #time = new Rfc3339();

  constructor({ gateway, bare, place }: NatsEnvelopeOptions) {
    this.#id = new EventId(gateway);
    this.#own = bare ? ownWithout : own;
    this.#bare = bare;
    this.#suffix = place === 1 ? '' : `#${place}`;
  }

  varying(frame: Frame, epoch: string, via: string, properties: FrameProperties | null): Header[] {
    const isEvent = isOwnEvent(frame.protocol, properties);
    const plain = isEvent ? eventKey(frame, properties) : this.#id.of(frame, epoch);
    const id = frame.eventId === null ? plain : saidAttribute(plain);
    // First: of two with this name the server takes the first.
    const headers: Header[] = [[messageIdName, id + this.#suffix]];
    if (!this.#bare) {
      if (!isEvent) headers.push(['ce-id', id], ['ce-time', this.#time.of(frame.arrivalMs)]);
      if (frame.clockUnsynced) headers.push(clockHeader);
      if (frame.trace !== null) headers.push(['traceparent', saidValue(frame.trace)]);
      if (properties !== null) propertyHeaders(headers, properties);
    }
    const prefix = ownPrefix(frame.protocol);
    for (const [name, value] of properties?.userProperties ?? []) {
      if (name === viaName || (value === plain && messageId.test(name))) continue;
      if (isEvent && !this.#bare && isAttribute(name)) {
        headers.push([attributeName(name, 'nats') ?? name, saidAttribute(value)]);
        continue;
      }
      const said = saidName(name);
      headers.push([this.#own.test(said) ? prefix + said : said, saidValue(value)]);
    }
    headers.push([viaName, saidValue(via)]);
    return headers;
  }
}

/**
 * CloudEvents of a service, told apart: an `id` is one of its `source` alone, and a `source` can be
 * claimed by another device, whose events a stream must not take for repeats of these.
 */
function eventKey({ device, eventId }: Frame, properties: FrameProperties | null): string {
  const source = properties?.userProperties.find(([name]) => name === 'ce_source')?.[1] ?? '';
  const said = JSON.stringify([device, source, eventId]);
  return createHash('sha256').update(said).digest('base64url');
}

/** Properties that have a name of their own in MQTT 5 and none here. */
function propertyHeaders(headers: Header[], properties: FrameProperties): void {
  const { contentType, responseTopic, correlationData, payloadFormat } = properties;
  if (contentType !== undefined) headers.push(['ce-datacontenttype', saidAttribute(contentType)]);
  if (responseTopic !== undefined) headers.push(['mqtt-response-topic', saidValue(responseTopic)]);
  if (correlationData !== undefined) {
    headers.push(['mqtt-correlation-data', Buffer.from(correlationData).toString('base64')]);
  }
  if (payloadFormat === utf8Payload) headers.push(['mqtt-payload-format', 'utf-8']);
}

const versionLine = 'NATS/1.0\r\n';
const lineEnd = '\r\n';

/** Five times as quick as the library's: what a device's records share is encoded once. */
export function encodeHeaders({ place, headers }: EgressRecord): Buffer {
  place.encodedHeaders ??= Buffer.from(linesOf(place.headers) + lineEnd);
  const text = versionLine + linesOf(headers);
  const bytes = Buffer.byteLength(text);
  const encoded = Buffer.allocUnsafe(bytes + place.encodedHeaders.length);
  encoded.write(text);
  encoded.set(place.encodedHeaders, bytes);
  return encoded;
}

function linesOf(headers: readonly Header[]): string {
  let lines = '';
  for (const [name, value] of headers) lines += `${name}: ${value}${lineEnd}`;
  return lines;
}
