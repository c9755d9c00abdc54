/**
 * Records as PUBLISH packets, and the PUBREL of QoS 2, of both versions:
 *
 *   PUBLISH  0011 | DUP | QoS QoS | RETAIN   Remaining Length   Topic Name   [Packet Identifier]
 *            [Property Length   Payload Format   Message Expiry   Content Type   Response Topic
 *             Correlation Data   User Property …]   payload
 *
 * MQTT 3.1.1 has no properties: there the payload stands alone. User Properties of a place are
 * encoded once. Measured first, written then, into one buffer of the right size.
 *
 * Refuses with recordInvalid what MQTT cannot say: strings of more than 65,535 bytes or with NUL.
 */
import {
  idBytes,
  lengthBytes,
  property,
  stringBytes,
  userPropertyBytes,
  varintBytes,
  Writer,
} from './mqtt-writer.ts';
import type { Carried, EgressRecord } from './record.ts';

export interface PublishForm {
  readonly version: 4 | 5;
  readonly qos: 0 | 1 | 2;
  readonly retain: boolean;
  readonly duplicate: boolean;
  /** Of QoS 1 and 2. */
  readonly packetId: number;
  /** What remains of the Message Expiry Interval. */
  readonly expirySeconds: number | null;
}

const publishType = 0x30;
const duplicateBit = 0x08;
const pubrelHeader = 0x62;
const packetIdBytes = 2;

function fixedProperties(record: EgressRecord): Uint8Array {
  const { place } = record;
  if (place.encodedHeaders === null) {
    const writer = new Writer(userPropertyBytes(place.headers));
    writer.userProperties(place.headers);
    place.encodedHeaders = writer.buffer;
  }
  return place.encodedHeaders;
}

function propertyBytes(record: EgressRecord, form: PublishForm): number {
  const { payloadFormat, contentType, responseTopic, correlationData } =
    record.carried?.properties ?? {};
  let bytes = fixedProperties(record).length + userPropertyBytes(record.headers);
  if (payloadFormat !== undefined) bytes += idBytes + 1;
  if (form.expirySeconds !== null) bytes += idBytes + 4;
  if (contentType !== undefined) bytes += idBytes + stringBytes(contentType);
  if (responseTopic !== undefined) bytes += idBytes + stringBytes(responseTopic);
  if (correlationData !== undefined) bytes += idBytes + lengthBytes + correlationData.length;
  return bytes;
}

function writeProperties(writer: Writer, record: EgressRecord, form: PublishForm): void {
  writeCarried(writer, record.carried, form.expirySeconds);
  writer.raw(fixedProperties(record));
  writer.userProperties(record.headers);
}

function writeCarried(writer: Writer, carried: Carried | null, expirySeconds: number | null): void {
  const { payloadFormat, contentType, responseTopic, correlationData } = carried?.properties ?? {};
  if (payloadFormat !== undefined) {
    writer.u8(property.payloadFormat);
    writer.u8(payloadFormat);
  }
  if (expirySeconds !== null) {
    writer.u8(property.expiry);
    writer.u32(expirySeconds);
  }
  if (contentType !== undefined) {
    writer.u8(property.contentType);
    writer.text(contentType);
  }
  if (responseTopic !== undefined) {
    writer.u8(property.responseTopic);
    writer.text(responseTopic);
  }
  if (correlationData !== undefined) {
    writer.u8(property.correlationData);
    writer.u16(correlationData.length);
    writer.raw(correlationData);
  }
}

/** @throws TidegateError recordInvalid */
export function encodePublish(record: EgressRecord, form: PublishForm): Buffer {
  const { version, qos, retain, duplicate, packetId } = form;
  const { topic } = record.place;
  const ofProperties = version === 5 ? propertyBytes(record, form) : 0;
  let remaining = stringBytes(topic) + record.value.length;
  if (qos > 0) remaining += packetIdBytes;
  if (version === 5) remaining += varintBytes(ofProperties) + ofProperties;
  const writer = new Writer(1 + varintBytes(remaining) + remaining);
  writer.u8(publishType | (duplicate ? duplicateBit : 0) | (qos << 1) | (retain ? 1 : 0));
  writer.varint(remaining);
  writer.text(topic);
  if (qos > 0) writer.u16(packetId);
  if (version === 5) {
    writer.varint(ofProperties);
    writeProperties(writer, record, form);
  }
  writer.raw(record.value);
  return writer.buffer;
}

/** Reason Code 0 is left out, which both versions read alike. */
export function encodePubrel(packetId: number): Buffer {
  return Buffer.from([pubrelHeader, packetIdBytes, packetId >>> 8, packetId & 0xff]);
}
