/**
 * SUBSCRIBE and UNSUBSCRIBE of all versions [MQTT-3.8, MQTT-3.10]: filters level by level, shares,
 * options, properties.
 */
import { hexOf, type Vector } from './vector.ts';

type Expected = Pick<Vector, 'rows' | 'fault'>;
const taken: Expected = { rows: [{ packetIdentifier: 7, verdict: 0 }] };

const lengthOf = (hex: string, bytes: number): string =>
  (hex.length / 2).toString(16).padStart(bytes * 2, '0');

/** A Topic Filter with its length. */
const filter = (text: string): string => `${lengthOf(hexOf(text), 2)}${hexOf(text)}`;

function packet(
  name: string,
  version: 3 | 4 | 5,
  first: string,
  body: string,
  how: Expected,
): Vector {
  const hex = body.replaceAll(' ', '');
  return { name, version, bytes: `${first}\n${lengthOf(hex, 1)} Remaining Length\n${hex}`, ...how };
}

const subscribe = (name: string, version: 3 | 4 | 5, body: string, how: Expected): Vector =>
  packet(`${version}, SUBSCRIBE ${name}`, version, '82', body, how);
const unsubscribe = (name: string, version: 3 | 4 | 5, body: string, how: Expected): Vector =>
  packet(`${version}, UNSUBSCRIBE ${name}`, version, 'a2', body, how);

const filters = (
  [
    ['a', null],
    ['/', null],
    ['#', null],
    ['+', null],
    ['a/+/b/#', null],
    ['+/+/', null],
    ['$SYS/#', null],
    ['a//b', null],
    ['', 'topicFilter'],
    ['a/+b', 'topicFilter'],
    ['a+/b', 'topicFilter'],
    ['a#', 'topicFilter'],
    ['a/#/b', 'topicFilter'],
    ['#/', 'topicFilter'],
    ['++', 'topicFilter'],
  ] as const
).flatMap(([text, fault]): Vector[] => {
  const how = fault === null ? taken : { fault };
  return ([4, 5] as const).flatMap((version) => {
    const head = version === 5 ? '0007 00' : '0007';
    return [
      subscribe(`'${text}'`, version, `${head} ${filter(text)} 01`, how),
      unsubscribe(`'${text}'`, version, `${head} ${filter(text)}`, how),
    ];
  });
});

const shares = (
  [
    ['$share/group/a', null],
    ['$share/g/+/#', null],
    ['$share/g//', null],
    ['$share', null],
    ['$shared//', null],
    ['$Share//a', null],
    ['share//', null],
    ['$share/', 'sharedSubscription'],
    ['$share//a', 'sharedSubscription'],
    ['$share/g', 'sharedSubscription'],
    ['$share/g/', 'sharedSubscription'],
    ['$share/+/a', 'sharedSubscription'],
    ['$share/#', 'sharedSubscription'],
    ['$share/#/a', 'topicFilter'],
    ['$share/g+/a', 'topicFilter'],
    ['$share/g/a#', 'topicFilter'],
  ] as const
).flatMap(([text, fault]): Vector[] => {
  const how = fault === null ? taken : { fault };
  return [
    subscribe(`'${text}' [MQTT-4.8.2-1, -2]`, 5, `0007 00 ${filter(text)} 00`, how),
    unsubscribe(`'${text}'`, 5, `0007 00 ${filter(text)}`, how),
    // Before version 5 a share is no grammar of the standard's, only the filter is.
    subscribe(
      `'${text}'`,
      4,
      `0007 ${filter(text)} 00`,
      fault === 'topicFilter' ? { fault } : taken,
    ),
  ];
});

const a = filter('a');
const share = filter('$share/g/a');

const options = (version: 3 | 4 | 5, code: number): Expected['fault'] | null => {
  const [qos, handling] = [code & 3, (code >> 4) & 3];
  if (version === 5 && (code & 0xc0) !== 0) return 'subscriptionOptions'; // [MQTT-3.8.3-5]
  if (version !== 5 && (code & 0xfc) !== 0) return 'subscriptionOptions'; // [MQTT-3.8.3-4]
  return qos === 3 || handling === 3 ? 'subscriptionValue' : null;
};
const allOptions = ([4, 5] as const).flatMap((version) =>
  Array.from({ length: 256 }, (_, code) => code)
    .filter((code) => code < 64 || (code & (code - 1)) === 0 || code === 255)
    .map((code): Vector => {
      const fault = options(version, code);
      const head = version === 5 ? '0007 00' : '0007';
      const hex = code.toString(16).padStart(2, '0');
      const how = fault ? { fault } : taken;
      return subscribe(`with options ${hex}`, version, `${head} ${a} ${hex}`, how);
    }),
);

const bodies: readonly Vector[] = [
  subscribe('to three', 4, `0007 ${a}00 ${filter('b')}01 ${filter('c')}02`, taken),
  subscribe('whose last of three is no filter', 4, `0007 ${a}00 ${a}00 ${filter('b#')}00`, {
    fault: 'topicFilter',
  }),
  unsubscribe('from three', 5, `0007 00 ${a}${filter('b')}${filter('c')}`, taken),
  subscribe('of nothing', 4, '', { fault: 'fieldLength' }),
  subscribe('of one byte', 4, '00', { fault: 'fieldLength' }),
  subscribe('with Packet Identifier 0', 4, `0000 ${a}00`, { fault: 'requestIdentifier' }),
  unsubscribe('with Packet Identifier 0', 5, `0000 00 ${a}`, { fault: 'requestIdentifier' }),
  subscribe('without a filter [MQTT-3.8.3-3]', 4, '0007', { fault: 'subscriptionEmpty' }),
  subscribe('without a filter [MQTT-3.8.3-2]', 5, '0007 00', { fault: 'subscriptionEmpty' }),
  unsubscribe('without a filter [MQTT-3.10.3-2]', 4, '0007', { fault: 'subscriptionEmpty' }),
  unsubscribe('without a filter [MQTT-3.10.3-2]', 5, '0007 00', { fault: 'subscriptionEmpty' }),
  subscribe('without options', 4, `0007 ${a}`, { fault: 'fieldLength' }),
  subscribe('with half a length', 4, `0007 ${a}00 00`, { fault: 'fieldLength' }),
  subscribe('with a filter beyond its end', 4, '0007 000261', { fault: 'fieldLength' }),
  unsubscribe('with options', 4, `0007 ${a} 00`, { fault: 'fieldLength' }),
  subscribe('to NUL [MQTT-3.8.3-1]', 4, '0007 00010000', { fault: 'utf8' }),
  subscribe('to a surrogate [MQTT-3.8.3-1]', 5, '0007 00 0003eda08000', { fault: 'utf8' }),
  unsubscribe('from half a character [MQTT-3.10.3-1]', 5, '0007 00 0001c3', { fault: 'utf8' }),
];

const properties: readonly Vector[] = [
  subscribe('with every property', 5, `0007 10 0b01 26000161000162 26000161000162 ${a}00`, taken),
  subscribe('with the largest Subscription Identifier', 5, `0007 05 0bffffff7f ${a}00`, taken),
  subscribe('with Subscription Identifier 0', 5, `0007 02 0b00 ${a}00`, { fault: 'propertyValue' }),
  subscribe('with two of them', 5, `0007 04 0b010b02 ${a}00`, { fault: 'propertyRepeated' }),
  subscribe('with one of five bytes', 5, `0007 06 0b8080808001 ${a}00`, {
    fault: 'propertyLength',
  }),
  subscribe('with one of a byte too many', 5, `0007 03 0b8100 ${a}00`, {
    fault: 'propertyLength',
  }),
  subscribe('with a Reason String', 5, `0007 04 1f000161 ${a}00`, { fault: 'propertyNotAllowed' }),
  subscribe('with properties beyond its end', 5, '0007 09 0b01', { fault: 'fieldLength' }),
  subscribe('without a Property Length', 5, '0007', { fault: 'fieldLength' }),
  unsubscribe('with User Properties', 5, `0007 0e ${'26000161000162'.repeat(2)} ${a}`, taken),
  unsubscribe('with a Subscription Identifier', 5, `0007 02 0b01 ${a}`, {
    fault: 'propertyNotAllowed',
  }),
  unsubscribe('with half a User Property', 5, `0007 04 26000161 ${a}`, { fault: 'propertyLength' }),
  subscribe('to a share with No Local [MQTT-3.8.3-4]', 5, `0007 00 ${share}04`, {
    fault: 'sharedSubscription',
  }),
  subscribe('to a share, then with No Local', 5, `0007 00 ${share}00 ${a}04`, taken),
];

export const subscribeVectors: readonly Vector[] = [
  ...filters,
  ...shares,
  ...allOptions,
  ...bodies,
  ...properties,
];
