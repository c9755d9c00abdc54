/**
 * CONNECT and CONNACK of all versions [MQTT-3.1, 3.2], byte by byte: what must be taken, and what
 * must be refused with which fault.
 */
import { hexOf, type Vector } from './vector.ts';

const plain = '00044d515454';
/** MQIsdp 3, User Name, Password, Clean Session, 5 s, Client Identifier a. */
const oldWithoutNames = '00064d5149736470 03 c2 0005 000161';
/** Will Delay Interval 1 and Message Expiry Interval 1 on w. */
const willOfOtherProperties = `${plain} 05 06 003c 00 000161 0a 1800000001 0200000001 000177 0000`;

/** A CONNECT of a body given in hex. */
function connect(name: string, fields: string, expected: Pick<Vector, 'rows' | 'fault'>): Vector {
  const body = fields.replaceAll(/\s/g, '');
  const remaining = (body.length / 2).toString(16).padStart(2, '0');
  return {
    name,
    version: 0,
    phase: 'first',
    bytes: `10 CONNECT\n${remaining}\n${body}`,
    ...expected,
  };
}

export const connectVectors: readonly Vector[] = [
  {
    name: 'CONNECT 3.1.1 with Will, user name and password',
    version: 0,
    phase: 'first',
    bytes: `
      10                  CONNECT
      21                  Remaining Length 33
      00044d515454        Protocol Name MQTT
      04                  level 4
      ee                  user name, password, Will RETAIN, Will QoS 1, Will, Clean Session
      003c                Keep Alive 60 s
      0004                Client Identifier: 4 bytes
      64657631            dev1
      0003                Will Topic: 3 bytes
      772f31              w/1
      0002                Will Message: 2 bytes
      00ff                any bytes
      0001                User Name: 1 byte
      75                  u
      0003                Password: 3 bytes
      00fffe              any bytes`,
    rows: [
      {
        type: 1,
        firstByte: 0xee,
        packetIdentifier: 60,
        topicAlias: 4,
        topicName: hexOf('dev1'),
        verdict: 0,
        route: -1,
      },
    ],
  },
  {
    name: 'CONNECT 5 with every property, and a Will with every property',
    version: 0,
    phase: 'first',
    bytes: `
      10                  CONNECT
      69                  Remaining Length 105
      00044d515454        Protocol Name MQTT
      05                  level 5
      04                  Will
      000a                Keep Alive 10 s
      2f                  Property Length 47
      1100000e10          Session Expiry Interval 3600
      21000a              Receive Maximum 10
      2700010000          Maximum Packet Size 65536
      22000a              Topic Alias Maximum 10
      1901                Request Response Information 1
      1700                Request Problem Information 0
      26000161000162      User Property a: b
      26000161000163      User Property a: c
      150005534352414d    Authentication Method SCRAM
      160002beef          Authentication Data
      0002                Client Identifier: 2 bytes
      6431                d1
      21                  Will Property Length 33
      0101                Payload Format Indicator 1
      020000003c          Message Expiry Interval 60
      180000000a          Will Delay Interval 10
      0300017a            Content Type z
      080003722f74        Response Topic r/t
      09000100            Correlation Data 00
      26000161000162      User Property a: b
      0003                Will Topic: 3 bytes
      772f31              w/1
      0002                Will Payload: 2 bytes
      6869                hi`,
    rows: [{ topicAlias: 5, firstByte: 4, packetIdentifier: 10, topicName: hexOf('d1') }],
  },
  connect('CONNECT 3.1', `00064d514973647003 02 0005 0001 61`, {
    rows: [{ topicAlias: 3, firstByte: 2, packetIdentifier: 5, topicName: '61' }],
  }),
  connect('CONNECT 5, password without a user name', `${plain}05 42 0000 00 0000 0001 70`, {
    rows: [{ topicAlias: 5, topicName: '', firstByte: 0x42 }],
  }),
  connect('a Protocol Name that is not MQTT [MQTT-3.1.2-1]', '00044d515458 04 02 003c 0000', {
    fault: 'protocolName',
  }),
  connect('MQIsdp with level 4', '00064d5149736470 04 02 003c 0000', { fault: 'protocolVersion' }),
  connect('MQTT with level 3', `${plain} 03 02 003c 0000`, { fault: 'protocolVersion' }),
  connect('MQTT with level 6', `${plain} 06 02 003c 00 0000`, { fault: 'protocolVersion' }),
  connect('a bridge’s level 0x84', `${plain} 84 02 003c 0000`, { fault: 'protocolVersion' }),
  connect('nothing', '', { fault: 'fieldLength' }),
  connect('no Keep Alive', `${plain} 04 02 00`, { fault: 'fieldLength' }),
  connect('no Client Identifier', `${plain} 04 02 003c`, { fault: 'fieldLength' }),
  connect('reserved flag [MQTT-3.1.2-3]', `${plain} 04 03 003c 0000`, { fault: 'connectFlags' }),
  connect('Will QoS 3 [MQTT-3.1.2-12]', `${plain} 04 1e 003c 0000 000161 0000`, {
    fault: 'connectFlags',
  }),
  connect('Will QoS without Will [MQTT-3.1.2-11]', `${plain} 04 0a 003c 0000`, {
    fault: 'connectFlags',
  }),
  connect('Will RETAIN without Will [MQTT-3.1.2-13]', `${plain} 05 22 003c 00 0000`, {
    fault: 'connectFlags',
  }),
  connect('password without user name, 3.1.1 [MQTT-3.1.2-22]', `${plain} 04 42 003c 0000 0000`, {
    fault: 'connectFlags',
  }),
  connect('Client Identifier with NUL', `${plain} 04 02 003c 000100`, { fault: 'utf8' }),
  connect('Client Identifier longer than the packet', `${plain} 04 02 003c 000261`, {
    fault: 'fieldLength',
  }),
  connect('Will Topic with a wildcard', `${plain} 04 06 003c 0000 00012b 0000`, {
    fault: 'willTopic',
  }),
  connect('Will Topic empty', `${plain} 04 06 003c 0000 0000 0000`, { fault: 'willTopic' }),
  connect('Will Topic not UTF-8', `${plain} 04 06 003c 0000 0001c0 0000`, { fault: 'utf8' }),
  connect('Will without a message', `${plain} 04 06 003c 0000 000161`, { fault: 'fieldLength' }),
  connect('3.1, whose unused bits say nothing', `00064d51497364700321 0005 000161`, {
    rows: [{ topicAlias: 3, firstByte: 0x21 }],
  }),
  connect('3.1, without the User Name and Password its flags announce', oldWithoutNames, {
    rows: [{ topicAlias: 3, firstByte: 0xc2 }],
  }),
  connect('3.1, with a User Name and without the Password', `${oldWithoutNames}000175`, {
    rows: [{ topicAlias: 3, firstByte: 0xc2 }],
  }),
  connect('3.1, with half a Password', `${oldWithoutNames}00017500`, { fault: 'credentials' }),
  connect('3.1, password without user name', '00064d514973647003 42 0005 000161 000170', {
    fault: 'connectFlags',
  }),
  connect('3.1, empty Client Identifier', '00064d514973647003 02 0005 0000', {
    fault: 'clientIdentifier',
  }),
  connect('empty Client Identifier with Clean Session', `${plain} 04 02 003c 0000`, {
    rows: [{ topicAlias: 4, topicName: '', authenticates: false, sessionEnds: false }],
  }),
  connect('empty Client Identifier without it [MQTT-3.1.3-8]', `${plain} 04 00 003c 0000`, {
    fault: 'clientIdentifier',
  }),
  connect('5, empty Client Identifier without Clean Start', `${plain} 05 00 003c 00 0000`, {
    rows: [{ topicAlias: 5, topicName: '', sessionEnds: true }],
  }),
  connect('5, Session Expiry Interval 0', `${plain} 05 02 003c 05 1100000000 000161`, {
    rows: [{ sessionEnds: true, authenticates: false }],
  }),
  connect(
    '5, Session Expiry Interval 1 and an Authentication Method',
    `${plain} 05 02 003c 09 1100000001 15000161 000161`,
    { rows: [{ sessionEnds: false, authenticates: true }] },
  ),
  connect('5, the same of a Will do not count', willOfOtherProperties, {
    rows: [{ sessionEnds: true, authenticates: false }],
  }),
  connect('user name missing', `${plain} 04 82 003c 0000`, { fault: 'credentials' }),
  connect('user name not UTF-8', `${plain} 04 82 003c 0000 0001ff`, { fault: 'credentials' }),
  connect('password longer than the packet', `${plain} 04 c2 003c 0000 000175 000270`, {
    fault: 'credentials',
  }),
  connect('bytes behind the last field', `${plain} 04 02 003c 0000 00`, { fault: 'excessBytes' }),
  connect('5, properties beyond the packet', `${plain} 05 02 003c 09 0000`, {
    fault: 'fieldLength',
  }),
  connect('5, Receive Maximum 0', `${plain} 05 02 003c 03 210000 0000`, { fault: 'propertyValue' }),
  connect('5, Maximum Packet Size 0', `${plain} 05 02 003c 05 2700000000 0000`, {
    fault: 'propertyValue',
  }),
  connect('5, Request Problem Information 2', `${plain} 05 02 003c 02 1702 0000`, {
    fault: 'propertyValue',
  }),
  connect('5, Authentication Data without Method', `${plain} 05 02 003c 04 160001ff 0000`, {
    fault: 'propertyValue',
  }),
  connect('5, a PUBLISH’s property', `${plain} 05 02 003c 03 230001 0000`, {
    fault: 'propertyNotAllowed',
  }),
  connect(
    '5, a CONNECT’s property in the Will',
    `${plain} 05 06 003c 00 0000 03 21000a 000161 0000`,
    {
      fault: 'propertyNotAllowed',
    },
  ),
  connect('5, Session Expiry Interval twice', `${plain} 05 02 003c 0a 1100000001 1100000001 0000`, {
    fault: 'propertyRepeated',
  }),
  ...['11', '12', '14', '18'].map(
    (first): Vector => ({
      name: `reserved bits of the first byte, ${first} [MQTT-2.2.2-2]`,
      version: 0,
      phase: 'first',
      bytes: `${first} CONNECT\n0d Remaining Length 13\n${plain} MQTT\n0402003c000161`,
      fault: 'packetFlags',
    }),
  ),
  {
    name: '3.1 leaves QoS of a CONNECT unused',
    version: 0,
    phase: 'first',
    bytes: '12 CONNECT\n0f Remaining Length 15\n00064d5149736470 MQIsdp\n0302003c000161',
    rows: [{ topicAlias: 3, topicName: '61' }],
  },
  {
    name: 'CONNACK 3.1.1, Session Present, accepted',
    version: 4,
    phase: 'down',
    bytes: `
      20                  CONNACK
      02                  Remaining Length 2
      01                  Session Present
      00                  return code 0`,
    rows: [{ type: 2, firstByte: 1, packetIdentifier: 0 }],
  },
  {
    name: 'CONNACK 5 with properties',
    version: 5,
    phase: 'down',
    bytes: `
      20                  CONNACK
      0b                  Remaining Length 11
      00                  no session
      87                  reason code: not authorized
      08                  Property Length 8
      21000a              Receive Maximum 10
      130005              Server Keep Alive 5 s
      2501                Retain Available`,
    rows: [{ type: 2, firstByte: 0, packetIdentifier: 0x87, properties: '21000a1300052501' }],
  },
  {
    name: 'CONNACK of one byte',
    version: 4,
    phase: 'down',
    bytes: '20 CONNACK\n01 Remaining Length 1\n00',
    fault: 'fieldLength',
  },
  {
    name: 'CONNACK 5 whose properties pass its end',
    version: 5,
    phase: 'down',
    bytes: '20 CONNACK\n03 Remaining Length 3\n0000 accepted\n05 Property Length 5',
    fault: 'fieldLength',
  },
];
