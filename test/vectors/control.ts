/**
 * The bodies of a client's packets without a message [MQTT-3.4 to 3.7, 3.12, 3.14, 3.15]: what
 * version 5 allows there, and that the versions before it have nothing more to say.
 */
import { ingestFlags } from '../../agent/frames/core.ts';
import { hexOf, type Vector } from './vector.ts';

const { auth, authPending, sessionEnds } = ingestFlags;
const lastTable = 0xff;

type Expected = Pick<Vector, 'rows' | 'fault' | 'flags'>;

/** A packet of a first byte and a body, in hex. */
function packet(name: string, version: 3 | 4 | 5, hex: string, expected: Expected): Vector {
  const [first = '', ...fields] = hex.split(' ');
  const body = fields.join('');
  const remaining = (body.length / 2).toString(16).padStart(2, '0');
  return { name, version, bytes: `${first}\n${remaining} Remaining Length\n${body}`, ...expected };
}

/** Reason String x, User Properties a: b and a: c (18 bytes). */
const reasonAndUser = `1f000178${'26000161000162'}${'26000161000163'}`;

const byteOf = (value: number): string => value.toString(16).padStart(2, '0');

/** PUBACK, PUBREC, PUBREL, PUBCOMP by their first byte, and the Reason Codes each may have. */
const received = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
const released = [0x00, 0x92];
const acknowledging: readonly [name: string, first: string, codes: readonly number[]][] = [
  ['PUBACK', '40', received],
  ['PUBREC', '50', received],
  ['PUBREL', '62', released],
  ['PUBCOMP', '70', released],
];

const acknowledgements = acknowledging.flatMap(([name, first, codes]): Vector[] => {
  const type = Number.parseInt(first, 16) >> 4;
  const taken = { rows: [{ type, packetIdentifier: 0x0102, verdict: 0 }] };
  const of = (what: string, body: string, expected: Expected): Vector =>
    packet(`5, ${name} ${what}`, 5, `${first} ${body}`, expected);
  return [
    packet(`${name} of one byte`, 4, `${first} 01`, { fault: 'fieldLength' }),
    packet(`${name} of nothing`, 3, `${first}`, { fault: 'fieldLength' }),
    packet(`${name} with Packet Identifier 0`, 4, `${first} 0000`, { fault: 'packetIdentifier' }),
    packet(`${name} of three bytes before version 5`, 4, `${first} 0102 00`, {
      fault: 'excessBytes',
    }),
    of('with Packet Identifier 0', '0000', { fault: 'packetIdentifier' }),
    of('with nothing left out', '0102 00 00', taken),
    of('with a Reason String and User Properties', `0102 00 12 ${reasonAndUser}`, taken),
    of('with two Reason Strings', '0102 00 08 1f000161 1f000162', { fault: 'propertyRepeated' }),
    of('with a property of PUBLISH', '0102 00 03 230001', { fault: 'propertyNotAllowed' }),
    of('with a property no packet has', '0102 00 02 0400', { fault: 'propertyUnknown' }),
    of('with a Reason String cut short', '0102 00 03 1f0001', { fault: 'propertyLength' }),
    of('with properties beyond its end', '0102 00 01', { fault: 'fieldLength' }),
    of('with a byte behind the properties', '0102 00 00 00', { fault: 'excessBytes' }),
    ...Array.from({ length: lastTable + 1 }, (_, code) => code)
      .filter((code) => codes.includes(code) || code % 16 === 2 || code === lastTable)
      .map((code) =>
        of(
          `with Reason Code ${byteOf(code)}`,
          `0102 ${byteOf(code)}`,
          codes.includes(code) ? taken : { fault: 'reasonCode' },
        ),
      ),
  ];
});

const repeated31: readonly Vector[] = [
  packet('3.1, PUBREL sent again', 3, '6a 0007', { rows: [{ type: 6, packetIdentifier: 7 }] }),
  packet('3.1, SUBSCRIBE sent again', 3, '8a 0007 000161 00', { rows: [{ type: 8 }] }),
  packet('3.1, UNSUBSCRIBE sent again', 3, 'aa 0007 000161', { rows: [{ type: 10 }] }),
  packet('3.1, PUBACK sent again', 3, '48 0007', { fault: 'packetFlags' }),
  packet('3.1.1, PUBREL sent again', 4, '6a 0007', { fault: 'packetFlags' }),
  packet('3.1, PUBREL with RETAIN', 3, '63 0007', { fault: 'packetFlags' }),
];

const pings: readonly Vector[] = ([3, 4, 5] as const).map((version) =>
  packet(`PINGREQ with a byte, version ${version}`, version, 'c0 00', { fault: 'remainingLength' }),
);

const byClient = [
  0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
];
const byServer = [
  0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
];

const disconnects: readonly Vector[] = [
  ...([3, 4, 5] as const).map((version) => ({
    name: `what stands behind DISCONNECT is not read, version ${version} [MQTT-3.14.4-1]`,
    version,
    bytes: `
      c000                PINGREQ
      e000                DISCONNECT
      3009                PUBLISH, Remaining Length 9
      0007706c616e742f61  plant/a
      00                  type 0`,
    rows: [{ type: 12 }, { type: 14, packetIdentifier: 0, start: 2, end: 4 }],
  })),
  packet('DISCONNECT with a byte before version 5', 4, 'e0 00', { fault: 'excessBytes' }),
  ...byClient.map((code) =>
    packet(`5, DISCONNECT with Reason Code ${byteOf(code)}`, 5, `e0 ${byteOf(code)}`, {
      rows: [{ type: 14, packetIdentifier: code }],
    }),
  ),
  ...[...byServer, 0x01, 0x05, 0x24, 0x64, 0xe4, 0xff].map((code) =>
    packet(`5, DISCONNECT with Reason Code ${byteOf(code)}`, 5, `e0 ${byteOf(code)}`, {
      fault: 'disconnectReason',
    }),
  ),
  packet('5, DISCONNECT with every property', 5, `e0 04 17 11ffffffff ${reasonAndUser}`, {
    rows: [{ type: 14, packetIdentifier: 4 }],
  }),
  packet(
    '5, DISCONNECT with Session Expiry Interval twice',
    5,
    `e0 00 0a ${'1100000000'.repeat(2)}`,
    {
      fault: 'propertyRepeated',
    },
  ),
  packet('5, DISCONNECT with an Authentication Method', 5, 'e0 00 04 15000161', {
    fault: 'propertyNotAllowed',
  }),
  packet('5, DISCONNECT with a Subscription Identifier', 5, 'e0 00 02 0b01', {
    fault: 'propertyNotAllowed',
  }),
  packet('5, DISCONNECT with a byte behind the properties', 5, 'e0 00 00 00', {
    fault: 'excessBytes',
  }),
  packet('5, DISCONNECT that keeps what CONNECT did not', 5, 'e0 00 05 1100000001', {
    flags: sessionEnds,
    fault: 'sessionExpiry',
  }),
  packet('5, DISCONNECT that ends what CONNECT ends', 5, 'e0 00 05 1100000000', {
    flags: sessionEnds,
    rows: [{ type: 14 }],
  }),
  packet('5, DISCONNECT that keeps longer what CONNECT kept', 5, 'e0 00 05 1100000001', {
    rows: [{ type: 14 }],
  }),
  packet('5, DISCONNECT without properties where none were before', 5, 'e0 00', {
    flags: sessionEnds,
    rows: [{ type: 14 }],
  }),
];

const method = '15000161';

const auths: readonly Vector[] = [
  packet('AUTH that goes on', 5, `f0 18 0b ${method} 160001ff 1f0000`, {
    flags: auth,
    rows: [{ type: 15, packetIdentifier: 0x18 }],
  }),
  packet('AUTH that begins anew', 5, `f0 19 04 ${method}`, {
    flags: auth,
    rows: [{ type: 15, packetIdentifier: 0x19 }],
  }),
  packet('AUTH that begins anew before CONNACK', 5, `f0 19 04 ${method}`, {
    flags: auth | authPending,
    fault: 'reasonCode',
  }),
  packet('AUTH with a server’s Reason Code', 5, `f0 00 04 ${method}`, {
    flags: auth,
    fault: 'reasonCode',
  }),
  packet('AUTH of nothing is a server’s success', 5, 'f0', { flags: auth, fault: 'reasonCode' }),
  packet('AUTH without properties', 5, 'f0 18', { flags: auth, fault: 'propertyMissing' }),
  packet('AUTH with no property', 5, 'f0 18 00', { flags: auth, fault: 'propertyMissing' }),
  packet('AUTH without Authentication Method', 5, 'f0 18 03 1f0000', {
    flags: auth,
    fault: 'propertyMissing',
  }),
  packet('AUTH with Authentication Data alone', 5, 'f0 18 04 160001ff', {
    flags: auth,
    fault: 'propertyValue',
  }),
  packet('AUTH with two Authentication Methods', 5, `f0 18 08 ${method}${method}`, {
    flags: auth,
    fault: 'propertyRepeated',
  }),
  packet('AUTH with a flag [MQTT-3.15.1-1]', 5, `f1 18 04 ${method}`, {
    flags: auth,
    fault: 'packetFlags',
  }),
  packet('AUTH nobody asked for [MQTT-4.12.0-7]', 5, `f0 18 04 ${method}`, {
    fault: 'authUnexpected',
  }),
  packet('PINGREQ before CONNACK [MQTT-3.1.2-30]', 5, 'c0', {
    flags: auth | authPending,
    fault: 'authExpected',
  }),
  packet('PUBLISH before CONNACK [MQTT-3.1.2-30]', 5, '30 000161 00', {
    flags: auth | authPending,
    fault: 'authExpected',
  }),
  packet('DISCONNECT before CONNACK', 5, 'e0', {
    flags: auth | authPending,
    rows: [{ type: 14, packetIdentifier: 0 }],
  }),
  {
    name: 'AUTH behind a CONNECT that names its method, and behind one that does not',
    version: 0,
    phase: 'first',
    bytes: `
      1012                CONNECT, Remaining Length 18
      00044d51545405      MQTT, level 5
      02003c              Clean Start, 60 s
      0415000161          Authentication Method a
      000164              Client Identifier d
      f006                AUTH
      180415000161        it goes on
      e0020000            DISCONNECT`,
    rows: [{ type: 1, authenticates: true, topicName: hexOf('d') }, { type: 15 }, { type: 14 }],
  },
];

export const controlVectors: readonly Vector[] = [
  ...acknowledgements,
  ...repeated31,
  ...pings,
  ...disconnects,
  ...auths,
];
