/**
 * Statements of MQTT 5.0 (Appendix B) that bind a server: PUBLISH and its acknowledgements,
 * chapters 3.3 to 3.7.
 */
import { named } from './named.ts';
import { broker, core, filter, type Statements } from './statement.ts';

const { carried, retained, retainHandling } = named;
/** The filter writes no Reason String and no User Property of its own. */
const { short } = named;

export const publish5: Statements = {
  'MQTT-3.3.1-1': broker('what comes again says so', named.redelivered),
  'MQTT-3.3.1-2': core('DUP with QoS 0 [MQTT-3.3.1-2]'),
  'MQTT-3.3.1-3': broker('DUP is each sender’s own', named.again),
  'MQTT-3.3.1-4': core('QoS 3 [MQTT-3.3.1-4]'),
  'MQTT-3.3.1-5': filter('a retained PUBLISH is stored once and kept by the broker'),
  'MQTT-3.3.1-6': broker('an empty one clears', retained),
  'MQTT-3.3.1-7': broker('an empty one is not kept', retained),
  'MQTT-3.3.1-8': broker('RETAIN 0 leaves what is retained', retained),
  'MQTT-3.3.1-9': broker('Retain Handling 0: always', retainHandling),
  'MQTT-3.3.1-10': broker('Retain Handling 1: to a new subscription', retainHandling),
  'MQTT-3.3.1-11': broker('Retain Handling 2: never', retainHandling),
  'MQTT-3.3.1-12': broker('RETAIN 0 unless as published', named.asPublished),
  'MQTT-3.3.1-13': broker('RETAIN as published where asked for', named.asPublished),
  'MQTT-3.3.2-1': core('Topic Name longer than the packet'),
  'MQTT-3.3.2-2': core('Topic Name with + as a level [MQTT-3.3.2-2]'),
  'MQTT-3.3.2-3': broker('delivers what a filter matches', named.filters),
  'MQTT-3.3.2-4': broker('Payload Format Indicator as it was', carried),
  'MQTT-3.3.2-5': broker('drops what expired before it was sent', named.expired),
  'MQTT-3.3.2-6': broker('says what is left of the interval', named.expired),
  'MQTT-3.3.2-7': filter(named.aliasesUp),
  'MQTT-3.3.2-8': core('5, Topic Alias 0 [MQTT-3.3.2-8]'),
  'MQTT-3.3.2-9': core('a Topic Alias above it [MQTT-3.2.2-17]'),
  'MQTT-3.3.2-11': broker('keeps its aliases within the bound', named.aliasesDown),
  'MQTT-3.3.2-12': filter(
    'a Topic Alias means the same in captured and passed PUBLISHes, both ways',
  ),
  'MQTT-3.3.2-13': core('5, Response Topic not UTF-8'),
  'MQTT-3.3.2-14': core('5, Response Topic with a wildcard [MQTT-3.3.2-14]'),
  'MQTT-3.3.2-15': broker('Response Topic as it was', carried),
  'MQTT-3.3.2-16': broker('Correlation Data as it was', carried),
  'MQTT-3.3.2-17': broker('User Properties as they were', carried),
  'MQTT-3.3.2-18': broker('User Properties in their order', carried),
  'MQTT-3.3.2-19': core('5, Content Type with NUL'),
  'MQTT-3.3.2-20': broker('Content Type as it was', carried),
  'MQTT-3.3.4-1': filter(named.committed),
  'MQTT-3.3.4-2': broker('respects the highest QoS of those that overlap', named.overlapping),
  'MQTT-3.3.4-3': broker('says each Subscription Identifier', named.identifiers),
  'MQTT-3.3.4-4': broker('all of them in one copy', named.identifiers),
  'MQTT-3.3.4-5': broker('each in its own of several', named.identifiers),
  'MQTT-3.3.4-6': core('5, a Subscription Identifier [MQTT-3.3.4-6]'),
  'MQTT-3.3.4-7': filter(named.flowUp),
  'MQTT-3.3.4-9': broker('no more under way than the client takes', named.flowDown),
  'MQTT-3.3.4-10': broker('answers other packets meanwhile', named.flowDown),
  'MQTT-3.4.2-1': core('5, PUBACK with Reason Code 92'),
  'MQTT-3.4.2-2': filter(short),
  'MQTT-3.4.2-3': filter(short),
  'MQTT-3.5.2-1': core('5, PUBREC with Reason Code 92'),
  'MQTT-3.5.2-2': filter(short),
  'MQTT-3.5.2-3': filter(short),
  'MQTT-3.6.1-1': core('PUBREL without 0010'),
  'MQTT-3.6.2-1': core('5, PUBREL with Reason Code 82'),
  'MQTT-3.6.2-2': filter(short),
  'MQTT-3.6.2-3': filter(short),
  'MQTT-3.7.2-1': core('5, PUBCOMP with Reason Code 82'),
  'MQTT-3.7.2-2': filter(short),
  'MQTT-3.7.2-3': filter(short),
};
