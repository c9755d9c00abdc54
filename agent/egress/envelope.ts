/**
 * The CloudEvents 1.0 envelope of the Kafka protocol binding, binary mode: attributes are headers,
 * the value is the payload as it came.
 *
 *   ce_specversion 1.0              ce_source   //<gateway>/<protocol>/<device>
 *   ce_type        route's name     ce_subject  Topic Name
 *   ce_id          <gateway>/<epoch>/<frame number>, the same at every retry
 *   ce_time        arrival, RFC 3339, UTC
 *   content-type   of the MQTT 5 property        tidegate-via  <gateway>
 *   tidegate-clock unsynchronised, when ce_time is from before the clock was set
 *
 * What depends on device and Topic Name alone is `fixed` and made once; `varying` is per frame.
 * MQTT 5 User Properties ride along under their own names; one whose name is ours gets the prefix
 * `mqtt-`, so that a device cannot speak for the gateway. `tidegate-via` is the exception: there
 * the gateway is added to those before it.
 */
import type { Frame, FrameProperties } from './record.ts';

export type Header = readonly [name: string, value: string];

const protocolNames: Readonly<Record<number, string>> = {
  1: 'mqtt',
  2: 'nats',
  3: 'http',
  4: 'amqp',
  5: 'agent',
};
const viaHeader = 'tidegate-via';
const clockHeader = 'tidegate-clock';
const contentTypeHeader = 'content-type';
const ownName = /^(ce_|tidegate-)/i;

export interface FixedContext {
  readonly gateway: string;
  readonly protocol: number;
  readonly device: string;
  readonly routeName: string;
  readonly topicName: string;
}

/** Headers that are the same for every frame of one device on one Topic Name. */
export function fixedHeaders(context: FixedContext): Header[] {
  const protocol = protocolNames[context.protocol] ?? 'unknown';
  return [
    ['ce_specversion', '1.0'],
    ['ce_type', context.routeName],
    ['ce_source', `//${context.gateway}/${protocol}/${encodeURIComponent(context.device)}`],
    ['ce_subject', context.topicName],
  ];
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
  readonly #time = new Rfc3339();
  readonly #via: Header;
  readonly #unsynchronised: Header = [clockHeader, 'unsynchronised'];
  #idPrefix = '';
  #epoch = '';

  constructor(gateway: string) {
    this.#gateway = gateway;
    this.#via = [viaHeader, gateway];
  }

  /** Headers of one frame, in addition to the fixed ones. */
  varying(frame: Frame, epoch: string, properties: FrameProperties | null): Header[] {
    if (epoch !== this.#epoch) {
      this.#epoch = epoch;
      this.#idPrefix = `${this.#gateway}/${epoch}/`;
    }
    const headers: Header[] = [
      ['ce_id', frame.eventId ?? this.#idPrefix + frame.number],
      ['ce_time', this.#time.of(frame.arrivalMs)],
    ];
    if (frame.clockUnsynced) headers.push(this.#unsynchronised);
    if (frame.trace !== null) headers.push(['traceparent', frame.trace]);
    if (properties === null) headers.push(this.#via);
    else this.#ride(headers, properties);
    return headers;
  }

  #ride(headers: Header[], properties: FrameProperties): void {
    let via = this.#gateway;
    if (properties.contentType !== undefined) {
      headers.push([contentTypeHeader, properties.contentType]);
    }
    for (const [name, value] of properties.userProperties) {
      if (name === viaHeader) via = `${value},${via}`;
      else if (ownName.test(name)) headers.push([`mqtt-${name}`, value]);
      else if (name === contentTypeHeader) headers.push([`mqtt-${name}`, value]);
      else headers.push([name, value]);
    }
    headers.push(via === this.#gateway ? this.#via : [viaHeader, via]);
  }
}
