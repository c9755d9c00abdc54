/**
 * A stored frame as people and programs see it: the names of the design's words, times as RFC 3339,
 * the payload as text where it is UTF-8 and in base64 where it is not.
 */
import { isUtf8 } from 'node:buffer';
import { decodeProperties } from '../frames/properties.ts';
import type { FrameView } from '../frames/segment-reader.ts';

export interface ShownFrame {
  readonly device: string;
  readonly client: string;
  readonly topicName: string;
  readonly arrival: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly expirySeconds?: number;
  readonly properties?: object;
  readonly payload?: string;
  readonly payloadBase64?: string;
}

export function showFrame(frame: FrameView): ShownFrame {
  const { device, client, topicName, arrivalMs, qos, retain, expirySeconds } = frame;
  return {
    ...{ device, client, topicName, arrival: new Date(arrivalMs).toISOString(), qos, retain },
    ...(expirySeconds === null ? {} : { expirySeconds }),
    ...propertiesOf(frame),
    ...payloadOf(frame.payload),
  };
}

function propertiesOf({ properties }: FrameView): { properties?: object } {
  if (properties.byteLength === 0) return {};
  const { userProperties, correlationData, ...rest } = decodeProperties(properties);
  return {
    properties: {
      ...rest,
      ...(correlationData ? { correlationData: base64(correlationData) } : {}),
      ...(userProperties.length > 0 ? { userProperties } : {}),
    },
  };
}

function payloadOf(payload: Uint8Array): { payload: string } | { payloadBase64: string } {
  if (!isUtf8(payload)) return { payloadBase64: base64(payload) };
  return { payload: Buffer.from(payload).toString('utf8') };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}
