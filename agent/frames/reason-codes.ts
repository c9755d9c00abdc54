/**
 * What the standard answers to a device's fault. Version 5: the Reason Code of DISCONNECT, or of
 * CONNACK while no CONNECT was accepted [MQTT-4.13.1-1]. Before version 5 the one answer is to
 * close the connection, but for two return codes of CONNACK [MQTT-3.1.2-2, MQTT-3.1.3-8].
 *
 * What cannot be answered in words is answered by the close alone, as the standard leaves to the
 * server: see `unsaid`.
 *
 * Malformed: what cannot be parsed, or is no value of its type. Protocol error: what can, and is
 * not allowed there or then (1.2). Where the standard names the code at a field, it is that one.
 */
import { type FaultName, faultName } from './faults.ts';

/** Of section 2.4: those that this agent answers with. */
export const reasonCodes = {
  success: 0x00,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierInUse: 0x91,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  qosNotSupported: 0x9b,
  sharedSubscriptionsNotSupported: 0x9e,
} as const;

/** Of CONNACK in 3.1 and 3.1.1. */
export const returnCodes = {
  accepted: 0,
  unacceptableProtocolVersion: 1,
  identifierRejected: 2,
  serverUnavailable: 3,
  badUserNameOrPassword: 4,
  notAuthorized: 5,
} as const;

export type FaultPhase = 'connect' | 'open';

const malformed = reasonCodes.malformedPacket;
const protocol = reasonCodes.protocolError;

const byFault: Readonly<Partial<Record<FaultName, number>>> = {
  packetType: protocol,
  packetFlags: malformed, // [MQTT-2.1.3-1]
  packetTooLarge: reasonCodes.packetTooLarge, // 3.1.2.11.4
  connectExpected: protocol,
  connectRepeated: protocol, // [MQTT-3.1.0-2]
  packetDirection: protocol,
  fieldLength: malformed,
  excessBytes: malformed,
  utf8: malformed, // [MQTT-1.5.4-1], also where it is the Client Identifier
  topicNameEmpty: protocol, // 3.3.2.1
  topicNameWildcard: malformed, // 0x90 is for a Topic Name that is correctly formed
  qos: malformed, // [MQTT-3.3.1-4]
  dup: malformed,
  packetIdentifier: protocol,
  propertyUnknown: malformed, // 2.2.2.2
  propertyRepeated: protocol, // 3.1.2.11 and at each property
  propertyLength: malformed,
  propertyValue: protocol,
  topicAlias: reasonCodes.topicAliasInvalid, // 3.3.2.3.4
  subscriptionIdentifier: protocol,
  responseTopic: protocol,
  protocolName: reasonCodes.unsupportedProtocolVersion, // [MQTT-3.1.2-1]
  protocolVersion: reasonCodes.unsupportedProtocolVersion, // [MQTT-3.1.2-2]
  connectFlags: malformed, // [MQTT-3.1.2-3], 3.1.2.6
  willTopic: malformed,
  topicFilter: malformed, // 0x8F is for a Topic Filter that is correctly formed
  subscriptionOptions: malformed, // [MQTT-3.8.3-5]
  clientIdentifier: reasonCodes.clientIdentifierNotValid, // [MQTT-3.1.3-8]
  requestIdentifier: malformed,
  reasonCode: protocol,
  propertyNotAllowed: malformed, // 2.2.2.2
  propertyMissing: protocol, // 3.15.2.2.2
  authUnexpected: protocol, // [MQTT-4.12.0-7]
  authExpected: protocol, // [MQTT-3.1.2-30]
  subscriptionEmpty: protocol, // 3.8.3, 3.10.3
  subscriptionValue: protocol, // 3.8.3.1
  sharedSubscription: protocol, // [MQTT-3.8.3-4]
  sessionExpiry: protocol, // 3.14.2.2.2
};

/**
 * Closed without a word in version 5 too [MQTT-4.13.1-1]: a device that cannot say where its packet
 * ends will find no packet in ours; one that said DISCONNECT, whatever with, awaits no other; and
 * who sends no readable credentials is told nothing of how they are read.
 */
const unsaid: ReadonlySet<string> = new Set<FaultName>([
  'remainingLength',
  'disconnectReason',
  'credentials',
]);

/** Codes that only one of the two packets has, tables 3-1 and 3-13. */
const onlyInConnack: ReadonlySet<number> = new Set([
  reasonCodes.unsupportedProtocolVersion,
  reasonCodes.clientIdentifierNotValid,
]);
const onlyInDisconnect: ReadonlySet<number> = new Set([reasonCodes.topicAliasInvalid]);

/**
 * @param fault as `core.fault()` gives it
 * @param phase `connect`: for CONNACK; `open`: for DISCONNECT, a CONNECT was accepted
 * @returns null: the connection is just closed
 */
export function reasonCodeOf(fault: number, phase: FaultPhase): number | null {
  const name = faultName(fault);
  if (unsaid.has(name)) return null;
  const code = name === 'unknown' ? undefined : byFault[name];
  if (code === undefined) return reasonCodes.unspecifiedError;
  const elsewhere = phase === 'connect' ? onlyInDisconnect : onlyInConnack;
  return elsewhere.has(code) ? protocol : code;
}

/** @returns the return code of a CONNACK of 3.1 or 3.1.1; null: the connection is just closed */
export function returnCodeOf(fault: number): number | null {
  const name = faultName(fault);
  if (name === 'protocolVersion') return returnCodes.unacceptableProtocolVersion;
  return name === 'clientIdentifier' ? returnCodes.identifierRejected : null;
}
