/**
 * The reasons that stand in log lines and dead letters beside an error code or instead of one: why
 * a connection was ended, why an event was buried, what was wrong with a packet. Reasons that the
 * core numbers have a word each, by type; those that the rooms name as strings are looked for in
 * the source by `test/book.test.ts`.
 */
import type { Outcome } from '../../agent/events.ts';
import type { FaultName } from '../../agent/frames/faults.ts';

interface Buried {
  readonly when: string;
  readonly remedy: string;
}

/** Why an event was buried, beside the error codes of class bury. */
export const buryWords: Readonly<Record<string, Buried>> = {
  limit: {
    when: 'Beyond a limit of its route with `over: bury`.',
    remedy: 'Raise the limit if that is not meant; `tidegate dead replay` sends them after all.',
  },
  payloadTooLarge: {
    when: 'Larger than `maxBytes` of its route.',
    remedy: 'Raise `maxBytes`, then replay; or mend the device.',
  },
  routeUnknown: {
    when: 'The buffer has lost the definition of its route (a salvaged file).',
    remedy: '`tidegate dead replay --route NAME` sends it by a route of the present config.',
  },
};

export const outcomeWords: Readonly<Record<Outcome, string>> = {
  confirmed: 'The upstream has it, and said so.',
  buried: 'Kept as a dead letter.',
  evicted: 'Lost: the buffer was full, or it was too old, under `whenFull: dropOldest`.',
  expired: 'Its Message Expiry Interval (MQTT 5) was over before it could be delivered.',
  damaged: 'Lost: the disk gave back other bytes than were written.',
  skipped: 'Lost for this upstream: beyond its `lag` with `over: skip`.',
  sentOnce: 'Sent under `delivery: at-most-once`; nobody knows whether it arrived.',
};

/** `connectionRefused`: the reason, what it means and what to do. */
export const connectionWords: Readonly<Record<string, string>> = {
  connectTimeout: 'No whole CONNECT within 10 s.',
  keepAliveTimeout: 'Silent for longer than 1.5 × its Keep Alive: gone, or its network is.',
  takenOver: 'Another connection came with the same Client Identifier: two devices share one?',
  busy: 'Too many Wills wait for the disk; it comes again.',
  loginBusy: 'Too many log-ins at a time; it comes again.',
  badUserNameOrPassword: 'Not in the password file, or another password.',
  noNameInCertificate: '`identity: certificate`, and its certificate has no CN and no SAN.',
  willNotAllowed: 'No `allow` rule lets it publish its Will.',
  notAuthorized: 'No `allow` rule lets it publish there (versions before 5 are closed).',
  brokerDown: 'The broker behind the listener is away, and the device cannot be taken without it.',
  refusedByBroker: 'The broker behind closed the connection without an answer.',
  brokerMalformed: 'The broker behind sent what is no MQTT.',
  connackTooLarge: 'The broker’s CONNACK is larger than the device’s Maximum Packet Size.',
  partialPacketsBudget: 'Half-sent packets of all devices are over their budget; its was largest.',
  unreleasedFrames: 'Too many QoS 2 messages without PUBREL.',
  receiveMaximum: 'More unacknowledged messages than `receiveMaximum` grants.',
  acknowledgement: 'It acknowledged what it was not sent.',
  topicAliasInvalid: 'A Topic Alias that it never set.',
  connectionsMax: 'More than 10,000 connections.',
};

/** What stands behind `frameRefused`, and beside `configTooLarge` and `bufferDamaged`. */
export const faultWords: Readonly<Record<FaultName, string>> = {
  packetType: 'A packet type that does not exist (or AUTH before version 5).',
  packetFlags: 'Reserved bits of the first byte are set.',
  remainingLength: 'The Remaining Length is not one, or not of this packet.',
  packetTooLarge: 'Larger than `maxPacketSize` of the listener.',
  connectExpected: 'Something else came before CONNECT.',
  connectRepeated: 'A second CONNECT.',
  packetDirection: 'A packet that only a server sends.',
  fieldLength: 'A field reaches past the end of its packet.',
  excessBytes: 'Bytes behind the last field.',
  utf8: 'Text that is not UTF-8, or holds NUL.',
  topicNameEmpty: 'An empty Topic Name.',
  topicNameWildcard: '+ or # in a Topic Name.',
  qos: 'QoS 3.',
  dup: 'DUP on a QoS 0 message.',
  packetIdentifier: 'Packet Identifier 0.',
  propertyUnknown: 'A property that does not exist.',
  propertyRepeated: 'A property twice that may stand once.',
  propertyLength: 'The length of the properties does not fit.',
  propertyValue: 'A property with a value it cannot have.',
  topicAlias: 'Topic Alias 0, or above what was granted.',
  subscriptionIdentifier: 'A Subscription Identifier in a PUBLISH of a device.',
  responseTopic: 'A Response Topic that is empty or has wildcards.',
  protocolName: 'CONNECT of another protocol than MQTT.',
  protocolVersion: 'A version other than 3.1, 3.1.1 and 5.',
  connectFlags: 'Flags of CONNECT that contradict each other.',
  willTopic: 'A Will Topic that is empty or has wildcards.',
  topicFilter: 'A Topic Filter that is malformed, as a/#/b.',
  subscriptionOptions: 'Reserved bits of a subscription are set.',
  clientIdentifier: 'An empty Client Identifier without Clean Session.',
  requestIdentifier: 'SUBSCRIBE or UNSUBSCRIBE with Packet Identifier 0.',
  reasonCode: 'A Reason Code that this packet does not have.',
  propertyNotAllowed: 'A property of another packet.',
  propertyMissing: 'AUTH without its method.',
  authUnexpected: 'AUTH, although CONNECT named no method.',
  authExpected: 'Another packet while AUTH is due.',
  subscriptionEmpty: 'SUBSCRIBE or UNSUBSCRIBE without a Topic Filter.',
  subscriptionValue: 'QoS 3 or Retain Handling 3 in a SUBSCRIBE.',
  sharedSubscription: 'A shared subscription that is malformed.',
  sessionExpiry: 'DISCONNECT keeps a session that CONNECT did not.',
  disconnectReason: 'DISCONNECT with a reason that no client has.',
  credentials: 'User Name or Password cut short, or not UTF-8.',
  topicFilterEmpty: 'Config: an empty Topic Filter.',
  topicFilterWildcard: 'Config: a Topic Filter with a wildcard out of place.',
  trieFull: 'Config: more levels of Topic Filters than the core’s table holds.',
  routesFull: 'Config: more routes than the core’s table holds.',
  limitsFull: 'Config: more limits than the core’s table holds.',
  limitInvalid: 'Config: a limit that cannot be.',
  routeUnknown: 'Config: a rule for a route that is not there.',
  segmentMagic: 'Buffer: a body that is none.',
  segmentVersion: 'Buffer: a body of a newer version.',
  segmentFlags: 'Buffer: a body that is compressed or encrypted, by a newer version.',
  segmentLength: 'Buffer: a body of another length than it says.',
  segmentChecksum: 'Buffer: the checksum does not match: the disk changed bytes.',
  segmentFrames: 'Buffer: its events do not fill the body.',
  argument: 'A defect of tidegate.',
};
