/**
 * Frame → record: what a target's templates and envelope make of one frame.
 *
 * A `RouteRenderer` stands for one target of one stored route. All that depends on device and Topic
 * Name alone (topic, key, its hash, fixed headers) is a `Place`, kept in a bounded cache, so that
 * per frame only the event's own id, time and properties are made. A device's bytes never decide
 * how much memory that takes: a full cache is emptied and fills again.
 *
 * Refuses, as a dead letter: a topic that Kafka, a Topic Name that MQTT, or a subject that NATS
 * would not take; an event that goes in a circle (via.ts).
 */

import type { RouteDefinition, RouteTarget } from '../buffer/protocol.ts';
import type { ErrorCode } from '../errors.ts';
import type { FrameView } from '../frames/segment-reader.ts';
import { bareProperties, Envelope, fixedHeaders, type Header, sourceOf } from './envelope.ts';
import { positiveMurmur2 } from './murmur2.ts';
import { NatsEnvelope, natsFixedHeaders, saidHeader } from './nats-headers.ts';
import { subjectFault, subjectValues } from './nats-subject.ts';
import { isOwnEvent, ownSourceName } from './own-event.ts';
import { capturesOf, compileTemplate, type Template } from './template.ts';
import { mqttUnsaid } from './unsaid.ts';
import { viaWith } from './via.ts';
import type { WindowSegment } from './window.ts';

/** What this room reads of a frame. */
export type Frame = Omit<FrameView, 'index' | 'qos' | 'dup'>;

/** What this room reads of MQTT 5 properties; frames/properties.ts gives it. */
export interface FrameProperties {
  readonly userProperties: readonly (readonly [string, string])[];
  readonly contentType?: string | undefined;
  readonly responseTopic?: string | undefined;
  readonly correlationData?: Uint8Array | undefined;
  /** 1: the payload is UTF-8. */
  readonly payloadFormat?: number | undefined;
}

/** What an upstream speaks: it decides the names of headers and the grammar of topics. */
export type Binding = 'kafka' | 'mqtt' | 'nats' | 'file';

/** What MQTT alone can carry on as what it was; NATS heeds when it expires. */
export interface Carried {
  readonly retain: boolean;
  /** Lived time at which nobody wants it any more; null: always wanted. */
  readonly expiresAtMs: number | null;
  readonly properties: FrameProperties | null;
}

export type PropertiesDecoder = (bytes: Uint8Array) => FrameProperties;

/** Where the records of one device on one Topic Name go, and the headers they share. */
export interface Place {
  readonly topic: string;
  readonly key: Uint8Array | null;
  readonly keyHash: number;
  readonly headers: readonly Header[];
  readonly unknownTopic: 'hold' | 'bury';
  readonly fault: { readonly code: ErrorCode; readonly detail: string } | null;
  /** An upstream's own encoding of `headers`, made on first use. */
  encodedHeaders: Uint8Array | null;
}

export interface EgressRecord {
  readonly segment: WindowSegment;
  /** Index of the frame within its segment. */
  readonly frame: number;
  readonly place: Place;
  readonly key: Uint8Array | null;
  readonly keyHash: number;
  readonly value: Uint8Array;
  /** Headers of this record alone. */
  readonly headers: readonly Header[];
  readonly timestampMs: number;
  readonly partition: number | null;
  /** null unless the upstream speaks MQTT or NATS. */
  readonly carried: Carried | null;
}

/** A Kafka topic's legal names: org.apache.kafka.common.internals.Topic. */
const kafkaTopicGrammar = /^[a-zA-Z0-9._-]{1,249}$/;
/** [MQTT-3.3.2-2], 1.5.4: wildcards, and what a server may refuse (unsaid.ts). */
const notInTopicName = /[+#]/;
const topicNameBytesMax = 65_535;
const placesMax = 8_192;
const millisecondsPerSecond = 1_000;
const noHeaders: readonly Header[] = [];

/** Headers of one frame. */
type Varying = (
  frame: Frame,
  epoch: string,
  via: string,
  properties: FrameProperties | null,
) => readonly Header[];

export interface RendererOptions {
  readonly gateway: string;
  readonly binding: Binding;
  readonly properties: PropertiesDecoder;
}

export class RouteRenderer {
  readonly #options: RendererOptions;
  readonly #route: RouteDefinition;
  readonly #target: RouteTarget;
  readonly #topic: Template;
  readonly #key: Template;
  readonly #headers: readonly (readonly [string, Template])[];
  readonly #templates: readonly Template[];
  readonly #varying: Varying;
  /** By kind (protocol, whether it is a CloudEvent of its own), Topic Name and device. */
  #places: Map<string, Map<string, Place>>[] = [];
  #placeCount = 0;

  /** @throws TidegateError recordInvalid when a stored template cannot be read */
  constructor(route: RouteDefinition, target: RouteTarget, options: RendererOptions) {
    this.#route = route;
    this.#target = target;
    this.#options = options;
    this.#topic = compileTemplate(target.topic, options.binding === 'kafka' ? '.' : '/');
    this.#key = compileTemplate(target.key);
    this.#headers = Object.entries(target.headers).map(([name, text]) => [
      name,
      compileTemplate(text),
    ]);
    this.#templates = [this.#topic, this.#key, ...this.#headers.map(([, template]) => template)];
    this.#varying = varyingOf(route, target, options);
  }

  /** @throws TidegateError loop */
  render(frame: Frame, epoch: string, segment: WindowSegment, index: number): EgressRecord {
    const { gateway, binding } = this.#options;
    const bytes = frame.properties;
    const properties = bytes.length > 0 ? this.#options.properties(bytes) : null;
    const isEvent = isOwnEvent(frame.protocol, properties);
    const place = this.#placeOf(frame, isEvent);
    const via = properties === null ? gateway : viaWith(gateway, properties.userProperties);
    return {
      segment,
      frame: index,
      place,
      key: frame.key ?? place.key,
      keyHash: frame.key === null ? place.keyHash : positiveMurmur2(frame.key),
      value: frame.payload,
      headers: this.#varying(frame, epoch, via, properties),
      timestampMs: Math.trunc(frame.timestampMs ?? frame.arrivalMs),
      partition: frame.partition,
      carried: carries[binding] ? carriedOf(frame, properties) : null,
    };
  }

  #placeOf(frame: Frame, isEvent: boolean): Place {
    const kind = frame.protocol * 2 + (isEvent ? 1 : 0);
    const known = this.#places[kind]?.get(frame.topicName)?.get(frame.device);
    if (known !== undefined) return known;
    const place = this.#makePlace(frame, isEvent);
    // {client} may differ between frames of one device: such a place is not kept.
    if (frame.client !== frame.device && this.#templates.some((one) => one.usesClient))
      return place;
    if (this.#placeCount >= placesMax) {
      this.#places = [];
      this.#placeCount = 0;
    }
    this.#places[kind] ??= new Map();
    const topicNames = this.#places[kind] as Map<string, Map<string, Place>>;
    const devices = topicNames.get(frame.topicName) ?? new Map<string, Place>();
    topicNames.set(frame.topicName, devices.set(frame.device, place));
    this.#placeCount += 1;
    return place;
  }

  #makePlace(frame: Frame, isEvent: boolean): Place {
    const { gateway, binding } = this.#options;
    const { device, client, topicName, protocol } = frame;
    const captured = this.#templates.some((one) => one.usesCaptures);
    const captures = captured ? capturesOf(this.#route.from, topicName) : [];
    const values = { device, client, topicName, gateway, captures };
    const topic = this.#topic.render(binding === 'nats' ? subjectValues(values, protocol) : values);
    const text = this.#key.render(values);
    const key = text === '' ? null : Buffer.from(text);
    const routeName = this.#route.name;
    const context = { gateway, protocol, device, routeName, topicName };
    const configured = this.#headers.map(([name, one]): Header => [name, one.render(values)]);
    const isNats = binding === 'nats';
    let own: readonly Header[] = noHeaders;
    if (this.#target.envelope === 'cloudevents') {
      if (isEvent) own = [[ownSourceName, sourceOf(context)]];
      else own = isNats ? natsFixedHeaders(context) : fixedHeaders(context, binding);
    }
    return {
      topic,
      key,
      keyHash: key === null ? 0 : positiveMurmur2(key),
      headers: [...own, ...(isNats ? configured.map(saidHeader) : configured)],
      unknownTopic: this.#target.unknownTopic,
      fault: faultOf[binding](topic, this.#target.topic),
      encodedHeaders: null,
    };
  }
}

function varyingOf(
  route: RouteDefinition,
  target: RouteTarget,
  { gateway, binding }: RendererOptions,
): Varying {
  const bare = target.envelope === 'none';
  if (binding === 'nats') {
    const upstream = upstreamOf(target);
    const siblings = route.targets.filter((one) => upstreamOf(one) === upstream);
    const envelope = new NatsEnvelope({ gateway, bare, place: siblings.indexOf(target) + 1 });
    return (...frame) => envelope.varying(...frame);
  }
  if (bare) return binding === 'mqtt' ? bareProperties : () => noHeaders;
  const envelope = new Envelope(gateway, binding);
  return (...frame) => envelope.varying(...frame);
}

/** Of `<upstream>/<delivery>`. */
function upstreamOf({ lane }: RouteTarget): string {
  return lane.slice(0, lane.lastIndexOf('/'));
}

const carries: Readonly<Record<Binding, boolean>> = {
  kafka: false,
  mqtt: true,
  nats: true,
  file: false,
};

function carriedOf(frame: Frame, properties: FrameProperties | null): Carried {
  const { retain, livedMs, expirySeconds } = frame;
  const expiresAtMs =
    expirySeconds === null ? null : livedMs + expirySeconds * millisecondsPerSecond;
  return { retain, expiresAtMs, properties };
}

type FaultOf = (topic: string, template: string) => Place['fault'];
const faultOf: Readonly<Record<Binding, FaultOf>> = {
  kafka: (topic) => {
    if (kafkaTopicGrammar.test(topic) && topic !== '.' && topic !== '..') return null;
    return { code: 'topicInvalid', detail: `rendered Kafka topic ${JSON.stringify(topic)}` };
  },
  mqtt: (topic) => {
    const fits = topic !== '' && Buffer.byteLength(topic) <= topicNameBytesMax; // [MQTT-4.7.3-1]
    if (fits && !notInTopicName.test(topic) && !mqttUnsaid.test(topic)) return null;
    return { code: 'topicInvalid', detail: `rendered Topic Name ${JSON.stringify(topic)}` };
  },
  nats: subjectFault,
  file: () => null,
};
