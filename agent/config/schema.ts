/**
 * Every key of the config, once: its type, default, unit, prose, and whether a change to it applies
 * to a running agent (hot) or takes a restart (cold). Checking, the JSON Schema for editors and the
 * table of known keys are read from here; nothing else repeats a key's default.
 *
 * The MQTT seats, the upstreams and what connections share have files of their own (schema-*.ts).
 * Relations between keys are in relations.ts, what a default depends on another key for is in
 * normalise.ts (lag, topics, bursts), and keys of versions to come are in later.ts.
 */
import * as v from 'valibot';
import {
  bridgeClientsMax,
  bufferDefaultBytes,
  bufferReserveBytes,
  GIB,
  limitsMax,
  MIB,
  maxPacketSizeCeilingBytes,
  routesMax,
  segmentRegionBytes,
  stopWithinDefaultMs,
} from '../bounds.ts';
import {
  address,
  byteRate,
  choice,
  complaint,
  count,
  duration,
  flag,
  freeText,
  noted,
  objectOrOff,
  oneOrList,
  rate,
  size,
  text,
  topicFilter,
} from './scalars.ts';
import { object } from './schema-connections.ts';
import { listener, source } from './schema-mqtt.ts';
import { fleet, natsSource } from './schema-nats.ts';
import { upstream } from './schema-upstreams.ts';
import { showDuration, showSize } from './units.ts';

const hot = 'hot';
const cold = 'cold';

/** Room for the reserve, two commits on their way and the pages SQLite needs around them. */
export const bufferLeastBytes = bufferReserveBytes + 8 * segmentRegionBytes + MIB;
export const commitEveryMaxMs = 50;
const burstMax = 1_000_000;
const stopWithinMaxMs = 300_000;
const bufferDefaultAgeMs = 7 * 86_400_000;

const nameShape = {
  pattern: /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
  wrong: 'is not a name of 1 to 63 characters a-z, 0-9 and inner -',
  remedy: 'Write lower-case letters, digits and -, as in plant7-gw03.',
};
const notEmpty = { pattern: /^[\s\S]+$/, wrong: 'is empty', remedy: 'Write a value.' };
const path = { pattern: /^[^\0]+$/, wrong: 'is not a path', remedy: 'Write a path of a file.' };
const deviceName = {
  pattern: /^[^\p{Cc}]{1,128}$/u,
  wrong: 'is not a name of 1 to 128 printable characters',
  remedy: 'Write a name, as in erp.',
};
/** RFC 6750, section 2.1. */
const tokenShape = {
  pattern: /^[A-Za-z0-9._~+/-]{16,512}=*$/,
  wrong: 'is not a bearer token of at least 16 characters A-Z a-z 0-9 . _ ~ + / -',
  remedy: 'Make one, as with openssl rand -base64 32.',
};
const routeName = {
  pattern: /^[^\p{Cc}]{1,128}$/u,
  wrong: 'is not a name of 1 to 128 printable characters',
  remedy: 'Write a name, as in telemetry.',
};

const limit = object('A token bucket. Name messages, bytes or both.', {
  per: choice(['device', 'route', 'topicName', 'gateway'], {
    prose: 'What has a bucket of its own.',
    change: hot,
  }),
  messages: v.optional(rate({ prose: 'Messages refilled, as in 100/s.', change: hot })),
  bytes: v.optional(byteRate({ prose: 'Payload bytes refilled, as in 64KiB/s.', change: hot })),
  burst: v.optional(
    count(
      { prose: 'Messages a full bucket holds. Default: one second of messages.', change: hot },
      { min: 1, max: burstMax },
    ),
  ),
  burstBytes: v.optional(
    size({
      prose: 'Bytes a full bucket holds; a larger message takes all. Default: one second of bytes.',
      change: hot,
    }),
  ),
  over: v.optional(
    choice(['hold', 'drop', 'bury'], {
      prose:
        'What happens beyond it: the device waits, the frame is dropped, or kept as a dead letter.',
      change: hot,
    }),
    'hold',
  ),
});

const target = object('Where the events of a route go.', {
  upstream: text({ prose: 'A name under upstreams.', change: hot }, notEmpty),
  topic: v.optional(
    freeText({
      prose: 'Template of the record’s topic. Default: the Topic Name; for Kafka with "." for "/".',
      change: hot,
    }),
    '{topic}',
  ),
  key: v.optional(
    freeText({ prose: 'Template of the record’s key; order is kept per key.', change: hot }),
    '{device}',
  ),
  delivery: v.optional(
    choice(
      ['at-least-once', 'at-most-once'],
      {
        prose: 'Retried until confirmed, or sent at most once.',
        change: cold,
      },
      /^exactly-once$/,
    ),
    'at-least-once',
  ),
  envelope: v.optional(
    choice(['cloudevents', 'none'], {
      prose: 'CloudEvents 1.0 headers (binary mode), or none.',
      change: hot,
    }),
    'cloudevents',
  ),
  headers: v.optional(
    v.pipe(
      v.record(v.string(), v.string()),
      noted({
        description: 'Headers of each record; values are templates.',
        'x-change': hot,
      }),
    ),
    {},
  ),
  unknownTopic: v.optional(
    choice(['hold', 'bury'], {
      prose: 'What a Kafka topic that does not exist does: hold the lane until it does, or bury.',
      change: hot,
    }),
    'hold',
  ),
});

const route = object('Events whose Topic Name matches; the first matching route takes them.', {
  name: text({ prose: 'Unique; ce_type of its records.', change: hot }, routeName),
  from: topicFilter({
    prose: 'A Topic Filter; + and # leave the captures {1}, {2} …',
    change: hot,
  }),
  to: oneOrList(target, { prose: 'One target or a list of them.', change: hot }),
  limits: v.optional(v.pipe(v.array(limit), noted({ description: 'Rates, checked in turn.' })), []),
  local: v.optional(
    flag({ prose: 'Subscribers of the broker behind the listener get it too.', change: hot }),
    true,
  ),
  maxBytes: v.optional(
    size(
      { prose: 'The largest payload; a larger one is kept as a dead letter.', change: hot },
      { min: 1, max: maxPacketSizeCeilingBytes },
    ),
  ),
});

const buffer = object('The SQLite file that events wait in.', {
  path: v.optional(text({ prose: 'The file.', change: cold }, path), './tidegate.db'),
  bytes: v.optional(
    size(
      { prose: 'All it may take: file, write-ahead log and dead letters.', change: cold },
      { min: bufferLeastBytes, max: 8_192 * GIB },
    ),
    showSize(bufferDefaultBytes),
  ),
  age: v.optional(
    duration(
      { prose: 'Older events are evicted (dropOldest) or warned of (hold).', change: cold },
      { min: 1_000 },
    ),
    showDuration(bufferDefaultAgeMs),
  ),
  whenFull: v.optional(
    choice(['hold', 'dropOldest'], {
      prose: 'hold: devices wait, nothing is lost; dropOldest: the oldest events are lost.',
      change: cold,
    }),
    'hold',
  ),
  commitEvery: v.optional(
    duration(
      {
        prose: 'Wait this long for a fuller commit: less flash wear, later acknowledgements.',
        change: hot,
      },
      { max: commitEveryMaxMs },
    ),
    '0ms',
  ),
  compression: v.optional(
    choice(['none', 'zstd'], {
      prose: 'zstd: less is written for events that compress, for some time of the processor.',
      change: hot,
    }),
    'none',
  ),
});

const client = object('A service that uses the bridge, known by its bearer token.', {
  device: text(
    { prose: 'What records and limits name it, as they name a device.', change: cold },
    deviceName,
  ),
  token: text({ prose: 'Its token; best as a reference.', change: cold }, tokenShape),
});

const bridge = object('REST Proxy (POST /topics/T, /v3/…) and CloudEvents (POST /events).', {
  rest: v.optional(
    text(
      { prose: 'Upstream of what no route takes; without it that is refused.', change: hot },
      notEmpty,
    ),
  ),
  clients: v.optional(
    v.pipe(
      v.array(client),
      v.maxLength(
        bridgeClientsMax,
        complaint(`has more than ${bridgeClientsMax} clients`, 'Share.'),
      ),
      noted({ description: 'With any, others are refused; without, loopback alone may come.' }),
    ),
    [],
  ),
});

const http = object('/healthz /readyz /metrics /status, and the commands of this machine.', {
  bind: v.optional(
    address({ prose: 'Where to listen, host:port.', change: cold }),
    '127.0.0.1:8080',
  ),
  insecure: v.optional(
    flag({ prose: 'Accept plain text without authentication from other machines.', change: cold }),
    false,
  ),
  bridge: v.optional(bridge),
});

export const configSchema = object('The config of a tidegate agent.', {
  gateway: v.optional(
    text(
      {
        prose: 'Name of this gateway. Default: host name and 8 digits of the machine id.',
        change: cold,
      },
      nameShape,
    ),
  ),
  mqtt: v.optional(
    object('Devices that speak MQTT.', {
      listeners: v.optional(
        v.pipe(v.array(listener), noted({ description: 'Sockets for devices.' })),
      ),
      sources: v.optional(
        v.pipe(v.array(source), noted({ description: 'Brokers that we subscribe at.' })),
        [],
      ),
    }),
    {},
  ),
  nats: v.optional(
    object('Devices that speak NATS.', {
      sources: v.optional(
        v.pipe(v.array(natsSource), noted({ description: 'Servers that we listen at.' })),
        [],
      ),
    }),
    {},
  ),
  fleet: v.optional(fleet),
  routes: v.pipe(
    v.array(route),
    v.maxLength(routesMax, complaint(`has more than ${routesMax} routes`, 'Merge routes.')),
    noted({ description: 'In order; the first match wins.' }),
  ),
  upstreams: v.pipe(v.record(v.string(), upstream), noted({ description: 'By name.' })),
  buffer: v.optional(buffer, {}),
  http: v.optional(objectOrOff(http, { prose: 'The local HTTP port, or off.', change: cold }), {}),
  log: v.optional(
    object('The log on standard output.', {
      level: v.optional(
        choice(['debug', 'info', 'warn', 'error'], {
          prose: 'The least level written.',
          change: hot,
        }),
        'info',
      ),
    }),
    {},
  ),
  stopWithin: v.optional(
    duration(
      { prose: 'On SIGTERM: commit, acknowledge and close within this time.', change: hot },
      { max: stopWithinMaxMs },
    ),
    showDuration(stopWithinDefaultMs),
  ),
});

export type Written = v.InferOutput<typeof configSchema>;
export const limitsInAll = limitsMax;
