/**
 * Statements of MQTT 3.1.1 (Appendix B) that bind a server, from chapter 3.6 on; how many there are
 * of each section, and those that only a client can keep.
 */
import { named } from './named.ts';
import { broker, core, filter, type Sections, type Statements } from './statement.ts';
import { first311 } from './statements-3.1.1.ts';

const request = 'three at once';

const more: Statements = {
  'MQTT-3.6.1-1': core('3.1.1, PUBREL sent again'),
  'MQTT-3.8.1-1': core('SUBSCRIBE without 0010'),
  'MQTT-3.8.3-1': core('4, SUBSCRIBE to NUL [MQTT-3.8.3-1]'),
  'MQTT-3.8.3-2': broker('knows wildcards', named.filters),
  'MQTT-3.8.3-3': core('4, SUBSCRIBE without a filter [MQTT-3.8.3-3]'),
  'MQTT-3.8.3-4': core('4, SUBSCRIBE with options 80'),
  'MQTT-3.8.4-1': broker('answers each SUBSCRIBE', request),
  'MQTT-3.8.4-2': broker('under the identifier it had', request),
  'MQTT-3.8.4-3': broker('the same filter again is one subscription', named.replaced),
  'MQTT-3.8.4-4': broker('several filters in one packet', request),
  'MQTT-3.8.4-5': filter(named.denied),
  'MQTT-3.8.4-6': broker('the lower of both QoS', named.basic),
  'MQTT-3.9.3-1': filter(named.denied),
  'MQTT-3.9.3-2': broker('return codes 0, 1, 2 and 0x80', request),
  'MQTT-3.10.1-1': core('UNSUBSCRIBE without 0010'),
  'MQTT-3.10.3-1': core('5, UNSUBSCRIBE from half a character [MQTT-3.10.3-1]'),
  'MQTT-3.10.3-2': core('4, UNSUBSCRIBE without a filter [MQTT-3.10.3-2]'),
  'MQTT-3.10.4-1': broker('filters are compared as they are written', named.unsubscribed),
  'MQTT-3.10.4-2': broker('nothing new is delivered', named.unsubscribed),
  'MQTT-3.10.4-3': broker('what it began to send is completed', named.completed),
  'MQTT-3.10.4-4': broker('answers under the identifier', 'what was subscribed is given back'),
  'MQTT-3.10.4-5': broker('answers also where there was none', "UNSUBSCRIBE 'a'"),
  'MQTT-3.10.4-6': broker('several filters in one packet', 'three are given back at once'),
  'MQTT-3.12.4-1': filter('a held device gets its PINGRESP, and is not timed out by us'),
  'MQTT-3.14.1-1': core('DISCONNECT with a flag'),
  'MQTT-3.14.4-3': broker('forgets the Will', named.will),
  'MQTT-4.1.0-1': broker('keeps the session as long as it lasts', named.offline),
  'MQTT-4.1.0-2': broker('no session ends before its connection', named.offline),
  'MQTT-4.3.1-1': broker('delivers QoS 0 without DUP', named.basic),
  'MQTT-4.3.2-1': broker('delivers QoS 1 until its PUBACK', named.redelivered),
  'MQTT-4.3.2-2': filter('a PUBACK leaves only after the COMMIT of its segment'),
  'MQTT-4.3.3-1': broker('delivers QoS 2 until its PUBCOMP', named.redelivered),
  'MQTT-4.3.3-2': filter(named.repeated),
  'MQTT-4.4.0-1': broker('sends again what was not acknowledged', named.redelivered),
  'MQTT-4.5.0-1': broker('adds it to each session that matches', named.offline),
  'MQTT-4.6.0-5': broker('every Topic Name keeps its order', named.ordered),
  'MQTT-4.6.0-6': broker('delivers in that order', named.ordered),
  'MQTT-4.7.1-1': core('Topic Name with # as a level [MQTT-3.3.2-2]'),
  'MQTT-4.7.1-2': core("4, SUBSCRIBE 'a#'"),
  'MQTT-4.7.1-3': core("4, SUBSCRIBE 'a/+b'"),
  'MQTT-4.7.2-1': core('the examples of the standard'),
  'MQTT-4.7.3-1': core('empty Topic Name, 3.1.1 [MQTT-4.7.3-1]'),
  'MQTT-4.7.3-2': core('4, SUBSCRIBE to NUL [MQTT-3.8.3-1]'),
  'MQTT-4.7.3-3': core('Topic Name longer than the packet'),
  'MQTT-4.7.3-4': broker('names are bytes, not letters', named.filters),
  'MQTT-4.8.0-1': filter(named.malformed),
  'MQTT-4.8.0-2': filter(named.away),
  'MQTT-6.0.0-1': filter('a text frame ends the connection'),
  'MQTT-6.0.0-2': filter('packets begin and end anywhere in the frames'),
  'MQTT-6.0.0-4': filter('the subprotocol is mqtt, and who offers none is not served'),
  'MQTT-7.0.0-1': filter('what no route wants is not stored, and the broker’s subscribers have it'),
  'MQTT-7.0.0-2': filter(named.basic),
  'MQTT-7.1.1-1': filter(named.basic),
};

export const statements311: Statements = { ...first311, ...more };

export const sections311: Sections = {
  ...{ '1.5.3': 3, '2.2.2': 2, '2.3.1': 7 },
  ...{ '3.1.0': 2, '3.1.2': 24, '3.1.3': 11, '3.1.4': 5, '3.2.0': 1, '3.2.2': 6 },
  ...{ '3.3.1': 12, '3.3.2': 3, '3.3.4': 1, '3.3.5': 2, '3.6.1': 1 },
  ...{ '3.8.1': 1, '3.8.3': 4, '3.8.4': 6, '3.9.3': 2 },
  ...{ '3.10.1': 1, '3.10.3': 2, '3.10.4': 6, '3.12.4': 1, '3.14.1': 1, '3.14.4': 3 },
  ...{ '4.1.0': 2, '4.3.1': 1, '4.3.2': 2, '4.3.3': 2, '4.4.0': 1, '4.5.0': 2, '4.6.0': 6 },
  ...{ '4.7.1': 3, '4.7.2': 1, '4.7.3': 4, '4.8.0': 2 },
  ...{ '6.0.0': 4, '7.0.0': 2, '7.1.1': 1, '7.1.2': 1 },
};

/** What a client does, and a server cannot see or has nothing to answer to. */
export const clients311: readonly string[] = [
  'MQTT-2.3.1-2',
  'MQTT-2.3.1-3',
  'MQTT-3.1.2-23',
  'MQTT-3.14.4-1',
  'MQTT-3.14.4-2',
  'MQTT-4.5.0-2',
  'MQTT-4.6.0-1',
  'MQTT-4.6.0-2',
  'MQTT-4.6.0-3',
  'MQTT-4.6.0-4',
  'MQTT-6.0.0-3',
  'MQTT-7.1.2-1',
];
