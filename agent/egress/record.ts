/**
 * Frame → record: what a target's templates and envelope make of one frame.
 *
 * A `RouteRenderer` stands for one target of one stored route. All that depends on device and Topic
 * Name alone (topic, key, its hash, fixed headers) is a `Place`, kept in a bounded cache, so that
 * per frame only the event's own id, time and properties are made. A device's bytes never decide
 * how much memory that takes: a full cache is emptied and fills again.
 *
 * Refuses, as a dead letter: a Kafka topic that Kafka would not take.
 */

import type { RouteDefinition, RouteTarget } from '../buffer/protocol.ts';
import type { ErrorCode } from '../errors.ts';
import type { FrameView } from '../frames/segment-reader.ts';
import { Envelope, fixedHeaders, type Header } from './envelope.ts';
import { positiveMurmur2 } from './murmur2.ts';
import { capturesOf, compileTemplate, type Template } from './template.ts';
import type { WindowSegment } from './window.ts';

/** What this room reads of a frame. */
export type Frame = Omit<FrameView, 'index' | 'qos' | 'retain' | 'dup'>;

/** What this room reads of MQTT 5 properties; frames/properties.ts gives it. */
export interface FrameProperties {
  readonly userProperties: readonly (readonly [string, string])[];
  readonly contentType?: string | undefined;
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
}

/** A Kafka topic's legal names: org.apache.kafka.common.internals.Topic. */
const kafkaTopicGrammar = /^[a-zA-Z0-9._-]{1,249}$/;
const placesMax = 8_192;
const noHeaders: readonly Header[] = [];

export interface RendererOptions {
  readonly gateway: string;
  readonly kafka: boolean;
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
    this.#topic = compileTemplate(target.topic, options.kafka ? '.' : '/');
    this.#key = compileTemplate(target.key);
    this.#headers = Object.entries(target.headers).map(([name, text]) => [
      name,
      compileTemplate(text),
    ]);
    this.#templates = [this.#topic, this.#key, ...this.#headers.map(([, template]) => template)];
    this.#envelope = target.envelope === 'cloudevents' ? new Envelope(options.gateway) : null;
  }

  render(frame: Frame, epoch: string, segment: WindowSegment, index: number): EgressRecord {
    const place = this.#placeOf(frame);
    const key = frame.key ?? place.key;
    const properties = frame.properties.length > 0 ? this.#properties(frame) : null;
    return {
      segment,
      frame: index,
      place,
      key,
      keyHash: frame.key === null ? place.keyHash : positiveMurmur2(frame.key),
      value: frame.payload,
      headers: this.#envelope?.varying(frame, epoch, properties) ?? noHeaders,
      timestampMs: Math.trunc(frame.arrivalMs),
      partition: frame.partition,
    };
  }

  #properties(frame: Frame): FrameProperties | null {
    return this.#envelope === null ? null : this.#options.properties(frame.properties);
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
    const { gateway, kafka } = this.#options;
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
    const own = this.#envelope === null ? [] : fixedHeaders(context);
    return {
      topic,
      key,
      keyHash: key === null ? 0 : positiveMurmur2(key),
      headers: [...own, ...configured],
      unknownTopic: this.#target.unknownTopic,
      fault: kafka ? topicFault(topic) : null,
      encodedHeaders: null,
    };
  }
}

function topicFault(topic: string): Place['fault'] {
  if (kafkaTopicGrammar.test(topic) && topic !== '.' && topic !== '..') return null;
  return { code: 'topicInvalid', detail: `rendered Kafka topic ${JSON.stringify(topic)}` };
}
