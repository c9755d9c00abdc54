/**
 * What no device may send behind an accepted CONNECT, of every packet type and version: fixed
 * headers, bodies, strings, filters, options, Reason Codes. Properties have a file of their own.
 */
import {
  packet,
  prefixed,
  properties,
  refused,
  type Sequence,
  text,
  type Version,
  versions,
} from './sequence.ts';

const [malformed, protocol] = [0x81, 0x82];

/** A well-formed body for each type, so that only what is told is wrong. */
function bodies(version: Version): Readonly<Record<string, string>> {
  const none = properties(version);
  const more = version === 5 ? '0000' : '';
  return {
    ...{ '4': '0102', '5': '0102', '6': '0102', '7': '0102', c: '', d: '', e: '' },
    ...{ '8': `0102${none}${text('s')}00`, a: `0102${none}${text('s')}` },
    ...{ '2': version === 5 ? '000000' : '0000', '9': `0102${none}00`, b: `0102${none}` },
    f: more,
  };
}

const two = new Set(['6', '8', 'a']);
/** 3.1 lets what is sent again say so. */
const again31 = new Set(['6a', '8a', 'aa']);

function flagsOf(version: Version): Sequence[] {
  return Object.entries(bodies(version)).flatMap(([type, body]) =>
    Array.from({ length: 16 }, (_, bits) => `${type}${bits.toString(16)}`)
      .filter((first) => first !== `${type}${two.has(type) ? 2 : 0}`)
      .filter((first) => version !== 3 || !again31.has(first))
      .map((first) => {
        const misplaced = type === '2' || type === 'f' ? protocol : malformed;
        return refused(`first byte ${first}`, version, packet(first, body), misplaced);
      }),
  );
}

function headers(version: Version): Sequence[] {
  const fromServer = ['2', '9', 'b', 'd'].map((type) =>
    refused(
      `type ${type}, a server’s`,
      version,
      packet(`${type}0`, bodies(version)[type]),
      protocol,
    ),
  );
  const types = Array.from({ length: 16 }, (_, type) => type.toString(16)).slice(1);
  const lengths = types.flatMap((type) => {
    const first = `${type}${two.has(type) ? 2 : 0}`;
    return [
      refused(`type ${type}, length of five bytes`, version, `${first}8080808001`, null),
      refused(`type ${type}, length of a byte too many`, version, `${first}8000`, null),
    ];
  });
  const nobodys = ['00', '01', '0f'].map((first) =>
    refused(`type 0, ${first}`, version, `${first}00`, protocol),
  );
  return [
    ...fromServer,
    ...lengths,
    ...nobodys,
    refused('PINGREQ with a byte', version, 'c00100', null),
    refused('AUTH nobody asked for', version, 'f000', protocol),
    refused('a second CONNECT', version, packet('10', '00'), protocol),
    refused('256 MiB announced', version, '30ffffff7f', 0x95),
  ];
}

function acknowledgements(version: Version): Sequence[] {
  return ['40', '50', '62', '70'].flatMap((first) => [
    refused(`${first} of nothing`, version, packet(first), malformed),
    refused(`${first} of one byte`, version, packet(first, '01'), malformed),
    refused(`${first} of identifier 0`, version, packet(first, '0000'), protocol),
    ...(version === 5
      ? [
          refused(`${first}, a Reason Code of nobody`, 5, packet(first, '0102 01'), protocol),
          refused(`${first}, properties cut off`, 5, packet(first, '0102 00 01'), malformed),
          refused(`${first}, bytes behind`, 5, packet(first, '0102 00 00 00'), malformed),
        ]
      : [refused(`${first} of three bytes`, version, packet(first, '0102 00'), null)]),
  ]);
}

function publishes(version: Version): Sequence[] {
  const none = properties(version);
  return [
    refused('PUBLISH, QoS 3', version, packet('36', `${text('a')}0102${none}`), malformed),
    refused('PUBLISH, DUP and QoS 0', version, packet('38', text('a') + none), malformed),
    refused('PUBLISH of nothing', version, packet('30'), malformed),
    refused('PUBLISH, Topic Name beyond it', version, packet('30', '000261'), malformed),
    refused(
      'PUBLISH, no room for an identifier',
      version,
      packet('32', `${text('a')}01`),
      malformed,
    ),
    refused('PUBLISH, identifier 0', version, packet('32', `${text('a')}0000${none}`), protocol),
    refused('PUBLISH, QoS 2, 0', version, packet('34', `${text('a')}0000${none}`), protocol),
    refused('PUBLISH without a Topic Name', version, packet('30', `0000${none}`), protocol),
    ...['+', '#', 'a/+', 'a/#', 'a+', '#/a'].map((name) =>
      refused(`PUBLISH to ${name}`, version, packet('30', text(name) + none), malformed),
    ),
  ];
}

const noFilters = ['a#', 'a/#/b', '#/', 'a+', '+a/b', 'a/b+', '++'];

function subscriptions(version: Version): Sequence[] {
  const head = `0102${properties(version)}`;
  const ask = (name: string, body: string, code: number): Sequence[] => [
    refused(`SUBSCRIBE ${name}`, version, packet('82', `${body}00`), code),
    refused(`UNSUBSCRIBE ${name}`, version, packet('a2', body), code),
  ];
  const highest = version === 5 ? ['03', '30', '07', '33'] : [];
  return [
    ...noFilters.flatMap((filter) => ask(`'${filter}'`, head + text(filter), malformed)),
    ...ask('of an empty filter', `${head}0000`, malformed),
    ...ask('of identifier 0', `0000${properties(version)}${text('a')}`, malformed),
    ...ask('whose second is no filter', `${head}${text('a')}${text('b')}`, malformed).slice(0, 1),
    refused('SUBSCRIBE of nothing', version, packet('82'), malformed),
    refused('UNSUBSCRIBE of nothing', version, packet('a2'), malformed),
    refused('SUBSCRIBE without a filter', version, packet('82', head), protocol),
    refused('UNSUBSCRIBE without a filter', version, packet('a2', head), protocol),
    refused('SUBSCRIBE without options', version, packet('82', head + text('a')), malformed),
    refused('UNSUBSCRIBE with options', version, packet('a2', `${head}${text('a')}00`), malformed),
    ...['40', '80', 'c0'].map((options) =>
      refused(`options ${options}`, version, packet('82', head + text('a') + options), malformed),
    ),
    ...highest.map((options) =>
      refused(`options ${options}`, 5, packet('82', head + text('a') + options), protocol),
    ),
  ];
}

const notText: readonly [what: string, hex: string][] = [
  ['NUL', '6100'],
  ['half a character', '61c3'],
  ['a surrogate', 'eda080'],
  ['an overlong form', 'c0af'],
  ['beyond U+10FFFF', 'f4908080'],
  ['0xff', 'ff'],
];

function strings(version: Version): Sequence[] {
  const none = properties(version);
  return notText.flatMap(([what, hex]) => {
    const bad = prefixed(hex);
    const inProperty = (id: string, value: string): Sequence =>
      refused(
        `property ${id}: ${what}`,
        5,
        packet('30', text('a') + properties(5, id + value)),
        malformed,
      );
    return [
      refused(`Topic Name: ${what}`, version, packet('30', bad + none), malformed),
      refused(`filter: ${what}`, version, packet('82', `0102${none}${bad}00`), malformed),
      refused(`old filter: ${what}`, version, packet('a2', `0102${none}${bad}`), malformed),
      ...(version === 5
        ? [
            inProperty('03', bad),
            inProperty('08', bad),
            inProperty('26', bad + text('v')),
            inProperty('26', text('n') + bad),
          ]
        : []),
    ];
  });
}

const clients = [0x00, 0x04, ...range(0x80, 0x83), 0x90, ...range(0x93, 0x99)];
const shares = ['$share/', '$share//a', '$share/g', '$share/g/', '$share/+/a', '$share/g#/a'];

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const onlyFive: readonly Sequence[] = [
  ...range(0, 255)
    .filter((code) => !clients.includes(code) && (code % 8 === 7 || code > 0x85))
    .filter((code) => code < 0xa4 || code === 0xff)
    .map((code) =>
      refused(`DISCONNECT ${code}`, 5, packet('e0', code.toString(16).padStart(2, '0')), null),
    ),
  refused('DISCONNECT keeps a Session after all', 5, packet('e0', '00 05 1100000001'), protocol),
  ...shares.map((filter) =>
    refused(
      `SUBSCRIBE '${filter}'`,
      5,
      packet('82', `010200${text(filter)}00`),
      filter.includes('#') ? malformed : protocol,
    ),
  ),
  refused('No Local on a share', 5, packet('82', `010200${text('$share/g/a')}04`), protocol),
  refused('an alias nobody set', 5, packet('30', '0000 03 230002'), 0x94),
];

export const refusedSequences: readonly Sequence[] = [
  ...versions.flatMap((version) => [
    ...flagsOf(version),
    ...headers(version),
    ...acknowledgements(version),
    ...publishes(version),
    ...subscriptions(version),
    ...strings(version),
    ...(version === 5 ? [] : [refused('DISCONNECT with a byte', version, 'e00100', null)]),
  ]),
  ...onlyFive,
];
