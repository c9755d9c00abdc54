/**
 * The CloudEvents 1.0 envelope, binary mode: attributes stand beside the value, which is the
 * payload as it came. Kafka binding, which files follow too, and MQTT binding (version 5):
 *
 *   Kafka            MQTT             value
 *   ce_specversion   specversion      1.0
 *   ce_id            id               <gateway>/<epoch>/<frame number>, the same at every retry
 *   ce_source        source           //<gateway>/<protocol>/<device>
 *   ce_type          type             route's name
 *   ce_subject       subject          Topic Name
 *   ce_time          time             arrival, RFC 3339, UTC
 *   content-type     Content Type     of the MQTT 5 property
 *   mqtt-response-topic, mqtt-correlation-data (bytes), mqtt-payload-format (utf-8)
 *                    properties of the same meaning
 *   tidegate-via     tidegate-via     the gateways it passed, this one last
 *   tidegate-clock   tidegate-clock   unsynchronised: the time is from before the clock was set
 *
 * What depends on device and Topic Name alone is `fixed` and made once; `varying` is per frame.
 * User Properties ride along under their own names; one whose name is ours gets the prefix
 * `mqtt-`, so that a device cannot speak for the gateway. `tidegate-via` is the exception: there
 * the gateway is added to those before it.
 */
import type { Binding, Frame, FrameProperties } from './record.ts';
import { viaName } from './via.ts';

/** Bytes only where Kafka takes them as they are: elsewhere they are written as base64. */
export type Header = readonly [name: string, value: string | Uint8Array];

const protocolNames: Readonly<Record<number, string>> = {
  1: 'mqtt',
  2: 'nats',
  3: 'http',
  4: 'amqp',
  5: 'agent',
};
const clockName = 'tidegate-clock';
const kafkaOwn =
  /^(ce_.*|tidegate-.*|content-type|mqtt-(response-topic|correlation-data|payload-format))$/i;
const mqttOwn = /^(tidegate-.*|specversion|id|source|type|subject|time|datacontenttype)$/i;
const mqttOwnWithout = /^tidegate-/i;
const utf8Payload = 1;

export interface FixedContext {
  readonly gateway: string;
  readonly protocol: number;
  readonly device: string;
  readonly routeName: string;
  readonly topicName: string;
}

function prefixOf(binding: Binding): string {
  return binding === 'mqtt' ? '' : 'ce_';
}

/** Headers that are the same for every frame of one device on one Topic Name. */
export function fixedHeaders(context: FixedContext, binding: Binding): Header[] {
  const protocol = protocolNames[context.protocol] ?? 'unknown';
  const ce = prefixOf(binding);
  return [
    [`${ce}specversion`, '1.0'],
    [`${ce}type`, context.routeName],
    [`${ce}source`, `//${context.gateway}/${protocol}/${encodeURIComponent(context.device)}`],
    [`${ce}subject`, context.topicName],
  ];
}

/** `envelope: none` of an MQTT upstream: what came goes on, and the way it took. */
export function bareProperties(via: string, properties: FrameProperties | null): Header[] {
  const headers: Header[] = [];
  for (const [name, value] of properties?.userProperties ?? [])
    ride(headers, name, value, mqttOwnWithout);
  headers.push([viaName, via]);
  return headers;
}

function ride(headers: Header[], name: string, value: string, own: RegExp): void {
  if (name === viaName) return;
  headers.push([own.test(name) ? `mqtt-${name}` : name, value]);
}

/** RFC 3339 of a wall clock in ms; frames of one burst share the last answer. */
class Rfc3339 {
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

export class Envelope {
  readonly #gateway: string;
  readonly #binding: Binding;
  readonly #own: RegExp;
  readonly #names: { readonly id: string; readonly time: string };
  readonly #time = new Rfc3339();
  readonly #unsynchronised: Header = [clockName, 'unsynchronised'];
  #idPrefix = '';
  #epoch = '';

  constructor(gateway: string, binding: Binding) {
    const ce = prefixOf(binding);
    this.#gateway = gateway;
    this.#binding = binding;
    this.#own = binding === 'mqtt' ? mqttOwn : kafkaOwn;
    this.#names = { id: `${ce}id`, time: `${ce}time` };
  }

  /** Headers of one frame, in addition to the fixed ones. */
  varying(frame: Frame, epoch: string, via: string, properties: FrameProperties | null): Header[] {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#idPrefix = `${this.#gateway}/${epoch}/`;
    }
    const headers: Header[] = [
      [this.#names.id, frame.eventId ?? this.#idPrefix + frame.number],
      [this.#names.time, this.#time.of(frame.arrivalMs)],
    ];
    if (frame.clockUnsynced) headers.push(this.#unsynchronised);
    if (frame.trace !== null) headers.push(['traceparent', frame.trace]);
    if (properties !== null) {
      if (this.#binding !== 'mqtt') propertyHeaders(headers, properties);
      for (const [name, value] of properties.userProperties) ride(headers, name, value, this.#own);
    }
    headers.push([viaName, via]);
    return headers;
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
