/**
 * PUBLISH packets that must be taken, of both versions, byte by byte [MQTT-3.3]. The only route is
 * `plant/#`; everything else passes.
 */
import { hexOf, type Vector } from './vector.ts';

const pass = 0;
const admit = 1;

export const publishVectors: readonly Vector[] = [
  {
    name: '3.1.1, QoS 0, captured',
    version: 4,
    bytes: `
      30                  PUBLISH, QoS 0
      0c                  Remaining Length 12
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      686921              payload hi!`,
    rows: [
      {
        type: 3,
        firstByte: 0x30,
        packetIdentifier: 0,
        verdict: admit,
        route: 0,
        qos: 0,
        retain: false,
        dup: false,
        topicName: hexOf('plant/a'),
        payload: hexOf('hi!'),
        properties: '',
        topicAlias: 0,
        limit: -1,
        local: false,
      },
    ],
  },
  {
    name: '3.1.1, QoS 1, DUP, RETAIN, captured',
    version: 4,
    bytes: `
      3b                  PUBLISH, DUP, QoS 1, RETAIN
      0e                  Remaining Length 14
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      fffe                Packet Identifier 65534
      686921              payload hi!`,
    rows: [
      {
        packetIdentifier: 0xfffe,
        firstByte: 0x3b,
        verdict: admit,
        qos: 1,
        retain: true,
        dup: true,
        local: true,
        payload: hexOf('hi!'),
      },
    ],
  },
  {
    name: '3.1.1, QoS 2, empty payload, no route',
    version: 4,
    bytes: `
      34                  PUBLISH, QoS 2
      07                  Remaining Length 7
      0003                Topic Name: 3 bytes
      782f79              x/y
      0001                Packet Identifier 1`,
    rows: [
      {
        packetIdentifier: 1,
        qos: 2,
        verdict: pass,
        route: -1,
        payload: '',
        topicName: hexOf('x/y'),
      },
    ],
  },
  {
    name: 'two packets with a Remaining Length of two bytes',
    version: 4,
    bytes: `
      30 PUBLISH
      8001                Remaining Length 128
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      ${'2e'.repeat(119)} payload of 119 bytes
      30                  PUBLISH
      07                  Remaining Length 7
      0005                Topic Name: 5 bytes
      706c616e74          plant: # matches the parent level too`,
    rows: [
      { start: 0, end: 131, payload: '2e'.repeat(119) },
      { start: 131, end: 140, payload: '', route: 0, verdict: admit },
    ],
  },
  {
    name: 'Topic Name with 2, 3 and 4 byte characters, and U+FEFF kept',
    version: 4,
    bytes: `
      30                  PUBLISH
      12                  Remaining Length 18
      0010                Topic Name: 16 bytes
      706c616e742f        plant/
      c3bc                U+00FC
      e282ac              U+20AC
      f09f8c8a            U+1F30A
      2f                  /`,
    rows: [{ route: 0, topicName: '706c616e742fc3bce282acf09f8c8a2f' }],
  },
  {
    name: 'Topic Names at the edges of UTF-8',
    version: 4,
    bytes: `
      30                  PUBLISH
      1e                  Remaining Length 30
      001c                Topic Name: 28 bytes
      7f                  U+007F
      c280                U+0080, the first of two bytes
      dfbf                U+07FF, the last
      e0a080              U+0800, the first of three
      ed9fbf              U+D7FF, the last before the surrogates
      ee8080              U+E000, the first behind them
      efbfbf              U+FFFF
      f0908080            U+10000, the first of four
      f48fbfbf            U+10FFFF, the last there is
      efbbbf              U+FEFF [MQTT-1.5.4-3]`,
    rows: [{ route: -1 }],
  },
  {
    name: '5, no properties',
    version: 5,
    bytes: `
      32                  PUBLISH, QoS 1
      0d                  Remaining Length 13
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      000a                Packet Identifier 10
      00                  Property Length 0
      7a                  payload z`,
    rows: [{ packetIdentifier: 10, payload: '7a', properties: '', verdict: admit }],
  },
  {
    name: '5, every property a client may send',
    version: 5,
    bytes: `
      30                  PUBLISH
      4d                  Remaining Length 77
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      42                  Property Length 66
      0101                Payload Format Indicator 1
      020000003c          Message Expiry Interval 60
      23000c              Topic Alias 12
      080003722f74        Response Topic r/t
      0900020001          Correlation Data 00 01
      26000161000162      User Property a: b
      26000161000163      User Property a: c, the same name again
      2600000000          User Property, both empty
      03000a746578742f706c61696e Content Type text/plain
      26000466726f6d0004686f6d65 User Property from: home
      21                  payload !`,
    rows: [
      {
        topicAlias: 12,
        payload: '21',
        aliased: false,
        verdict: admit,
        topicName: hexOf('plant/a'),
      },
    ],
  },
  {
    name: '5, Topic Alias set, then used twice without a Topic Name, then set anew',
    version: 5,
    bytes: `
      30                  PUBLISH
      0d                  Remaining Length 13
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      03                  Property Length 3
      230001              Topic Alias 1
      30                  PUBLISH
      07                  Remaining Length 7
      0000                Topic Name: empty
      03                  Property Length 3
      230001              Topic Alias 1
      31                  payload 1
      30                  PUBLISH
      07                  Remaining Length 7
      0000                Topic Name: empty
      03                  Property Length 3
      230001              Topic Alias 1
      32                  payload 2
      30                  PUBLISH
      0a                  Remaining Length 10
      0003                Topic Name: 3 bytes
      782f79              x/y
      03                  Property Length 3
      230001              Topic Alias 1
      33                  payload 3
      30                  PUBLISH
      06                  Remaining Length 6
      0000                Topic Name: empty
      03                  Property Length 3
      230001              Topic Alias 1`,
    rows: [
      { topicAlias: 1, topicName: hexOf('plant/a'), payload: '', aliased: false, route: 0 },
      { topicAlias: 1, topicName: hexOf('plant/a'), payload: '31', aliased: true, route: 0 },
      { topicAlias: 1, topicName: hexOf('plant/a'), payload: '32', aliased: true, verdict: admit },
      { topicAlias: 1, topicName: hexOf('x/y'), payload: '33', aliased: false, route: -1 },
      { topicAlias: 1, topicName: hexOf('x/y'), payload: '', aliased: true, verdict: pass },
    ],
  },
  {
    name: '5, two Topic Aliases do not stand for one another',
    version: 5,
    bytes: `
      30                  PUBLISH
      0d                  Remaining Length 13
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      03                  Property Length 3
      230001              Topic Alias 1
      30                  PUBLISH
      09                  Remaining Length 9
      0003                Topic Name: 3 bytes
      782f79              x/y
      03                  Property Length 3
      230002              Topic Alias 2
      30                  PUBLISH
      06                  Remaining Length 6
      0000                Topic Name: empty
      03                  Property Length 3
      230001              Topic Alias 1
      30                  PUBLISH
      06                  Remaining Length 6
      0000                Topic Name: empty
      03                  Property Length 3
      230002              Topic Alias 2`,
    rows: [
      { topicAlias: 1, topicName: hexOf('plant/a') },
      { topicAlias: 2, topicName: hexOf('x/y') },
      { topicAlias: 1, topicName: hexOf('plant/a'), route: 0, aliased: true },
      { topicAlias: 2, topicName: hexOf('x/y'), route: -1, aliased: true },
    ],
  },
  {
    name: '5, Topic Alias 65535 is not kept inside and still works',
    version: 5,
    bytes: `
      30                  PUBLISH
      0d                  Remaining Length 13
      0007                Topic Name: 7 bytes
      706c616e742f61      plant/a
      03                  Property Length 3
      23ffff              Topic Alias 65535
      30                  PUBLISH
      06                  Remaining Length 6
      0000                Topic Name: empty
      03                  Property Length 3
      23ffff              Topic Alias 65535`,
    rows: [
      { topicAlias: 65535, aliased: false, route: 0 },
      { topicAlias: 65535, aliased: true, route: 0, topicName: hexOf('plant/a') },
    ],
  },
];
