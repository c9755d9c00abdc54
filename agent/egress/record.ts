/**
 * Frame → record: what a target's templates and envelope make of one frame.
 *
 * A `RouteRenderer` stands for one target of one stored route. All that depends on device and Topic
 * Name alone (topic, key, its hash, fixed headers) is a `Place`, kept in a bounded cache, so that
 * per frame only the event's own id, time and properties are made. A device's bytes never decide
 * how much memory that takes: a full cache is emptied and fills again.
 *
 * Refuses, as a dead letter: a topic that Kafka, or a Topic Name that MQTT, would not take; an
 * event that goes in a circle (via.ts).
 */

import type { RouteDefinition, RouteTarget } from '../buffer/protocol.ts';
import type { ErrorCode } from '../errors.ts';
import type { FrameView } from '../frames/segment-reader.ts';
import { bareProperties, Envelope, fixedHeaders, type Header } from './envelope.ts';
import { positiveMurmur2 } from './murmur2.ts';
import { capturesOf, compileTemplate, type Template } from './template.ts';
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

/** What MQTT alone can carry on as what it was. */
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
  /** null unless the upstream speaks MQTT. */
  readonly carried: Carried | null;
}

/** A Kafka topic's legal names: org.apache.kafka.common.internals.Topic. */
const kafkaTopicGrammar = /^[a-zA-Z0-9._-]{1,249}$/;
/** [MQTT-3.3.2-2], [MQTT-1.5.4-2]: wildcards and NUL. */
const notInTopicName = /[+#\0]/;
const topicNameBytesMax = 65_535;
const placesMax = 8_192;
const millisecondsPerSecond = 1_000;
const noHeaders: readonly Header[] = [];

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
  readonly #envelope: Envelope | null;
  #places = new Map<string, Map<string, Place>>();
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
    const { gateway, binding } = options;
    this.#envelope = target.envelope === 'cloudevents' ? new Envelope(gateway, binding) : null;
  }

  /** @throws TidegateError loop */
  render(frame: Frame, epoch: string, segment: WindowSegment, index: number): EgressRecord {
    const { gateway, binding } = this.#options;
    const place = this.#placeOf(frame);
    const bytes = frame.properties;
    const properties = bytes.length > 0 ? this.#options.properties(bytes) : null;
    const via = properties === null ? gateway : viaWith(gateway, properties.userProperties);
    const bare = binding === 'mqtt' ? bareProperties : () => noHeaders;
    return {
      segment,
      frame: index,
      place,
      key: frame.key ?? place.key,
      keyHash: frame.key === null ? place.keyHash : positiveMurmur2(frame.key),
      value: frame.payload,
      headers: this.#envelope?.varying(frame, epoch, via, properties) ?? bare(via, properties),
      timestampMs: Math.trunc(frame.arrivalMs),
      partition: frame.partition,
      carried: binding === 'mqtt' ? carriedOf(frame, properties) : null,
    };
  }

  #placeOf(frame: Frame): Place {
    const byDevice = this.#places.get(frame.topicName);
    const known = byDevice?.get(frame.device);
    if (known !== undefined) return known;
    const place = this.#makePlace(frame);
    // {client} may differ between frames of one device: such a place is not kept.
    if (frame.client !== frame.device && this.#templates.some((one) => one.usesClient))
      return place;
    if (this.#placeCount >= placesMax) {
      this.#places = new Map();
      this.#placeCount = 0;
    }
    const devices = this.#places.get(frame.topicName) ?? new Map<string, Place>();
    this.#places.set(frame.topicName, devices.set(frame.device, place));
    this.#placeCount += 1;
    return place;
  }

  #makePlace(frame: Frame): Place {
    const { gateway, binding } = this.#options;
    const { device, client, topicName } = frame;
    const captured = this.#templates.some((one) => one.usesCaptures);
    const captures = captured ? capturesOf(this.#route.from, topicName) : [];
    const values = { device, client, topicName, gateway, captures };
    const topic = this.#topic.render(values);
    const text = this.#key.render(values);
    const key = text === '' ? null : Buffer.from(text);
    const context = {
      gateway,
      protocol: frame.protocol,
      device,
      routeName: this.#route.name,
      topicName,
    };
    const configured = this.#headers.map(([name, one]): Header => [name, one.render(values)]);
    const own = this.#envelope === null ? [] : fixedHeaders(context, binding);
    return {
      topic,
      key,
      keyHash: key === null ? 0 : positiveMurmur2(key),
      headers: [...own, ...configured],
      unknownTopic: this.#target.unknownTopic,
      fault: faultOf[binding](topic),
      encodedHeaders: null,
    };
  }
}

function carriedOf(frame: Frame, properties: FrameProperties | null): Carried {
  const { retain, livedMs, expirySeconds } = frame;
  const expiresAtMs =
    expirySeconds === null ? null : livedMs + expirySeconds * millisecondsPerSecond;
  return { retain, expiresAtMs, properties };
}

const faultOf: Readonly<Record<Binding, (topic: string) => Place['fault']>> = {
  kafka: (topic) => {
    if (kafkaTopicGrammar.test(topic) && topic !== '.' && topic !== '..') return null;
    return { code: 'topicInvalid', detail: `rendered Kafka topic ${JSON.stringify(topic)}` };
  },
  mqtt: (topic) => {
    const fits = topic !== '' && Buffer.byteLength(topic) <= topicNameBytesMax; // [MQTT-4.7.3-1]
    if (fits && !notInTopicName.test(topic)) return null;
    return { code: 'topicInvalid', detail: `rendered Topic Name ${JSON.stringify(topic)}` };
  },
  nats: (topic) => {
    if (topic !== '') return null;
    return { code: 'topicInvalid', detail: `rendered subject ${JSON.stringify(topic)}` };
  },
  file: () => null,
};
