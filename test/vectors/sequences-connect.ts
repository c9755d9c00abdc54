/**
 * CONNECT and what comes before it: each field, flag and string of the three versions, taken or
 * refused; in the form of the version it names, or by the close alone where nothing is said.
 */
import {
  accepted,
  connect,
  notAccepted,
  packet,
  prefixed,
  properties,
  protocolOf,
  type Sequence,
  text,
  type Version,
  versions,
} from './sequence.ts';

let named = 0;

/** A Client Identifier of its own for each. */
function client(): string {
  named += 1;
  return text(`connect${named}`);
}

function taken(name: string, version: Version, send: string): Sequence {
  return { name, version, connected: false, steps: [[send, accepted]], ends: false };
}

/** @param code version 5: of the CONNACK; null: nothing is said */
function no(name: string, version: Version, send: string, code: number | null): Sequence {
  const says = version === 5 && code !== null ? `200300${code.toString(16)}00` : '';
  return notAccepted(name, version, send, says);
}

const malformed = 0x81;
const will = (version: Version): string => `${properties(version)}${text('w')}${text('x')}`;
const login = text('user') + text('password');

function allowed(version: Version): Sequence[] {
  const spare =
    version === 3
      ? [
          ['01', ''],
          ['0a', ''],
          ['22', ''],
        ]
      : [];
  const flags: readonly (readonly string[])[] = [
    ['02', ''],
    ['00', ''],
    ...['06', '0e', '16', '26', '2e', '36'].map((bits) => [bits, will(version)]),
    ['82', text('user')],
    ['c2', login],
    ['f6', will(version) + login],
    ...(version === 5
      ? [
          ['42', text('password')],
          ['40', text('')],
        ]
      : []),
    ...spare,
  ];
  const letters = '0123456789abcdefghijABC';
  return [
    ...flags.map(([bits = '', rest = '']) =>
      taken(`flags ${bits}`, version, connect(version, bits, client() + rest)),
    ),
    taken('23 characters', version, connect(version, '02', text(letters))),
    taken('more than 23', version, connect(version, '02', text(letters.repeat(3)))),
    taken('letters of 2, 3 and 4 bytes', version, connect(version, '02', text('ü€🌊'))),
    taken(
      'an empty Will',
      version,
      connect(version, '06', `${client()}${properties(version)}${text('w')}0000`),
    ),
    ...(version === 3 ? [] : [taken('no name', version, connect(version, '02', '0000'))]),
    ...(version === 5 ? [taken('no name, kept', 5, connect(5, '00', '0000'))] : []),
  ];
}

const wrongFlags: Readonly<Record<Version, readonly string[]>> = {
  3: ['1e', '1c'],
  4: ['03', '0a', '12', '22', '3e', '1e', '42'],
  5: ['03', '0a', '12', '22', '3e', '1e'],
};

function fields(version: Version): Sequence[] {
  const head = `${protocolOf[version]}02003c${properties(version)}`;
  const short = (name: string, body: string): Sequence =>
    no(name, version, packet('10', body), malformed);
  const willOf = (topicName: string): string =>
    connect(version, '06', `${client()}${properties(version)}${topicName}0000`);
  return [
    ...wrongFlags[version].map((bits) =>
      no(`flags ${bits}`, version, connect(version, bits, client() + will(version)), malformed),
    ),
    short('it ends behind the level', protocolOf[version]),
    short('half a Keep Alive', `${protocolOf[version]}0200`),
    short('no Client Identifier', head),
    short('a Client Identifier beyond it', `${head}000261`),
    short('bytes behind', `${head}${client()}00`),
    no(
      'a Will without a message',
      version,
      connect(version, '06', `${client()}${properties(version)}${text('w')}`),
      malformed,
    ),
    ...['', '+', 'a/#', 'a+'].map((name) =>
      no(`a Will to '${name}'`, version, willOf(text(name)), malformed),
    ),
    ...['6100', 'eda080', 'c3'].flatMap((hex) => [
      no(`Client Identifier ${hex}`, version, connect(version, '02', prefixed(hex)), malformed),
      no(`Will to ${hex}`, version, willOf(prefixed(hex)), malformed),
      no(`User Name ${hex}`, version, connect(version, '82', client() + prefixed(hex)), null),
    ]),
    ...(version === 3
      ? []
      : [
          no('no User Name', version, connect(version, '82', client()), null),
          no('no Password', version, connect(version, 'c2', client() + text('user')), null),
          ...['11', '12', '14', '18'].map((first) =>
            no(`first byte ${first}`, version, packet(first, head + client()), malformed),
          ),
        ]),
  ];
}

/** The standard's own answers before version 5: return codes 1 and 2. */
const answered: readonly Sequence[] = [
  notAccepted('3.1 with no name', 3, connect(3, '02', '0000'), '20020002'),
  notAccepted('3.1.1 with no name, kept', 4, connect(4, '00', '0000'), '20020002'),
  notAccepted('MQTT, level 3', 4, packet('10', `${text('MQTT')}0302003c0000`), '20020001'),
  notAccepted('MQTT, level 2', 4, packet('10', `${text('MQTT')}0202003c0000`), '20020001'),
  notAccepted(
    'MQIsdp, level 4',
    3,
    packet('10', `${text('MQIsdp')}0402003c${text('a')}`),
    '20020001',
  ),
  notAccepted('MQTT, level 6', 5, packet('10', `${text('MQTT')}0602003c000000`), '2003008400'),
  notAccepted(
    'a bridge of another broker',
    5,
    packet('10', `${text('MQTT')}8402003c0000`),
    '2003008400',
  ),
];

/** Nothing before a CONNECT is answered, and no other protocol. */
const strangers: readonly Sequence[] = [
  ...Array.from({ length: 16 }, (_, type) => type.toString(16))
    .filter((type) => type !== '1')
    .map((type) => notAccepted(`type ${type} first`, 4, `${type}200`.slice(0, 4), '')),
  notAccepted('HTTP first', 4, Buffer.from('GET / HTTP/1.1\r\n\r\n').toString('hex'), ''),
  notAccepted('another name', 4, packet('10', `${text('MQTX')}0402003c0000`), ''),
  notAccepted('a name beyond the packet', 4, packet('10', '00ff4d'), ''),
  notAccepted('CONNECT of nothing', 4, '1000', ''),
  notAccepted('CONNECT whose length has five bytes', 4, '108080808001', ''),
  notAccepted('CONNECT of 256 MiB', 4, '10ffffff7f', ''),
];

export const connectSequences: readonly Sequence[] = [
  ...versions.flatMap((version) => [...allowed(version), ...fields(version)]),
  ...answered,
  ...strangers,
  notAccepted(
    'an Authentication Method Mosquitto has not',
    5,
    connect(5, '02', client(), `15${text('m')}`),
    '2003008c00',
  ),
];
