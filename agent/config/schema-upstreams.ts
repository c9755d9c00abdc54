/**
 * Keys of the upstreams: what every one has (lag, drain, from), and each kind's own. That an
 * upstream is of one kind, and what its connection needs, is in relations.ts and
 * relations-clients.ts.
 */
import * as v from 'valibot';
import { KIB, kafkaTopicsMax, MIB, mqttInFlightDefault, unacknowledgedFrames } from '../bounds.ts';
import {
  byteRate,
  choice,
  complaint,
  count,
  duration,
  flag,
  mqttUrl,
  mqttVersion,
  noted,
  rate,
  serverAddress,
  size,
  text,
} from './scalars.ts';
import { clientTls, credentials, object } from './schema-connections.ts';
import { natsUpstream } from './schema-nats.ts';
import { showDuration, showSize } from './units.ts';

const hot = 'hot';
const cold = 'cold';
const lingerMaxMs = 1_000;
const rotateLeastBytes = 64 * KIB;
const rotateDefaultBytes = 64 * MIB;
const rotateDefaultMs = 86_400_000;
const maxTopicsCeiling = 100_000;
const keepAliveMaxMs = 65_535_000;
const keepAliveDefaultMs = 30_000;
const path = { pattern: /^[^\0]+$/, wrong: 'is not a path', remedy: 'Write a path of a file.' };
const notEmpty = { pattern: /^[\s\S]+$/, wrong: 'is empty', remedy: 'Write a value.' };

const lag = object('How far an upstream may fall behind, and what happens then.', {
  bytes: v.optional(
    size(
      { prose: 'Default: buffer.bytes under hold, half of it under skip.', change: hot },
      { min: MIB },
    ),
  ),
  age: v.optional(
    duration(
      { prose: 'Default: none under hold, buffer.age under skip.', change: hot },
      { min: 1 },
    ),
  ),
  over: v.optional(
    choice(['hold', 'skip'], {
      prose: 'hold (default for Kafka and an only upstream): devices wait; skip: events are lost.',
      change: hot,
    }),
  ),
});

const drain = object('The fastest an upstream is written to, also after an outage.', {
  messages: v.optional(rate({ prose: 'Messages, as in 5000/s.', change: hot })),
  bytes: v.optional(byteRate({ prose: 'Bytes, as in 4MiB/s.', change: hot })),
});

const sasl = object('How we prove who we are to Kafka (SASL).', {
  mechanism: choice(['plain', 'scram-sha-256', 'scram-sha-512', 'oauthbearer'], {
    prose: 'The SASL mechanism.',
    change: cold,
  }),
  username: v.optional(text({ prose: 'For plain and scram.', change: cold }, notEmpty)),
  password: v.optional(
    text({ prose: 'For plain and scram; best as a reference.', change: cold }, notEmpty),
  ),
  token: v.optional(text({ prose: 'For oauthbearer; best as file:PATH.', change: cold }, notEmpty)),
  tokenFile: v.optional(
    text({ prose: 'For oauthbearer: a file, read at each log-in.', change: cold }, path),
  ),
});

const kafka = object('A Kafka cluster.', {
  brokers: v.pipe(
    v.array(serverAddress({ prose: 'host:port of a broker.', change: cold })),
    v.minLength(1, complaint('is an empty list', 'Name at least one broker, host:port.')),
    noted({ description: 'Brokers to start from.' }),
  ),
  compression: v.optional(
    choice(['none', 'gzip', 'snappy', 'lz4', 'zstd'], {
      prose: 'Compression of record batches.',
      change: cold,
    }),
    'zstd',
  ),
  acks: v.optional(
    choice(['all'], { prose: 'A record is confirmed by all in-sync replicas.', change: cold }),
    'all',
  ),
  createTopics: v.optional(
    flag({ prose: 'Create Kafka topics that do not exist.', change: cold }),
    false,
  ),
  maxTopics: v.optional(
    count(
      { prose: 'Kafka topics this agent writes to; events for more are buried.', change: cold },
      { min: 1, max: maxTopicsCeiling },
    ),
    kafkaTopicsMax,
  ),
  linger: v.optional(
    duration({ prose: 'How long a batch waits to fill.', change: cold }, { max: lingerMaxMs }),
    '5ms',
  ),
  tls: v.optional(clientTls),
  sasl: v.optional(sasl),
  insecure: v.optional(
    flag({ prose: 'Plain text to an address that is not on this machine.', change: cold }),
    false,
  ),
});

const file = object('JSON lines in a folder, fsynced before they count as confirmed.', {
  directory: text({ prose: 'The folder; it is made.', change: cold }, path),
  rotateBytes: v.optional(
    size({ prose: 'A new file begins after this size.', change: cold }, { min: rotateLeastBytes }),
    showSize(rotateDefaultBytes),
  ),
  rotateEvery: v.optional(
    duration({ prose: 'A new file begins after this time.', change: cold }, { min: 1_000 }),
    showDuration(rotateDefaultMs),
  ),
});

const mqtt = object('An MQTT server: its PUBACK or PUBCOMP confirms.', {
  url: mqttUrl({ prose: 'mqtt:// mqtts:// ws:// or wss://, host and port.', change: cold }),
  qos: v.optional(
    count({ prose: 'QoS of what is published there.', change: cold }, { min: 0, max: 2 }),
    1,
  ),
  version: v.optional(mqttVersion({ prose: 'MQTT version of the connection.', change: cold }), 5),
  retain: v.optional(
    flag({ prose: 'Keep RETAIN of events that had it; false clears it.', change: cold }),
    true,
  ),
  inFlight: v.optional(
    count(
      {
        prose: 'Most PUBLISHes without an answer; the server’s Receive Maximum wins.',
        change: cold,
      },
      { min: 1, max: unacknowledgedFrames },
    ),
    mqttInFlightDefault,
  ),
  keepAlive: v.optional(
    duration({ prose: 'Keep Alive.', change: cold }, { min: 1_000, max: keepAliveMaxMs }),
    showDuration(keepAliveDefaultMs),
  ),
  ...credentials,
});

export const upstream = object('One place that events go to: kafka, mqtt, nats or file.', {
  kafka: v.optional(kafka),
  file: v.optional(file),
  mqtt: v.optional(mqtt),
  nats: v.optional(natsUpstream),
  lag: v.optional(lag, {}),
  drain: v.optional(drain, {}),
  from: v.optional(
    choice(['latest', 'oldest'], {
      prose: 'Where an upstream that is new to the buffer begins: with new events, or all kept.',
      change: cold,
    }),
    'latest',
  ),
});
