/**
 * Keys of the two MQTT seats: listeners (devices connect to us, a broker stands behind) and sources
 * (we subscribe at a broker that is there already). Relations between them are in
 * relations-mqtt.ts.
 */
import * as v from 'valibot';
import {
  listenerReceiveMaximum,
  maxPacketSizeCeilingBytes,
  maxPacketSizeDefaultBytes,
  sessionAgeDefaultMs,
  sourceReceiveMaximumDefault,
  unacknowledgedFrames,
} from '../bounds.ts';
import {
  address,
  brokerUrl,
  choice,
  count,
  duration,
  flag,
  freeText,
  mqttUrl,
  mqttVersion,
  noted,
  oneOrList,
  size,
  text,
  topicFilter,
} from './scalars.ts';
import { clientTls, credentials, object, serverTls } from './schema-connections.ts';
import { showDuration, showSize } from './units.ts';

const cold = 'cold';
const packetLeastBytes = 128;
const sessionExpiryMaxMs = 0xffff_fffe * 1_000;
const keepAliveMaxMs = 65_535_000;
const keepAliveDefaultMs = 30_000;
const filePath = { pattern: /^[^\0]+$/, wrong: 'is not a path', remedy: 'Write a path of a file.' };
const devicePattern = {
  pattern: /^[^\p{Cc}]+$/u,
  wrong: 'is not a name or a pattern',
  remedy: 'Write a device’s name; * stands for any characters, as in pump-*.',
};

const filters = (prose: string) =>
  v.optional(
    oneOrList(topicFilter({ prose: 'A Topic Filter.', change: cold }), { prose, change: cold }),
  );

const allowRule = object('What devices may do; with any rule, what none allows is denied.', {
  device: v.optional(
    text({ prose: 'Devices it is for; * stands for any characters.', change: cold }, devicePattern),
    '*',
  ),
  publish: filters('Topic Filters it may publish to; a level {device} is its own name.'),
  subscribe: filters('Topic Filters it may subscribe to, and narrower ones.'),
});

const maxPacketSize = v.optional(
  size(
    {
      prose: 'The largest MQTT Control Packet taken; a larger one ends its connection.',
      change: cold,
    },
    { min: packetLeastBytes, max: maxPacketSizeCeilingBytes },
  ),
  showSize(maxPacketSizeDefaultBytes),
);

export const listener = object('A socket that takes devices of MQTT 3.1, 3.1.1 and 5.', {
  bind: address({ prose: 'Where to listen, host:port. Port 0 takes a free one.', change: cold }),
  websocket: v.optional(
    flag({ prose: 'Devices come over WebSocket (subprotocol mqtt), not over TCP.', change: cold }),
    false,
  ),
  broker: v.optional(
    brokerUrl({
      prose:
        'The broker behind this listener, which gets every packet that no route captures:' +
        ' embedded, or mqtt://host:port (mqtts:// for TLS).',
      change: cold,
    }),
    'embedded',
  ),
  brokerTls: v.optional(clientTls),
  whenBrokerDown: v.optional(
    choice(['refuse', 'capture'], {
      prose:
        'The broker behind is away: refuse devices (Server unavailable), or admit those that the' +
        ' agent itself can authenticate, to publish only.',
      change: cold,
    }),
    'refuse',
  ),
  tls: v.optional(serverTls),
  users: v.optional(
    text(
      { prose: 'File of users and password hashes, as tidegate password writes it.', change: cold },
      filePath,
    ),
  ),
  identity: v.optional(
    choice(['clientId', 'username', 'certificate'], {
      prose:
        'What names the device: Client Identifier, proven User Name, or certificate (CN, SAN).',
      change: cold,
    }),
    'clientId',
  ),
  allow: v.optional(
    v.pipe(v.array(allowRule), noted({ description: 'Who may publish and subscribe what.' })),
    [],
  ),
  publishAcl: v.optional(
    choice(['none'], {
      prose:
        'none: events that routes capture are not asked of any access rule, although the external' +
        ' broker behind may have some.',
      change: cold,
    }),
  ),
  maxPacketSize,
  receiveMaximum: v.optional(
    count(
      {
        prose: 'Most unacknowledged PUBLISHes of an MQTT 5 device (Receive Maximum).',
        change: cold,
      },
      { min: 1, max: unacknowledgedFrames },
    ),
    listenerReceiveMaximum,
  ),
  insecure: v.optional(
    flag({
      prose: 'Accept plain text on an address that other machines reach, and send it to a broker.',
      change: cold,
    }),
    false,
  ),
});

const subscription = v.pipe(
  v.string(),
  noted({
    description: 'A Topic Filter, or a shared one: $share/GROUP/FILTER.',
    'x-change': cold,
  }),
);

export const source = object('An existing broker that we subscribe at.', {
  url: mqttUrl({ prose: 'mqtt:// mqtts:// ws:// or wss://, host and port.', change: cold }),
  subscribe: oneOrList(subscription, { prose: 'Topic Filters, also $share/…', change: cold }),
  qos: v.optional(count({ prose: 'Largest QoS asked for.', change: cold }, { min: 0, max: 2 }), 1),
  version: v.optional(mqttVersion({ prose: 'MQTT version of the connection.', change: cold }), 5),
  device: v.optional(
    freeText({
      prose:
        'Who published: {topic} (default), {1} … a wildcard of the matching route, or' +
        ' property:NAME, an MQTT 5 User Property.',
      change: cold,
    }),
    '{topic}',
  ),
  sessionExpiry: v.optional(
    duration(
      { prose: 'How long the broker keeps our session while we are away.', change: cold },
      { max: sessionExpiryMaxMs },
    ),
    showDuration(sessionAgeDefaultMs),
  ),
  keepAlive: v.optional(
    duration({ prose: 'Keep Alive.', change: cold }, { min: 1_000, max: keepAliveMaxMs }),
    showDuration(keepAliveDefaultMs),
  ),
  receiveMaximum: v.optional(
    count(
      {
        prose: 'Most unacknowledged PUBLISHes the broker may send (Receive Maximum).',
        change: cold,
      },
      { min: 1, max: unacknowledgedFrames },
    ),
    sourceReceiveMaximumDefault,
  ),
  maxPacketSize,
  ...credentials,
});
