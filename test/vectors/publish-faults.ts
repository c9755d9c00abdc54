/**
 * PUBLISH packets that must be refused, and with which fault [MQTT-3.3]. `faultAfter` says with how
 * many bytes the fault must be known at the latest, where that is before the packet is whole.
 */
import type { Vector } from './vector.ts';

export const publishFaults: readonly Vector[] = [
  {
    name: 'QoS 3 [MQTT-3.3.1-4]',
    version: 4,
    bytes: '3600 PUBLISH, QoS 3',
    fault: 'qos',
  },
  {
    name: 'DUP with QoS 0 [MQTT-3.3.1-2]',
    version: 4,
    bytes: '3800 PUBLISH, DUP, QoS 0',
    fault: 'dup',
  },
  {
    name: 'Remaining Length of five bytes',
    version: 4,
    bytes: `
      30                  PUBLISH
      ffffffff            Remaining Length: four bytes, each says more follows`,
    fault: 'remainingLength',
  },
  {
    name: 'Remaining Length with a byte it does not need [MQTT-1.5.5-1]',
    version: 4,
    bytes: `
      30                  PUBLISH
      8700                Remaining Length 7 in two bytes`,
    fault: 'remainingLength',
  },
  {
    name: 'Remaining Length of 256 MiB is refused with its last byte',
    version: 4,
    bytes: `
      30                  PUBLISH
      ffffff7f            Remaining Length 268,435,455
      00                  the first byte of it`,
    fault: 'packetTooLarge',
    faultAfter: 5,
  },
  {
    name: 'Remaining Length 1: no room for the Topic Name’s length',
    version: 4,
    bytes: `
      30                  PUBLISH
      01                  Remaining Length 1
      00                  half a length`,
    fault: 'fieldLength',
  },
  {
    name: 'Topic Name longer than the packet',
    version: 4,
    bytes: `
      30                  PUBLISH
      05                  Remaining Length 5
      0004                Topic Name: 4 bytes
      706c61              three of them`,
    fault: 'fieldLength',
  },
  {
    name: 'QoS 1 without room for a Packet Identifier',
    version: 4,
    bytes: `
      32                  PUBLISH, QoS 1
      04                  Remaining Length 4
      0001                Topic Name: 1 byte
      61                  a
      00                  half a Packet Identifier`,
    fault: 'fieldLength',
  },
  {
    name: 'Packet Identifier 0 [MQTT-2.2.1-3]',
    version: 4,
    bytes: `
      32                  PUBLISH, QoS 1
      05                  Remaining Length 5
      0001                Topic Name: 1 byte
      61                  a
      0000                Packet Identifier 0`,
    fault: 'packetIdentifier',
  },
  {
    name: 'Topic Name whose last character only the payload would complete, two bytes',
    version: 4,
    bytes: `
      30                  PUBLISH
      04                  Remaining Length 4
      0001                Topic Name: 1 byte
      c3                  the first of two
      bc                  payload: the second`,
    fault: 'utf8',
  },
  {
    name: 'Topic Name whose last character only the payload would complete, four bytes',
    version: 4,
    bytes: `
      30                  PUBLISH
      06                  Remaining Length 6
      0003                Topic Name: 3 bytes
      f09f8c              three of four
      8a                  payload: the fourth`,
    fault: 'utf8',
  },
  {
    name: 'empty Topic Name, 3.1.1 [MQTT-4.7.3-1]',
    version: 4,
    bytes: `
      30                  PUBLISH
      02                  Remaining Length 2
      0000                Topic Name: empty`,
    fault: 'topicNameEmpty',
  },
  {
    name: 'empty Topic Name without a Topic Alias, 5',
    version: 5,
    bytes: `
      30                  PUBLISH
      03                  Remaining Length 3
      0000                Topic Name: empty
      00                  Property Length 0`,
    fault: 'topicNameEmpty',
  },
  ...[
    ['+ as a level', '612f2b'],
    ['# as a level', '612f23'],
    ['+ inside a level', '61622b'],
    ['# behind eight plain bytes', '616161616161616123'],
    ['+ as the last of eight bytes', '616161616161612b'],
  ].map(
    ([what, hex = '']): Vector =>
      topicFault(`Topic Name with ${what} [MQTT-3.3.2-2]`, hex, 'topicNameWildcard'),
  ),
  ...[
    ['NUL [MQTT-1.5.4-2]', '610062'],
    ['NUL behind eight plain bytes', '616161616161616100'],
    ['NUL as the first of eight bytes', '0061616161616161'],
    ['a continuation byte alone', '8061'],
    ['a sequence of two bytes cut short', '61c3'],
    ['a sequence of three bytes cut short', 'e282'],
    ['a sequence of four bytes cut short', 'f09f8c'],
    ['an overlong form of two bytes', 'c0af'],
    ['another of two bytes', 'c1bf'],
    ['an overlong form of three bytes', 'e09fbf'],
    ['an overlong form of four bytes', 'f08fbfbf'],
    ['an overlong NUL', 'c080'],
    ['the first surrogate', 'eda080'],
    ['the last surrogate', 'edbfbf'],
    ['a code point above U+10FFFF', 'f4908080'],
    ['a byte no UTF-8 has', 'f5808080'],
    ['0xFF', 'ff'],
    ['a second byte that does not continue', 'c361'],
    ['a third byte that does not continue', 'e28261'],
    ['a fourth byte that does not continue', 'f09f8c61'],
  ].map(
    ([what, hex = '']): Vector => topicFault(`Topic Name with ${what} [MQTT-1.5.4-1]`, hex, 'utf8'),
  ),
  ...(
    [
      ['no Property Length', '', 'fieldLength'],
      ['a Property Length beyond the packet', '05 260000 00', 'fieldLength'],
      ['a Property Length of five bytes', 'ffffffff01', 'propertyLength'],
      ['a Property Length with a byte too many', '8000', 'propertyLength'],
      ['a property that no packet has', '0204 00', 'propertyUnknown'],
      ['an identifier of more than one byte', '02 8101', 'propertyUnknown'],
      ['a CONNECT’s property (Session Expiry Interval)', '051100000001', 'propertyNotAllowed'],
      ['a Will’s property (Will Delay Interval)', '051800000001', 'propertyNotAllowed'],
      ['a Subscription Identifier [MQTT-3.3.4-6]', '020b01', 'subscriptionIdentifier'],
      ['Payload Format Indicator twice', '0401010101', 'propertyRepeated'],
      ['Message Expiry Interval twice', '0a02000000010200000001', 'propertyRepeated'],
      ['Topic Alias twice', '06230001230001', 'propertyRepeated'],
      ['Response Topic twice', '0a 080002612f 080002612f', 'propertyRepeated'],
      ['Correlation Data twice', '08 09000161 09000162', 'propertyRepeated'],
      ['Content Type twice', '08 03000161 03000162', 'propertyRepeated'],
      ['Payload Format Indicator 2', '020102', 'propertyValue'],
      ['Payload Format Indicator without a value', '0101', 'propertyLength'],
      ['Message Expiry Interval cut short', '0402000000', 'propertyLength'],
      ['Topic Alias cut short', '022300', 'propertyLength'],
      ['Topic Alias 0 [MQTT-3.3.2-8]', '03230000', 'topicAlias'],
      ['Content Type longer than the properties', '04 03000261', 'propertyLength'],
      ['Content Type with NUL', '04 03000100', 'utf8'],
      ['Response Topic with a wildcard [MQTT-3.3.2-14]', '05 080002612b', 'responseTopic'],
      ['Response Topic empty [MQTT-4.7.3-1]', '03080000', 'responseTopic'],
      ['Response Topic not UTF-8', '040800 01ff', 'utf8'],
      ['Correlation Data cut short', '04 09000261', 'propertyLength'],
      ['Correlation Data without its whole length', '020900', 'propertyLength'],
      ['User Property without its value', '04 26000161', 'propertyLength'],
      ['User Property whose name is not UTF-8', '06 260001c00000', 'utf8'],
      ['User Property whose value is a surrogate', '08 2600000003eda080', 'utf8'],
    ] as const
  ).map(([what, hex, fault]): Vector => propertyFault(what, hex.replaceAll(' ', ''), fault)),
];

function length(hex: string): string {
  return (hex.length / 2).toString(16).padStart(2, '0');
}

function topicFault(name: string, hex: string, fault: NonNullable<Vector['fault']>): Vector {
  const field = `00${length(hex)}${hex}`;
  return {
    name,
    version: 4,
    bytes: `
      30                  PUBLISH
      ${length(field)}    Remaining Length
      ${field}            Topic Name`,
    fault,
  };
}

function propertyFault(what: string, hex: string, fault: NonNullable<Vector['fault']>): Vector {
  return {
    name: `5, ${what}`,
    version: 5,
    bytes: `
      30                  PUBLISH
      ${length(`000161${hex}`)} Remaining Length
      0001                Topic Name: 1 byte
      61                  a
      ${hex}`,
    fault,
  };
}
