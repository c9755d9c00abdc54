/**
 * What a device may send behind an accepted CONNECT, of every packet type and version: the filter
 * refuses nothing that is legal, and the device hears what the standard owes it.
 */
import {
  packet,
  properties,
  puback,
  pubrec,
  type Sequence,
  served,
  text,
  type Version,
  versions,
} from './sequence.ts';

function publishes(version: Version): Sequence[] {
  const none = properties(version);
  const named = text('p/q');
  const to = (name: string): Sequence =>
    served(`PUBLISH to ${name}`, version, packet('30', `${text(name)}${none}00`));
  const long = packet('30', `${text(`long/${'x'.repeat(1_000)}`)}${none}${'00'.repeat(20_000)}`);
  const kept = (first: string, hears: string): Sequence =>
    served(
      `RETAIN ${first}`,
      version,
      packet(first, `${text('k')}${first === '31' ? '' : '0102'}${none}01`),
      hears,
    );
  const qos2 = packet('34', `${named}0102${none}01`);
  return [
    ...['a', '/', '//', 'a/', '/a', 'a b', 'ü/€/🌊', '\ufeffa', '$x/y', '$', 'A/a'].map(to),
    served('PUBLISH without a payload', version, packet('30', named + none)),
    served('PUBLISH of 21 kB', version, long),
    served('PUBLISH, QoS 1', version, packet('32', `${named}0102${none}01`), puback('0102')),
    served('the same, DUP', version, packet('3a', `${named}ffff${none}01`), puback('ffff')),
    kept('31', ''),
    kept('33', puback('0102')),
    served('no longer retained', version, packet('31', text('k') + none)),
    {
      ...served('PUBLISH, QoS 2, to its end', version, ''),
      steps: [
        [qos2, pubrec('0102')],
        [packet('3c', `${named}0102${none}01`), pubrec('0102')],
        [packet('62', '0102'), '70020102'],
        [qos2, pubrec('0102')],
        [packet('62', '0102'), '70020102'],
      ],
    },
    {
      ...served('three QoS 1 and a QoS 2 in one write', version, ''),
      steps: [
        [
          [1, 2, 3].map((id) => packet('32', `${named}000${id}${none}`)).join('') + qos2,
          ['0001', '0002', '0003'].map(puback).join('') + pubrec('0102'),
        ],
      ],
    },
  ];
}

function subscriptions(version: Version): Sequence[] {
  const none = properties(version);
  const ids = `0102${none}`;
  const gone = version === 5 ? 'b004010200(?:00|11)' : 'b0020102';
  const suback = (...codes: string[]): string => packet('90', `0102${none}${codes.join('')}`);
  const options = version === 5 ? ['04', '08', '10', '20', '2e', '1d', '0a'] : [];
  return [
    ...[
      'a',
      '/',
      '#',
      '+',
      '/#',
      '+/+',
      'a/+/b/#',
      '+/',
      'ü/€',
      'a b',
      '$x/#',
      'a//b',
      'share/a',
    ].flatMap((filter) => [
      served(
        `SUBSCRIBE '${filter}'`,
        version,
        packet('82', `${ids}${text(`q/${filter}`)}00`),
        suback('00'),
      ),
      served(`UNSUBSCRIBE '${filter}'`, version, packet('a2', ids + text(filter)), gone),
    ]),
    ...['00', '01', '02'].map((qos) =>
      served(`QoS ${qos}`, version, packet('82', ids + text('u') + qos), suback(qos)),
    ),
    ...options.map((option) =>
      served(
        `options ${option}`,
        5,
        packet('82', ids + text('u') + option),
        suback(`0${Number.parseInt(option, 16) & 3}`),
      ),
    ),
    served(
      'three at once',
      version,
      packet('82', `${ids}${text('u1')}00${text('u2')}01${text('u3')}02`),
      suback('00', '01', '02'),
    ),
    served('a share', version, packet('82', `${ids}${text('$share/g/a')}01`), suback('01')),
    {
      ...served('three are given back at once', version, ''),
      steps: [
        [packet('82', `${ids}${text('u')}00${text('v')}00`), suback('00', '00')],
        [
          packet('a2', ids + text('u') + text('x') + text('v')),
          version === 5 ? 'b006010200001100' : gone,
        ],
      ],
    },
    {
      ...served('what was subscribed is given back', version, ''),
      steps: [
        [packet('82', `${ids}${text('u')}00`), suback('00')],
        [packet('a2', ids + text('u')), version === 5 ? 'b00401020000' : gone],
      ],
    },
  ];
}

function strays(version: Version): Sequence[] {
  const unknown = version === 5 ? '(?:62020102|6203010292)' : '62020102';
  return [
    served('PINGREQ', version, 'c000', 'd000'),
    served('three of them', version, 'c000c000c000', 'd000d000d000'),
    served('PUBACK of nothing known', version, packet('40', '0102')),
    served('PUBREC of nothing known', version, packet('50', '0102'), unknown),
    served(
      'PUBREL of nothing known',
      version,
      packet('62', '0102'),
      version === 5 ? '(?:70020102|7003010292)' : '70020102',
    ),
    served('PUBCOMP of nothing known', version, packet('70', '0102')),
    { ...served('DISCONNECT', version, 'e000'), ends: true },
    { ...served('DISCONNECT, and nothing behind it', version, 'e00000ff'), ends: true },
  ];
}

/** Own messages come back; each is acknowledged by its kind, or by another. */
function deliveries(version: Version): Sequence[] {
  const none = properties(version);
  const refusal = version === 5 ? 'e00182' : '';
  const own = (qos: 1 | 2, ...rest: (readonly [string, string])[]): Sequence['steps'] => {
    const name = text(`own/${version}/${qos}/${rest.map(([send]) => send).join('')}`);
    const message = packet(`3${qos * 2}`, `${name}0001${none}79`);
    const heard = qos === 1 ? puback('0001') : pubrec('0001');
    const came = packet(`3${qos * 2}`, `${name}0001${none}79`);
    const first: readonly [string, string] = [message, `(?:${heard}${came}|${came}${heard})`];
    const subscribe = packet('82', `0102${none}${name}0${qos}`);
    const suback = packet('90', `0102${none}0${qos}`);
    if (qos === 1) return [[subscribe, suback], first, ...rest];
    return [
      [subscribe, suback],
      [message, heard],
      ['62020001', `(?:70020001${came}|${came}70020001)`],
      ...rest,
    ];
  };
  const right = (name: string, steps: Sequence['steps']): Sequence => ({
    ...served(name, version, ''),
    steps,
  });
  const wrong = (name: string, steps: Sequence['steps']): Sequence => ({
    ...right(name, steps),
    ends: true,
  });
  const [got, released] = [
    ['50020001', '62020001'],
    ['70020001', ''],
  ] as const;
  return [
    right('QoS 1 and its PUBACK', own(1, ['40020001', ''])),
    right('QoS 2 and its PUBREC, PUBCOMP', own(2, got, released)),
    right('PUBREC twice', own(2, got, got, released)),
    wrong('QoS 1 and a PUBREC', own(1, ['50020001', refusal])),
    wrong('QoS 1 and a PUBCOMP', own(1, ['70020001', refusal])),
    wrong('QoS 2 and a PUBACK', own(2, ['40020001', refusal])),
    wrong('QoS 2 and a PUBCOMP too early', own(2, ['70020001', refusal])),
    wrong('QoS 2, released, and a PUBACK', own(2, got, ['40020001', refusal])),
  ];
}

const aliases: Sequence = {
  ...served('a Topic Alias set, used, moved', 5, ''),
  steps: [
    [packet('32', `${text('a/1')}0001 03 230001`), puback('0001')],
    [packet('32', '0000 0002 03 230001'), puback('0002')],
    [packet('32', `${text('a/2')}0003 03 23000a`), puback('0003')],
    [packet('32', `${text('a/3')}0004 03 230001`), puback('0004')],
    [packet('32', '0000 0005 03 230001'), puback('0005')],
  ],
};

const farewells: readonly Sequence[] = ['00', '04', '80', '81', '82', '83', '90', '93', '94', '95']
  .concat(['96', '97', '98', '99'])
  .map((code) => ({ ...served(`DISCONNECT ${code}`, 5, packet('e0', code)), ends: true }));

const reasons: readonly Sequence[] = ['10', '80', '83', '87', '90', '91', '97', '99'].flatMap(
  (code) => [
    served(`PUBACK ${code}`, 5, packet('40', `0102 ${code}`)),
    served(
      `PUBREC ${code}`,
      5,
      packet('50', `0102 ${code}`),
      code === '10' ? '(?:62020102|6203010292)' : '',
    ),
  ],
);

export const servedSequences: readonly Sequence[] = [
  ...versions.flatMap((version) => [
    ...publishes(version),
    ...subscriptions(version),
    ...strays(version),
    ...deliveries(version),
  ]),
  aliases,
  ...farewells,
  ...reasons,
  served('PUBREL 92', 5, packet('62', '0102 92'), '(?:70020102|7003010292)'),
  served('PUBCOMP 92', 5, packet('70', '0102 92')),
];
