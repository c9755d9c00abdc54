/**
 * The core's faults by name: the same closed list as `wasm-core/fault.ts` (a test compares them).
 * 1–49 are a device's bytes and cost its connection; 50–69 config; 70–79 a segment body that does
 * not hold; 80 the host's own mistake.
 */
export const faults = {
  packetType: 1,
  packetFlags: 2,
  remainingLength: 3,
  packetTooLarge: 4,
  connectExpected: 5,
  connectRepeated: 6,
  packetDirection: 7,
  fieldLength: 8,
  excessBytes: 9,
  utf8: 10,
  topicNameEmpty: 11,
  topicNameWildcard: 12,
  qos: 13,
  dup: 14,
  packetIdentifier: 15,
  propertyUnknown: 16,
  propertyRepeated: 17,
  propertyLength: 18,
  propertyValue: 19,
  topicAlias: 20,
  subscriptionIdentifier: 21,
  responseTopic: 22,
  protocolName: 23,
  protocolVersion: 24,
  connectFlags: 25,
  willTopic: 26,
  topicFilter: 27,
  subscriptionOptions: 28,
  clientIdentifier: 29,
  requestIdentifier: 30,
  reasonCode: 31,
  propertyNotAllowed: 32,
  propertyMissing: 33,
  authUnexpected: 34,
  authExpected: 35,
  subscriptionEmpty: 36,
  subscriptionValue: 37,
  sharedSubscription: 38,
  sessionExpiry: 39,
  disconnectReason: 40,
  credentials: 41,
  topicFilterEmpty: 50,
  topicFilterWildcard: 51,
  trieFull: 52,
  routesFull: 53,
  limitsFull: 54,
  limitInvalid: 55,
  routeUnknown: 56,
  segmentMagic: 70,
  segmentVersion: 71,
  segmentFlags: 72,
  segmentLength: 73,
  segmentChecksum: 74,
  segmentFrames: 75,
  argument: 80,
} as const;

export type FaultName = keyof typeof faults;

const names = new Map<number, FaultName>();
for (const [name, number] of Object.entries(faults)) names.set(number, name as FaultName);

/** @param number as `core.fault()` gives it, or the negation of what `routeAdd` returned */
export function faultName(number: number): FaultName | 'unknown' {
  return names.get(number) ?? 'unknown';
}
