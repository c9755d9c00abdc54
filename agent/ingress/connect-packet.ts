/**
 * CONNECT and CONNACK as the filter needs them [MQTT 3.1.1 and 5.0, sections 3.1, 3.2].
 *
 * CONNECT passes to the broker as it came; it is only read. CONNACK of version 5 is written anew
 * with the smaller of what the broker and what the agent grant: Receive Maximum, Topic Alias
 * Maximum, Maximum Packet Size.
 */
import {
  numberProperty,
  PacketWalk,
  type Property,
  packetOf,
  propertiesOf,
  propertyIds,
} from './packet-walk.ts';

const version5 = 5;
const flags = {
  cleanStart: 0x02,
  will: 0x04,
  retain: 0x20,
  password: 0x40,
  username: 0x80,
} as const;
const willQosShift = 3;
const qosMask = 3;
const connackFirstByte = 0x20;
const disconnectFirstByte = 0xe0;
const sessionPresentBit = 1;
const receiveMaximumDefault = 65_535;
export const sessionNeverExpires = 0xffff_ffff;

export interface Will {
  readonly topicName: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly delaySeconds: number;
  /** Version 5: those a PUBLISH may have, as they came. */
  readonly properties: readonly Buffer[];
}

export interface ConnectPacket {
  /** 3 (MQIsdp), 4 (3.1.1), 5. */
  readonly version: number;
  readonly clientId: string;
  readonly cleanStart: boolean;
  readonly keepAliveSeconds: number;
  readonly username: string | null;
  readonly password: Buffer | null;
  readonly will: Will | null;
  /** Version 5; what a version 3 session means otherwise. */
  readonly sessionExpirySeconds: number;
  readonly authenticates: boolean;
  /** What it takes at most; version 5. */
  readonly maxPacketBytes: number;
}

/** @param packet a CONNECT that the core has checked */
export function readConnect(packet: Uint8Array): ConnectPacket {
  const walk = new PacketWalk(packet);
  walk.text();
  const version = walk.u8();
  const bits = walk.u8();
  const keepAliveSeconds = walk.u16();
  const properties = version === version5 ? walk.properties() : [];
  const clientId = walk.text();
  const will = (bits & flags.will) === 0 ? null : readWill(walk, version, bits);
  const username = (bits & flags.username) === 0 ? null : walk.text();
  const password = (bits & flags.password) === 0 ? null : Buffer.from(walk.binary());
  const cleanStart = (bits & flags.cleanStart) !== 0;
  const expiry = numberIn(properties, propertyIds.sessionExpiry) ?? 0;
  const forEver = cleanStart ? 0 : sessionNeverExpires;
  return {
    ...{ version, clientId, cleanStart, keepAliveSeconds, username, password, will },
    sessionExpirySeconds: version === version5 ? expiry : forEver,
    authenticates: numberIn(properties, propertyIds.authenticationMethod) !== null,
    maxPacketBytes: numberIn(properties, propertyIds.maximumPacketSize) ?? Number.MAX_SAFE_INTEGER,
  };
}

function readWill(walk: PacketWalk, version: number, bits: number): Will {
  const properties = version === version5 ? walk.properties() : [];
  return {
    topicName: walk.text(),
    payload: Buffer.from(walk.binary()),
    qos: (bits >> willQosShift) & qosMask,
    retain: (bits & flags.retain) !== 0,
    delaySeconds: numberIn(properties, propertyIds.willDelay) ?? 0,
    properties: properties
      .filter(({ id }) => id !== propertyIds.willDelay)
      .map(({ bytes }) => Buffer.from(bytes)),
  };
}

function numberIn(properties: readonly Property[], id: number): number | null {
  return properties.find((property) => property.id === id)?.number ?? null;
}

/** What is granted to a device. */
export interface Grants {
  readonly receiveMaximum: number;
  readonly topicAliasMaximum: number;
  readonly maxPacketBytes: number;
}

export interface Connack {
  readonly code: number;
  readonly sessionPresent: boolean;
  readonly granted: Grants;
  readonly serverKeepAliveSeconds: number | null;
  readonly assignedClientId: string | null;
  /** As the device gets it. */
  readonly bytes: Buffer;
}

/** @param own what the agent grants at most */
export function readConnack(packet: Buffer, version: number, own: Grants): Connack {
  const walk = new PacketWalk(packet);
  const acknowledgeFlags = walk.u8();
  const code = walk.u8();
  const sessionPresent = (acknowledgeFlags & sessionPresentBit) !== 0;
  const properties = version === version5 && !walk.ended ? walk.properties() : [];
  const value = (id: number): number | null => numberIn(properties, id);
  const { receiveMaximum, topicAliasMaximum, maximumPacketSize } = propertyIds;
  const granted = {
    receiveMaximum: Math.min(value(receiveMaximum) ?? receiveMaximumDefault, own.receiveMaximum),
    topicAliasMaximum: Math.min(value(topicAliasMaximum) ?? 0, own.topicAliasMaximum),
    maxPacketBytes: Math.min(value(maximumPacketSize) ?? own.maxPacketBytes, own.maxPacketBytes),
  };
  const assigned = properties.find(({ id }) => id === propertyIds.assignedClientIdentifier);
  const facts = {
    ...{ code, sessionPresent, granted, assignedClientId: assigned?.text ?? null },
    serverKeepAliveSeconds: value(propertyIds.serverKeepAlive),
  };
  if (version !== version5 || code !== 0) return { ...facts, bytes: Buffer.from(packet) };
  const ours = new Map([
    [receiveMaximum, granted.receiveMaximum],
    [maximumPacketSize, granted.maxPacketBytes],
    ...(granted.topicAliasMaximum === 0
      ? []
      : [[topicAliasMaximum, granted.topicAliasMaximum] as const]),
  ] as [number, number][]);
  const written = properties.map(({ id, bytes }) => {
    const grant = ours.get(id);
    ours.delete(id);
    return grant === undefined ? bytes : numberProperty(id, grant);
  });
  for (const [id, grant] of ours) written.push(numberProperty(id, grant));
  const head = Buffer.from([acknowledgeFlags, code]);
  return { ...facts, bytes: packetOf(connackFirstByte, head, propertiesOf(written)) };
}

/** A CONNACK that refuses, in the form of the version asked for [MQTT-3.2.2-6 and 5.0 3.2.2.2]. */
export function connackRefusal(version: number, reasonCode: number, returnCode: number): Buffer {
  if (version === version5) return Buffer.from([connackFirstByte, 3, 0, reasonCode, 0]);
  return Buffer.from([connackFirstByte, 2, 0, returnCode]);
}

/** DISCONNECT of a server; version 5 only [MQTT-3.14]. */
export function disconnectOf(reasonCode: number): Buffer {
  return Buffer.from([disconnectFirstByte, 1, reasonCode]);
}
