/**
 * Keys about NATS: sources (core subjects and JetStream), the upstream, and the fleet. What all of
 * them share is who we are to a server. Relations between keys are in relations-nats.ts.
 */
import * as v from 'valibot';
import {
  confirmWithinDefaultMs,
  fleetBacklogGrowthBytes,
  fleetErrorsMost,
  MIB,
  maxPacketSizeCeilingBytes,
  maxPacketSizeDefaultBytes,
  natsInFlightDefault,
  natsInFlightMost,
  reportEveryDefaultMs,
} from '../bounds.ts';
import {
  choice,
  count,
  duration,
  flag,
  freeText,
  noted,
  oneOrList,
  size,
  text,
} from './scalars.ts';
import { natsSubject, natsUrl } from './scalars-nats.ts';
import { clientTls, object } from './schema-connections.ts';
import { showDuration, showSize } from './units.ts';

const hot = 'hot';
const cold = 'cold';
const messageLeastBytes = 128;
const confirmLeastMs = 1_000;
const confirmMostMs = 3_600_000;
const reportLeastMs = 1_000;
const errorsCeiling = 1_000_000;

const path = { pattern: /^[^\0]+$/, wrong: 'is not a path', remedy: 'Write a path of a file.' };
const notEmpty = { pattern: /^[\s\S]+$/, wrong: 'is empty', remedy: 'Write a value.' };
/** Names of streams, consumers and buckets: server/stream.go, server/consumer.go. */
const natsName = {
  pattern: /^[^\s.*>/\\\p{Cc}]{1,255}$/u,
  wrong: 'is not a name for NATS: it holds a dot, a space, *, > or a slash',
  remedy: 'Write letters, digits, - and _.',
};
const bucketName = {
  pattern: /^[a-zA-Z0-9_-]{1,200}$/,
  wrong: 'is not the name of a bucket',
  remedy: 'Write letters, digits, - and _.',
};
const groupName = {
  pattern: /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
  wrong: 'is not a name of 1 to 63 characters a-z, 0-9 and inner -',
  remedy: 'Write lower-case letters, digits and -, as in line-a.',
};
const publicKey = {
  pattern: /^[A-Z2-7]{56}$/,
  wrong: 'is not a public nkey',
  remedy: 'Write the line of 56 characters that tidegate fleet keygen printed.',
};

const client = {
  servers: oneOrList(natsUrl({ prose: 'nats:// or tls://, host and port.', change: cold }), {
    prose: 'NATS servers to start from; those of their cluster are learnt.',
    change: cold,
  }),
  username: v.optional(text({ prose: 'User.', change: cold }, notEmpty)),
  password: v.optional(text({ prose: 'Password; best as a reference.', change: cold }, notEmpty)),
  token: v.optional(text({ prose: 'Token; best as a reference.', change: cold }, notEmpty)),
  nkey: v.optional(
    text({ prose: 'File with an nkey seed, read at each connect.', change: cold }, path),
  ),
  creds: v.optional(
    text({ prose: '.creds file (JWT and seed), read at each connect.', change: cold }, path),
  ),
  tls: v.optional(clientTls),
  insecure: v.optional(
    flag({ prose: 'Plain text to an address that is not on this machine.', change: cold }),
    false,
  ),
};

export const natsSource = object('Subjects, or a stream, of a NATS server.', {
  ...client,
  subjects: v.optional(
    oneOrList(natsSubject({ prose: 'A subject; * and > are wildcards.', change: cold }), {
      prose: 'Subjects to subscribe; with stream: which of its subjects.',
      change: cold,
    }),
  ),
  queue: v.optional(
    text(
      { prose: 'Queue group: each message goes to one of its members.', change: cold },
      natsName,
    ),
  ),
  stream: v.optional(
    text(
      { prose: 'JetStream: the stream; acknowledged after the commit.', change: cold },
      natsName,
    ),
  ),
  durable: v.optional(
    text(
      {
        prose: 'Its durable pull consumer; made when missing. Default: tidegate-GATEWAY.',
        change: cold,
      },
      natsName,
    ),
  ),
  acks: v.optional(
    choice(['auto', 'explicit'], {
      prose:
        'auto: one acknowledgement a commit (AckPolicy.All) on a consumer of our own, else one a' +
        ' message; explicit: one a message.',
      change: cold,
    }),
    'auto',
  ),
  from: v.optional(
    choice(['oldest', 'latest'], {
      prose: 'Where a consumer that we make begins.',
      change: cold,
    }),
    'oldest',
  ),
  device: v.optional(
    freeText({
      prose:
        'Who published: {topic} (default, the subject), {1} … a wildcard of the matching route,' +
        ' or header:NAME.',
      change: cold,
    }),
    '{topic}',
  ),
  maxMessageSize: v.optional(
    size(
      { prose: 'The largest message taken, headers included.', change: cold },
      { min: messageLeastBytes, max: maxPacketSizeCeilingBytes },
    ),
    showSize(maxPacketSizeDefaultBytes),
  ),
});

export const natsUpstream = object('A NATS server: JetStream’s PubAck confirms.', {
  ...client,
  jetstream: v.optional(
    flag({
      prose: 'true: into streams, with Nats-Msg-Id; false: core NATS, for at-most-once.',
      change: cold,
    }),
    true,
  ),
  inFlight: v.optional(
    count(
      { prose: 'Most messages without a PubAck.', change: cold },
      { min: 1, max: natsInFlightMost },
    ),
    natsInFlightDefault,
  ),
});

export const fleet = object('Config that comes over NATS, signed. Only in the local file.', {
  ...client,
  trust: oneOrList(
    text({ prose: 'A public nkey (tidegate fleet keygen).', change: cold }, publicKey),
    { prose: 'Whose signature counts.', change: cold },
  ),
  groups: v.optional(
    v.pipe(
      v.array(text({ prose: 'A group of gateways.', change: cold }, groupName)),
      noted({ description: 'Groups of this gateway, from wide to narrow.' }),
    ),
    [],
  ),
  bucket: v.optional(
    text({ prose: 'KV bucket of the configs.', change: cold }, bucketName),
    'tidegate-config',
  ),
  statusBucket: v.optional(
    text({ prose: 'KV bucket of what gateways report.', change: cold }, bucketName),
    'tidegate-status',
  ),
  confirmWithin: v.optional(
    duration(
      { prose: 'A config that does harm within this time is taken back.', change: hot },
      { min: confirmLeastMs, max: confirmMostMs },
    ),
    showDuration(confirmWithinDefaultMs),
  ),
  reportEvery: v.optional(
    duration(
      { prose: 'How often this gateway reports; it counts as gone after three.', change: hot },
      { min: reportLeastMs, max: confirmMostMs },
    ),
    showDuration(reportEveryDefaultMs),
  ),
  revertWhen: v.optional(
    object('What counts as harm, beside a lost upstream and a lost NATS.', {
      errors: v.optional(
        count(
          { prose: 'More error events than this, beyond those before.', change: hot },
          { min: 0, max: errorsCeiling },
        ),
        fleetErrorsMost,
      ),
      backlog: v.optional(
        size({ prose: 'The backlog grew by more than this.', change: hot }, { min: MIB }),
        showSize(fleetBacklogGrowthBytes),
      ),
    }),
    {},
  ),
});
