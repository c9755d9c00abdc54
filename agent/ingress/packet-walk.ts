/**
 * A walk over the fields of one MQTT Control Packet that the core has found well-formed: what the
 * seats themselves want to know (CONNECT, CONNACK, SUBSCRIBE) and what they write. It trusts every
 * length; whoever has bytes that the core did not check has no business here.
 */

/** Property identifiers [MQTT-2.2.2.2] that the seats read or write. */
export const propertyIds = {
  payloadFormat: 0x01,
  messageExpiry: 0x02,
  subscriptionIdentifier: 0x0b,
  sessionExpiry: 0x11,
  assignedClientIdentifier: 0x12,
  serverKeepAlive: 0x13,
  authenticationMethod: 0x15,
  willDelay: 0x18,
  receiveMaximum: 0x21,
  topicAliasMaximum: 0x22,
  topicAlias: 0x23,
  userProperty: 0x26,
  maximumPacketSize: 0x27,
} as const;

const oneByte = new Set([0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2a]);
const twoBytes = new Set([0x13, 0x21, 0x22, 0x23]);
const fourBytes = new Set([0x02, 0x11, 0x18, 0x27]);
const variableByteBits = 7;
const variableByteMore = 0x80;

export interface Property {
  readonly id: number;
  /** The property with its identifier. */
  readonly bytes: Buffer;
  readonly number: number;
  /** Of a string. */
  readonly text: string;
}

export class PacketWalk {
  readonly bytes: Buffer;
  at = 0;

  /** @param packet one whole packet; begins behind its fixed header */
  constructor(packet: Uint8Array) {
    this.bytes = Buffer.from(packet.buffer, packet.byteOffset, packet.byteLength);
    this.at = 1;
    this.variableByte();
  }

  get ended(): boolean {
    return this.at >= this.bytes.length;
  }

  u8(): number {
    this.at += 1;
    return this.bytes.readUInt8(this.at - 1);
  }

  u16(): number {
    this.at += 2;
    return this.bytes.readUInt16BE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.bytes.readUInt32BE(this.at - 4);
  }

  /** Variable Byte Integer [MQTT-1.5.5]. */
  variableByte(): number {
    let value = 0;
    for (let shift = 0; ; shift += variableByteBits) {
      const byte = this.u8();
      value |= (byte & (variableByteMore - 1)) << shift;
      if (byte < variableByteMore) return value;
    }
  }

  binary(): Buffer {
    const length = this.u16();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  text(): string {
    return this.binary().toString('utf8');
  }

  properties(): Property[] {
    const end = this.variableByte() + this.at;
    const found: Property[] = [];
    while (this.at < end) found.push(this.#property());
    return found;
  }

  #property(): Property {
    const from = this.at;
    const id = this.u8();
    let [number, text] = [0, ''];
    if (oneByte.has(id)) number = this.u8();
    else if (twoBytes.has(id)) number = this.u16();
    else if (fourBytes.has(id)) number = this.u32();
    else if (id === propertyIds.subscriptionIdentifier) number = this.variableByte();
    else {
      text = this.text();
      if (id === propertyIds.userProperty) this.binary();
    }
    return { id, bytes: this.bytes.subarray(from, this.at), number, text };
  }
}

export function variableByteOf(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  do {
    const low = rest & (variableByteMore - 1);
    rest >>>= variableByteBits;
    bytes.push(rest > 0 ? low | variableByteMore : low);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** A whole packet of a first byte and its body. */
export function packetOf(firstByte: number, ...body: readonly Uint8Array[]): Buffer {
  const length = body.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([firstByte]), variableByteOf(length), ...body]);
}

export function u16Of(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}

export function binaryOf(bytes: Uint8Array): Buffer {
  return Buffer.concat([u16Of(bytes.length), bytes]);
}

/** A property of two or four bytes. */
export function numberProperty(id: number, value: number): Buffer {
  const wide = fourBytes.has(id);
  const bytes = Buffer.alloc(wide ? 5 : 3);
  bytes[0] = id;
  if (wide) bytes.writeUInt32BE(value, 1);
  else bytes.writeUInt16BE(value, 1);
  return bytes;
}

/** Properties with their length in front. */
export function propertiesOf(properties: readonly Uint8Array[]): Buffer {
  const length = properties.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([variableByteOf(length), ...properties]);
}
