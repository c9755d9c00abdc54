/**
 * The CloudEvents 1.0 envelope, binary mode: attributes stand beside the value, which is the
 * payload as it came. Kafka binding, which files follow too, and MQTT binding (version 5); NATS is
 * in nats-headers.ts:
 *
 *   Kafka            MQTT             value
 *   ce_specversion   specversion      1.0
 *   ce_id            id               <gateway>/<epoch>/<frame number>, the same at every retry
 *   ce_source        source           //<gateway>/<protocol>/<device>
 *   ce_type          type             route's name
 *   ce_subject       subject          Topic Name; of what came over NATS its subject
 *   ce_time          time             arrival, RFC 3339, UTC
 *   content-type     Content Type     of the MQTT 5 property
 *   mqtt-response-topic, mqtt-correlation-data (bytes), mqtt-payload-format (utf-8)
 *                    properties of the same meaning
 *   tidegate-via     tidegate-via     the gateways it passed, this one last
 *   tidegate-clock   tidegate-clock   unsynchronised: the time is from before the clock was set
 *
 * What depends on device and Topic Name alone is `fixed` and made once; `varying` is per frame.
 * User Properties ride along under their own names; one whose name is ours gets the prefix `mqtt-`,
 * or `source-` where it did not come over MQTT, so that a device cannot speak for the gateway.
 * Over MQTT what a server may refuse in them is percent-encoded (unsaid.ts).
 * `tidegate-via` is the exception: there the gateway is added to those before it.
 */

import { subjectOf } from './nats-subject.ts';
import { attributeName, isAttribute, isOwnEvent } from './own-event.ts';
import type { Binding, Frame, FrameProperties } from './record.ts';
import { mqttSaid } from './unsaid.ts';
import { viaName } from './via.ts';

/** Bytes only where Kafka takes them as they are: elsewhere they are written as base64. */
export type Header = readonly [name: string, value: string | Uint8Array];

const overMqtt = 1;
const overNats = 2;
const protocolNames: Readonly<Record<number, string>> = {
  [overMqtt]: 'mqtt',
  [overNats]: 'nats',
  3: 'http',
  4: 'amqp',
  5: 'agent',
};
export const clockHeader: Header = ['tidegate-clock', 'unsynchronised'];
const kafkaOwn =
  /^(ce_.*|tidegate-.*|content-type|mqtt-(response-topic|correlation-data|payload-format))$/i;
const asIs = (text: string): string => text;
const mqttOwn = /^(tidegate-.*|specversion|id|source|type|subject|time|datacontenttype)$/i;
const mqttOwnWithout = /^tidegate-/i;
export const utf8Payload = 1;

export interface FixedContext {
  readonly gateway: string;
  readonly protocol: number;
  readonly device: string;
  readonly routeName: string;
  readonly topicName: string;
}

const attributePrefixes: Readonly<Record<Binding, string>> = {
  kafka: 'ce_',
  mqtt: '',
  nats: 'ce-',
  file: 'ce_',
};

/** Of what rides along under a name that is ours. */
export function ownPrefix(protocol: number): string {
  return protocol === overMqtt ? 'mqtt-' : 'source-';
}

/** Who published, as a URI reference. */
export function sourceOf({ gateway, protocol, device }: FixedContext): string {
  const over = protocolNames[protocol] ?? 'unknown';
  return `//${gateway}/${over}/${encodeURIComponent(device)}`;
}

/** Headers that are the same for every frame of one device on one Topic Name. */
export function fixedHeaders(context: FixedContext, binding: Binding): Header[] {
  const ce = attributePrefixes[binding];
  const { topicName } = context;
  const subject = context.protocol === overNats ? subjectOf(topicName) : topicName;
  return [
    [`${ce}specversion`, '1.0'],
    [`${ce}type`, context.routeName],
    [`${ce}source`, sourceOf(context)],
    [`${ce}subject`, binding === 'mqtt' ? mqttSaid(subject) : subject],
  ];
}

/** `envelope: none` of an MQTT upstream: what came goes on, and the way it took. */
export function bareProperties(
  frame: Frame,
  _epoch: string,
  via: string,
  properties: FrameProperties | null,
): Header[] {
  const headers: Header[] = [];
  rideAlong(headers, frame, properties, mqttOwnWithout, mqttSaid);
  headers.push([viaName, mqttSaid(via)]);
  return headers;
}

function rideAlong(
  headers: Header[],
  { protocol }: Frame,
  properties: FrameProperties | null,
  own: RegExp,
  said: (text: string) => string,
  withoutAttributes = false,
): void {
  if (properties === null) return;
  const prefix = ownPrefix(protocol);
  for (const [name, value] of properties.userProperties) {
    if (name === viaName || (withoutAttributes && isAttribute(name))) continue;
    headers.push([said(own.test(name) ? prefix + name : name), said(value)]);
  }
}

/** RFC 3339 of a wall clock in ms; frames of one burst share the last answer. */
export class Rfc3339 {
  #ms = Number.NaN;
  #text = '';

  of(ms: number): string {
    if (ms !== this.#ms) {
      this.#ms = ms;
      this.#text = new Date(ms).toISOString();
    }
    return this.#text;
  }
}

/** The event's id, the same at every retry. */
export class EventId {
  readonly #gateway: string;
  #prefix = '';
  #epoch = '';

  constructor(gateway: string) {
    this.#gateway = gateway;
  }

  of(frame: Frame, epoch: string): string {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#prefix = `${this.#gateway}/${epoch}/`;
    }
    return frame.eventId ?? this.#prefix + frame.number;
  }
}

export class Envelope {
  readonly #id: EventId;
  readonly #binding: Binding;
  readonly #own: RegExp;
  readonly #said: (text: string) => string;
  readonly #names: { readonly id: string; readonly time: string };
  readonly #time = new Rfc3339();

  constructor(gateway: string, binding: Binding) {
    const ce = attributePrefixes[binding];
    this.#id = new EventId(gateway);
    this.#binding = binding;
    this.#own = binding === 'mqtt' ? mqttOwn : kafkaOwn;
    this.#said = binding === 'mqtt' ? mqttSaid : asIs;
    this.#names = { id: `${ce}id`, time: `${ce}time` };
  }

  /** Headers of one frame, in addition to the fixed ones. */
  varying(frame: Frame, epoch: string, via: string, properties: FrameProperties | null): Header[] {
    const isEvent = isOwnEvent(frame.protocol, properties);
    const headers: Header[] = isEvent
      ? []
      : [
          [this.#names.id, this.#said(this.#id.of(frame, epoch))],
          [this.#names.time, this.#time.of(frame.arrivalMs)],
        ];
    if (frame.clockUnsynced) headers.push(clockHeader);
    if (frame.trace !== null) headers.push(['traceparent', frame.trace]);
    if (properties !== null) {
      if (this.#binding !== 'mqtt') propertyHeaders(headers, properties);
      if (isEvent) this.#ownAttributes(headers, properties);
      rideAlong(headers, frame, properties, this.#own, this.#said, isEvent);
    }
    headers.push([viaName, this.#said(via)]);
    return headers;
  }

  #ownAttributes(headers: Header[], properties: FrameProperties): void {
    for (const [name, value] of properties.userProperties) {
      const attribute = attributeName(name, this.#binding);
      if (attribute !== null) headers.push([this.#said(attribute), this.#said(value)]);
    }
  }
}

/** Properties that have a name of their own in MQTT 5 and none elsewhere. */
function propertyHeaders(headers: Header[], properties: FrameProperties): void {
  const { contentType, responseTopic, correlationData, payloadFormat } = properties;
  if (contentType !== undefined) headers.push(['content-type', contentType]);
  if (responseTopic !== undefined) headers.push(['mqtt-response-topic', responseTopic]);
  if (correlationData !== undefined) headers.push(['mqtt-correlation-data', correlationData]);
  // 0 says no more than its absence does [MQTT-3.3.2.3.2].
  if (payloadFormat === utf8Payload) headers.push(['mqtt-payload-format', 'utf-8']);
}
