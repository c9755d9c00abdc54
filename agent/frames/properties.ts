/**
 * MQTT 5 properties of a PUBLISH, decoded for whoever builds headers from them. The bytes were
 * walked by the core when they came, so a property that does not decode ends the walk in silence:
 * it cannot be there.
 */
export interface PublishProperties {
  /** In order; names may repeat [MQTT-3.3.2-17]. */
  readonly userProperties: readonly (readonly [name: string, value: string])[];
  /** 0 bytes, 1 UTF-8. */
  readonly payloadFormat?: number;
  readonly expirySeconds?: number;
  readonly contentType?: string;
  readonly responseTopic?: string;
  readonly correlationData?: Uint8Array;
  readonly topicAlias?: number;
}

const payloadFormatId = 0x01;
const messageExpiryId = 0x02;
const contentTypeId = 0x03;
const responseTopicId = 0x08;
const correlationId = 0x09;
const topicAliasId = 0x23;
const userPropertyId = 0x26;

const none: PublishProperties = { userProperties: [] };

type Draft = { -readonly [K in keyof PublishProperties]: PublishProperties[K] };

class Walk {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  u16(): number {
    this.at += 2;
    return this.bytes.readUInt16BE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.bytes.readUInt32BE(this.at - 4);
  }

  binary(): Buffer {
    const length = this.u16();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(): string {
    return this.binary().toString('utf8');
  }
}

/** @param bytes `FrameView.properties`: without the Property Length */
export function decodeProperties(bytes: Uint8Array): PublishProperties {
  if (bytes.byteLength === 0) return none;
  const walk = new Walk(bytes);
  const userProperties: [string, string][] = [];
  const draft: Draft = { userProperties };
  while (walk.at < bytes.byteLength) {
    const id = bytes[walk.at++];
    if (id === userPropertyId) userProperties.push([walk.text(), walk.text()]);
    else if (id === payloadFormatId) draft.payloadFormat = bytes[walk.at++] as number;
    else if (id === messageExpiryId) draft.expirySeconds = walk.u32();
    else if (id === contentTypeId) draft.contentType = walk.text();
    else if (id === responseTopicId) draft.responseTopic = walk.text();
    else if (id === correlationId) draft.correlationData = walk.binary();
    else if (id === topicAliasId) draft.topicAlias = walk.u16();
    else break;
  }
  return draft;
}
