/**
 * What a connection is known for when its bytes come: Packet Identifiers it has not released, its
 * groups, its Client Identifier, the Topic Alias Maximum it was told, how copies are made.
 */
import { ingestFlags } from '../../agent/frames/core.ts';
import { hexOf, type Vector } from './vector.ts';

const { captureQos2, copyAll, allow } = ingestFlags;
const pass = 0;
const admit = 1;
const repeat = 5;
const deny = 6;

/** Groups by their bit. */
export const sensors = 1;
export const masters = 2;
/** What the core of these vectors is told with `allowAdd`. */
export const allowRules = [
  { filter: 'plant/{device}/#', groups: sensors },
  { filter: 'plant/+/set', groups: masters },
  { filter: '#', groups: masters },
] as const;

/** QoS 2 on plant/a. */
const publish2 = (identifier: string): string =>
  `340b0007706c616e742f61${identifier} PUBLISH plant/a, QoS 2, its Packet Identifier last`;
const pubrel = (identifier: string): string => `6202${identifier} PUBREL, Packet Identifier`;

const qos2: readonly Vector[] = [
  {
    name: 'QoS 2 twice under one Packet Identifier is one message [MQTT-4.3.3-10]',
    version: 4,
    flags: captureQos2,
    bytes: `${publish2('0102')}\n${publish2('0103')}\n${publish2('0102')}`,
    rows: [
      { verdict: admit, packetIdentifier: 0x102 },
      { verdict: admit, packetIdentifier: 0x103 },
      { verdict: repeat, packetIdentifier: 0x102, route: 0, limit: -1, local: false },
    ],
  },
  {
    name: 'a Packet Identifier that was not released before this connection',
    version: 5,
    flags: captureQos2,
    seen: [1, 0xffff],
    bytes: `
      3c                  PUBLISH, DUP, QoS 2
      0c                  Remaining Length 12
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      ffff                Packet Identifier 65535
      00                  Property Length 0`,
    rows: [{ verdict: repeat, qos: 2, dup: true, topicName: hexOf('plant/a') }],
  },
  {
    name: 'PUBREL gives the Packet Identifier back [MQTT-4.3.3-12]',
    version: 4,
    flags: captureQos2,
    seen: [7],
    bytes: [publish2('0007'), pubrel('0007'), publish2('0007'), publish2('0007')].join('\n'),
    rows: [
      { verdict: repeat },
      { type: 6, verdict: pass },
      { verdict: admit },
      { verdict: repeat },
    ],
  },
  {
    name: 'an identifier of the same byte of bits is another one',
    version: 4,
    flags: captureQos2,
    seen: [8, 15],
    bytes: `${publish2('0009')}\n${publish2('000f')}\n${pubrel('0008')}\n${publish2('000f')}`,
    rows: [{ verdict: admit }, { verdict: repeat }, { type: 6 }, { verdict: repeat }],
  },
  {
    name: 'identifiers stand for QoS 2 alone, and only where it is captured',
    version: 4,
    seen: [5],
    bytes: `
      32                  PUBLISH, QoS 1
      0b                  Remaining Length 11
      0007706c616e742f61  plant/a
      0005                Packet Identifier 5
      ${publish2('0005')}`,
    rows: [
      { verdict: admit, qos: 1 },
      { verdict: pass, qos: 2, route: 0 },
    ],
  },
  {
    name: 'what passes to the broker is not remembered',
    version: 4,
    flags: captureQos2,
    bytes: `
      340700037a2f7a0005  PUBLISH z/z, QoS 2, Packet Identifier 5: no route
      ${publish2('0005')}`,
    rows: [
      { verdict: pass, route: -1 },
      { verdict: admit, route: 0 },
    ],
  },
];

const copies: readonly Vector[] = [
  {
    name: 'under copyAll what a local route captures is copied, subscribed or not',
    version: 4,
    flags: copyAll,
    bytes: `
      3009                PUBLISH, Remaining Length 9
      0007706c616e742f61  plant/a
      3005                PUBLISH, Remaining Length 5
      00037a2f7a          z/z: no route`,
    rows: [
      { verdict: admit, local: true, retain: false },
      { verdict: pass, local: false },
    ],
  },
];

const allowance: readonly Vector[] = [
  {
    name: 'a device publishes under its own name, and not under another',
    version: 4,
    flags: allow,
    groups: sensors,
    device: 'dev',
    bytes: `
      300b                PUBLISH, Remaining Length 11
      0009706c616e742f646576 plant/dev
      310d                PUBLISH, RETAIN, Remaining Length 13
      000b706c616e742f646576322f plant/dev2/`,
    rows: [
      { verdict: admit, route: 0 },
      { verdict: deny, route: -1, limit: -1, local: false, retain: true, topicAlias: 0 },
    ],
  },
  {
    name: 'the rule that a device meets is for its groups, also where no route is',
    version: 4,
    flags: allow,
    groups: masters,
    bytes: `
      3005                PUBLISH, Remaining Length 5
      00037a2f7a          z/z
      3005                PUBLISH, Remaining Length 5
      0003247a7a          $zz: # does not match it`,
    rows: [{ verdict: pass }, { verdict: deny }],
  },
  {
    name: 'no group, nothing allowed; what is no PUBLISH passes',
    version: 4,
    flags: allow | captureQos2,
    groups: 0,
    bytes: `
      ${publish2('0001')}
      c000                PINGREQ
      ${publish2('0001')}`,
    rows: [{ verdict: deny, qos: 2, packetIdentifier: 1 }, { verdict: pass }, { verdict: deny }],
  },
  {
    name: 'a denied PUBLISH still sets its Topic Alias [MQTT-3.3.2-12]',
    version: 5,
    flags: allow,
    groups: sensors,
    device: 'plant',
    bytes: `
      30                  PUBLISH
      0d                  Remaining Length 13
      0007706c616e742f61  plant/a
      03230001            Topic Alias 1
      30                  PUBLISH
      06                  Remaining Length 6
      0000                Topic Name: empty
      03230001            Topic Alias 1`,
    rows: [
      { verdict: deny, topicAlias: 1 },
      { verdict: deny, topicAlias: 1, aliased: true, topicName: hexOf('plant/a') },
    ],
  },
  {
    name: 'without the flag nothing is asked',
    version: 4,
    groups: 0,
    bytes: '3009 PUBLISH\n0007706c616e742f61 plant/a',
    rows: [{ verdict: admit }],
  },
];

const aliases: readonly Vector[] = [
  {
    name: 'a Topic Alias at the Topic Alias Maximum',
    version: 5,
    aliasMaximum: 10,
    bytes: '300d PUBLISH\n0007706c616e742f61 plant/a\n0323000a Topic Alias 10',
    rows: [{ topicAlias: 10, verdict: admit }],
  },
  {
    name: 'a Topic Alias above it [MQTT-3.2.2-17]',
    version: 5,
    aliasMaximum: 10,
    bytes: '300d PUBLISH\n0007706c616e742f61 plant/a\n0323000b Topic Alias 11',
    fault: 'topicAlias',
  },
  {
    name: 'a Topic Alias when none may be sent [MQTT-3.2.2-18]',
    version: 5,
    aliasMaximum: 0,
    bytes: '300d PUBLISH\n0007706c616e742f61 plant/a\n03230001 Topic Alias 1',
    fault: 'topicAlias',
  },
  {
    name: 'a server’s Topic Alias is the client’s to bound',
    version: 5,
    phase: 'down',
    flags: ingestFlags.capture,
    aliasMaximum: 0,
    bytes: '300d PUBLISH\n0007706c616e742f61 plant/a\n03230001 Topic Alias 1',
    rows: [{ topicAlias: 1, verdict: admit }],
  },
];

export const connectionVectors: readonly Vector[] = [...qos2, ...copies, ...allowance, ...aliases];
