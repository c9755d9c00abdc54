/**
 * Each other packet type for its extent and its first byte, of both directions; and what no
 * connection may send at this point. What is in their bodies: `control.ts`, `subscribe.ts`.
 */
import type { Vector } from './vector.ts';

function two(name: string, hex: string, type: number, packetIdentifier: number): Vector {
  return {
    name: `${name}, twice`,
    version: 5,
    bytes: `${hex}\n${hex}`,
    rows: [
      { type, packetIdentifier, start: 0, end: hex.length / 2, verdict: 0, route: -1 },
      { type, packetIdentifier, start: hex.length / 2, end: hex.length },
    ],
  };
}

const fromClient: readonly Vector[] = [
  two('PUBACK', '4002000a', 4, 10),
  two('PUBACK 5 with reason', '4004000b1000', 4, 11),
  two('PUBREC', '5002000c', 5, 12),
  two('PUBREL', '6202000d', 6, 13),
  two('PUBCOMP', '7002000e', 7, 14),
  two('SUBSCRIBE', '820a000f 00 0004706c6174 01'.replaceAll(' ', ''), 8, 15),
  two('UNSUBSCRIBE', 'a2090010 00 0004706c6174'.replaceAll(' ', ''), 10, 16),
  two('PINGREQ', 'c000', 12, 0),
];

const fromServer: readonly Vector[] = [
  two('PUBLISH down', '3206000161000a21', 3, 0),
  two('PUBACK down', '4002000a', 4, 10),
  two('SUBACK', '90040011 0001'.replaceAll(' ', ''), 9, 17),
  two('UNSUBACK', 'b0040012 0000'.replaceAll(' ', ''), 11, 18),
  two('PINGRESP', 'd000', 13, 0),
  two('DISCONNECT from the server', 'e0028b00', 14, 0),
].map((vector) => ({ ...vector, phase: 'down' as const }));

const faults: readonly Vector[] = [
  { name: 'packet type 0', version: 4, bytes: '00', fault: 'packetType' },
  { name: 'AUTH in 3.1.1', version: 4, bytes: 'f000', fault: 'packetType' },
  { name: 'PUBACK with a flag [MQTT-2.1.3-1]', version: 4, bytes: '4100', fault: 'packetFlags' },
  { name: 'PUBREL without 0010', version: 4, bytes: '6000', fault: 'packetFlags' },
  { name: 'SUBSCRIBE without 0010', version: 4, bytes: '8000', fault: 'packetFlags' },
  { name: 'SUBSCRIBE with 0011', version: 5, bytes: '8300', fault: 'packetFlags' },
  { name: 'UNSUBSCRIBE without 0010', version: 4, bytes: 'a000', fault: 'packetFlags' },
  { name: 'PINGREQ with a flag', version: 4, bytes: 'c800', fault: 'packetFlags' },
  { name: 'DISCONNECT with a flag', version: 5, bytes: 'e100', fault: 'packetFlags' },
  { name: 'CONNACK from a client', version: 4, bytes: '2000', fault: 'packetDirection' },
  { name: 'CONNACK from a client, flagged', version: 5, bytes: '2100', fault: 'packetDirection' },
  { name: 'PINGRESP from a client, flagged', version: 5, bytes: 'd100', fault: 'packetFlags' },
  { name: 'SUBACK from a client', version: 4, bytes: '9000', fault: 'packetDirection' },
  { name: 'UNSUBACK from a client', version: 4, bytes: 'b000', fault: 'packetDirection' },
  { name: 'PINGRESP from a client', version: 4, bytes: 'd000', fault: 'packetDirection' },
  {
    name: 'CONNECT from a server',
    version: 4,
    phase: 'down',
    bytes: '1000',
    fault: 'packetDirection',
  },
  {
    name: 'SUBSCRIBE from a server',
    version: 4,
    phase: 'down',
    bytes: '8200',
    fault: 'packetDirection',
  },
  {
    name: 'PINGREQ from a server',
    version: 4,
    phase: 'down',
    bytes: 'c000',
    fault: 'packetDirection',
  },
  {
    name: 'PINGREQ before CONNECT [MQTT-3.1.0-1]',
    version: 0,
    phase: 'first',
    bytes: 'c0',
    fault: 'connectExpected',
  },
  {
    name: 'PUBLISH before CONNECT',
    version: 0,
    phase: 'first',
    bytes: '30',
    fault: 'connectExpected',
  },
  { name: 'type 0 before CONNECT', version: 0, phase: 'first', bytes: '00', fault: 'packetType' },
  { name: 'a second one [MQTT-3.1.0-2]', version: 4, bytes: '1000', fault: 'connectRepeated' },
  {
    name: 'a PUBLISH behind PINGREQ is found and its fault is its own',
    version: 4,
    bytes: `
      c000                PINGREQ
      3600                PUBLISH, QoS 3`,
    rows: [{ type: 12, start: 0, end: 2 }],
    fault: 'qos',
  },
  {
    name: 'what follows CONNECT in the same bytes is taken in its version',
    version: 0,
    phase: 'first',
    bytes: `
      100c                CONNECT, Remaining Length 12
      00044d51545404      MQTT, level 4
      02003c0000          Clean Session, 60 s, no Client Identifier
      3003000161          PUBLISH a
      f000                AUTH, which 3.1.1 does not have`,
    rows: [
      { type: 1, topicAlias: 4 },
      { type: 3, topicName: '61' },
    ],
    fault: 'packetType',
  },
];

export const packetVectors: readonly Vector[] = [...fromClient, ...fromServer, ...faults];
