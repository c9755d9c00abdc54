/**
 * Every property of version 5 in every packet a client sends that has properties: where it may be
 * it is taken; where it may not, twice, cut short or of no value of its own it is refused, with the
 * code that 2.2.2.2 or the property's own section names.
 */
import {
  accepted,
  compact,
  connect,
  notAccepted,
  packet,
  properties,
  puback,
  pubrec,
  refused,
  type Sequence,
  served,
  text,
} from './sequence.ts';

const [malformed, protocol, aliasInvalid] = [0x81, 0x82, 0x94];

/** Each property with a value that it may have. */
const values: Readonly<Record<string, string>> = {
  ...{ '01': '00', '02': '0000000a', '03': text('a'), '08': text('a'), '09': text('a') },
  ...{ '0b': '01', '11': '00000000', '12': text('a'), '13': '000a', '15': text('a') },
  ...{ '16': text('a'), '17': '01', '18': '00000001', '19': '01', '1a': text('a') },
  ...{ '1c': text('a'), '1f': text('a'), '21': '000a', '22': '000a', '23': '0001' },
  ...{ '24': '01', '25': '01', '26': `${text('a')}${text('b')}`, '27': '00010000' },
  ...{ '28': '01', '29': '01', '2a': '01' },
};

/** A packet with properties: which, how, and what comes of it. */
interface Carrier {
  readonly name: string;
  readonly allowed: string;
  readonly of: (props: string) => string;
  readonly hears: string;
  /** How it ends when all is well: DISCONNECT is not answered. */
  readonly how: 'served' | 'connects' | 'ends';
}

const will = `${text('w')}${text('x')}`;
const message = '01 02 03 08 09 26';
const five = (props: string): string => properties(5, props);
const carriers: readonly Carrier[] = [
  {
    ...{ name: 'CONNECT', allowed: '11 17 19 21 22 26 27', hears: accepted, how: 'connects' },
    of: (props) => connect(5, '02', text(''), props),
  },
  {
    ...{ name: 'a Will', allowed: `${message} 18`, hears: accepted, how: 'connects' },
    of: (props) => connect(5, '06', `${text('')}${five(props)}${will}`),
  },
  {
    ...{ name: 'PUBLISH, QoS 0', allowed: `${message} 23`, hears: '', how: 'served' },
    of: (props) => packet('30', `${text('p/0')}${five(props)}00`),
  },
  {
    ...{ name: 'PUBLISH, QoS 1', allowed: `${message} 23`, hears: puback('0102'), how: 'served' },
    of: (props) => packet('32', `${text('p/1')}0102${five(props)}00`),
  },
  {
    ...{ name: 'PUBLISH, QoS 2', allowed: `${message} 23`, hears: pubrec('0102'), how: 'served' },
    of: (props) => packet('34', `${text('p/2')}0102${five(props)}00`),
  },
  {
    ...{ name: 'PUBACK', allowed: '1f 26', hears: '', how: 'served' },
    of: (props) => packet('40', `0102 00 ${five(props)}`),
  },
  {
    ...{ name: 'PUBREC', allowed: '1f 26', hears: '62(?:020102|03010292)', how: 'served' },
    of: (props) => packet('50', `0102 00 ${five(props)}`),
  },
  {
    ...{ name: 'PUBREL', allowed: '1f 26', hears: '7002(?:0102|01020092)', how: 'served' },
    of: (props) => packet('62', `0102 00 ${five(props)}`),
  },
  {
    ...{ name: 'PUBCOMP', allowed: '1f 26', hears: '', how: 'served' },
    of: (props) => packet('70', `0102 00 ${five(props)}`),
  },
  {
    ...{ name: 'SUBSCRIBE', allowed: '0b 26', hears: '900401020000', how: 'served' },
    of: (props) => packet('82', `0102 ${five(props)} ${text('s')}00`),
  },
  {
    ...{ name: 'UNSUBSCRIBE', allowed: '26', hears: 'b00401020011', how: 'served' },
    of: (props) => packet('a2', `0102 ${five(props)} ${text('s')}`),
  },
  {
    ...{ name: 'DISCONNECT', allowed: '11 1c 1f 26', hears: '', how: 'ends' },
    of: (props) => packet('e0', `00 ${five(props)}`),
  },
];

function taken({ name, of, hears, how }: Carrier, what: string, props: string): Sequence {
  const sequence = served(`${name} with ${what}`, 5, of(props), hears);
  return { ...sequence, connected: how !== 'connects', ends: how === 'ends' };
}

function no({ name, of, how }: Carrier, what: string, props: string, code: number): Sequence {
  const named = `${name} with ${what}`;
  if (how !== 'connects') return refused(named, 5, of(props), code);
  return notAccepted(named, 5, of(props), `200300${code.toString(16)}00`);
}

/** Values that are of the property's type, and none it may have. */
const wrong: readonly [id: string, value: string, code: number][] = [
  ...['01', '17', '19'].map((id): [string, string, number] => [id, '02', protocol]),
  ['0b', '00', protocol],
  ['0b', '8080808001', malformed],
  ['0b', '8100', malformed],
  ['21', '0000', protocol],
  ['27', '00000000', protocol],
  ['23', '0000', aliasInvalid],
  ['23', '000b', aliasInvalid],
  ['08', text('a/+'), protocol],
  ['08', text('#'), protocol],
  ['08', text(''), protocol],
];

function ofCarrier(carrier: Carrier): Sequence[] {
  const allowed = carrier.allowed.split(' ');
  const publishes = carrier.name.startsWith('PUBLISH');
  const each = Object.entries(values).flatMap(([id, value]): Sequence[] => {
    const once = id + value;
    const cut = no(carrier, `property ${id} cut short`, once.slice(0, -2), malformed);
    if (carrier.how === 'connects' && id === '15') return [cut];
    if (!allowed.includes(id)) {
      const code = publishes && id === '0b' ? protocol : malformed; // [MQTT-3.3.4-6]
      const alone = carrier.name === 'CONNECT' && id === '16' ? protocol : code; // 3.1.2.11.10
      return [cut, no(carrier, `property ${id}, not its own`, once, alone)];
    }
    const twice = id === '26' ? taken : no;
    const again = twice(carrier, `property ${id} twice`, once + once, protocol);
    return [cut, taken(carrier, `property ${id}`, once), again];
  });
  const values3 = wrong.filter(([id]) => allowed.includes(id));
  return [
    ...each,
    ...values3.map(([id, value, code]) => no(carrier, `${id} of ${value}`, id + value, code)),
    taken(carrier, 'User Properties empty and twice', '2600000000 2600000000'),
    no(carrier, 'a property no packet has', '0400', malformed),
    no(carrier, 'a property of two bytes', '810100', malformed),
    ...(allowed.length > 2 ? [taken(carrier, 'all its properties', all(allowed))] : []),
  ];
}

function all(ids: readonly string[]): string {
  return compact(ids.map((id) => id + (values[id] ?? '')).join(''));
}

export const propertySequences: readonly Sequence[] = carriers.flatMap(ofCarrier);
