/**
 * One error type for the whole agent, and the closed table of its codes.
 *
 * What went wrong is a code; what follows from it (try again, bury the record, refuse the input,
 * halt the agent) and what a person can do about it stand here once, so that no caller invents its
 * own answer. Exit codes follow sysexits.h.
 */

export type ErrorClass = 'retry' | 'bury' | 'refuse' | 'halt';

interface Entry {
  readonly class: ErrorClass;
  readonly exit: number;
  readonly remedy: string;
}

export const exitCodes = {
  ok: 0,
  usage: 64,
  badData: 65,
  unavailable: 69,
  ourFault: 70,
  cannotCreate: 73,
  inputOutput: 74,
  tryLater: 75,
  config: 78,
} as const;

const table = {
  usage: { class: 'refuse', exit: 64, remedy: 'See tidegate --help.' },
  nodeTooOld: {
    class: 'halt',
    exit: 69,
    remedy: 'Run it with Node 24.6 or later; npm ci brings one as node_modules/.bin/node.',
  },
  configInvalid: {
    class: 'refuse',
    exit: 78,
    remedy: 'Mend the keys named above; tidegate check FILE shows them all with their lines.',
  },
  configMissing: { class: 'refuse', exit: 78, remedy: 'Name a readable file with --config.' },
  configTooLarge: {
    class: 'refuse',
    exit: 78,
    remedy: 'Let one Topic Filter with wildcards serve several routes, limits or allow rules.',
  },
  reloadNeedsRestart: {
    class: 'refuse',
    exit: 78,
    remedy: 'Restart the agent to change these keys, or set them back and reload again.',
  },
  stopping: { class: 'refuse', exit: 75, remedy: 'Start the agent again; it reads the file then.' },
  bindFailed: {
    class: 'halt',
    exit: 69,
    remedy: 'Free the address or choose another bind; ss -ltnp shows who holds it.',
  },
  notRunning: {
    class: 'refuse',
    exit: 69,
    remedy: 'Start the agent, or name its HTTP address with --http.',
  },
  brokerUnreachable: {
    class: 'retry',
    exit: 69,
    remedy: 'Start the broker behind the listener, or mend its address under broker.',
  },
  bufferLocked: {
    class: 'halt',
    exit: 75,
    remedy: 'Another agent runs on this buffer; stop it, or give this one its own buffer.path.',
  },
  bufferCannotOpen: {
    class: 'halt',
    exit: 73,
    remedy: 'Check that the folder of buffer.path exists and may be written.',
  },
  bufferNewer: {
    class: 'halt',
    exit: 65,
    remedy: 'This file was written by a newer tidegate; install that version again.',
  },
  bufferNotDurable: {
    class: 'halt',
    exit: 74,
    remedy: 'SQLite did not accept journal_mode=WAL with synchronous=FULL on this file system.',
  },
  bufferSyncFailed: {
    class: 'halt',
    exit: 74,
    remedy: 'The disk failed to sync and did not recover; check the storage (dmesg), then restart.',
  },
  bufferFull: {
    class: 'retry',
    exit: 74,
    remedy: 'Bring an upstream back, or raise buffer.bytes.',
  },
  diskFull: { class: 'retry', exit: 74, remedy: 'Free space on the disk that holds buffer.path.' },
  bufferFailed: { class: 'halt', exit: 74, remedy: 'Check the disk that holds buffer.path.' },
  cannotWrite: {
    class: 'refuse',
    exit: 73,
    remedy: 'Name a file that is not there yet, in a folder that may be written.',
  },
  laneUnknown: { class: 'refuse', exit: 64, remedy: 'tidegate buffer stat lists the lanes.' },
  laneInUse: {
    class: 'refuse',
    exit: 64,
    remedy: 'Take the upstream out of the config first, then forget it.',
  },
  coreMissing: { class: 'halt', exit: 70, remedy: 'Build the core with npm run core.' },
  upstreamUnreachable: {
    class: 'retry',
    exit: 69,
    remedy: 'Check the address, the network and the upstream itself; events wait in the buffer.',
  },
  upstreamRejected: { class: 'retry', exit: 69, remedy: 'See the upstream’s own log.' },
  upstreamUnauthorized: {
    class: 'halt',
    exit: 69,
    remedy:
      'Check who the agent logs in as, and that it may write there; then tidegate upstream resume' +
      ' NAME.',
  },
  upstreamUnsuited: {
    class: 'halt',
    exit: 69,
    remedy: 'Mend what the config asks of this MQTT server: version, clientId, qos or address.',
  },
  natsKeyUnreadable: {
    class: 'halt',
    exit: 69,
    remedy: 'Name a readable file under nkey or creds; it is read again at each connect.',
  },
  natsKeyInvalid: {
    class: 'refuse',
    exit: 65,
    remedy: 'tidegate fleet keygen FILE makes a pair: the seed in FILE, the public key printed.',
  },
  fleetConfigUnsigned: {
    class: 'refuse',
    exit: 65,
    remedy: 'Write configs with tidegate fleet push, which signs them.',
  },
  fleetConfigUntrusted: {
    class: 'refuse',
    exit: 65,
    remedy: 'Sign with a key that stands under fleet.trust of the gateways.',
  },
  fleetBucketMissing: {
    class: 'retry',
    exit: 69,
    remedy: 'Make it with tidegate fleet push, or let this user create streams.',
  },
  fleetConfigTooLarge: {
    class: 'refuse',
    exit: 65,
    remedy: 'Let layers share what is the same; a config fits into one message of NATS.',
  },
  natsStreamMissing: {
    class: 'retry',
    exit: 69,
    remedy: 'Create the stream (nats stream add), or mend its name; it is looked for again.',
  },
  natsConsumerShared: {
    class: 'retry',
    exit: 69,
    remedy:
      'Only this agent may pull from its consumer: look for another one with this gateway name.' +
      ' If there is none, a broken connection took them, and they come again.',
  },
  natsConsumerUnsuited: {
    class: 'retry',
    exit: 69,
    remedy: 'Name another durable, or none: then one is made that suits.',
  },
  fleetConflict: {
    class: 'refuse',
    exit: 75,
    remedy: 'See who pushed what with tidegate fleet status, then push again.',
  },
  fleetCanaryTooSmall: {
    class: 'refuse',
    exit: 64,
    remedy: 'Give a larger share with --canary, or --yes to push to all of them at once.',
  },
  fleetNoFormer: {
    class: 'refuse',
    exit: 65,
    remedy: 'tidegate fleet status shows the revisions; push a config that is good instead.',
  },
  fleetStopped: {
    class: 'refuse',
    exit: 75,
    remedy: 'Push again, or take it back with tidegate fleet rollback; fleet status shows it.',
  },
  fleetKeyUnreadable: {
    class: 'refuse',
    exit: 78,
    remedy: 'Name the seed file with --key; tidegate fleet keygen FILE makes one.',
  },
  fleetUnreachable: {
    class: 'retry',
    exit: 69,
    remedy: 'Check --servers, or fleet.servers of --config, the network and the NATS server.',
  },
  fleetUnauthorized: {
    class: 'refuse',
    exit: 69,
    remedy: 'Check --creds, --nkey, --token or --username, and what that login may do there.',
  },
  natsNoResponders: {
    class: 'retry',
    exit: 69,
    remedy: 'Nothing at this NATS server answers there: is JetStream on, does the stream exist?',
  },
  natsNoStream: {
    class: 'retry',
    exit: 69,
    remedy:
      'Create a JetStream stream that has this subject, or write unknownTopic: bury at the target.',
  },
  natsTimeout: {
    class: 'retry',
    exit: 69,
    remedy: 'The NATS server did not answer in time; see its log and the network.',
  },
  upstreamFenced: {
    class: 'halt',
    exit: 69,
    remedy: 'Another producer took this identity; stop it, then tidegate upstream resume NAME.',
  },
  recordTooLarge: {
    class: 'bury',
    exit: 65,
    remedy:
      'Raise what the upstream takes (Kafka: max.message.bytes, NATS: max_payload or the stream’s' +
      ' max_msg_size), then replay the dead letter.',
  },
  recordInvalid: { class: 'bury', exit: 65, remedy: 'See the dead letter; mend, then replay it.' },
  topicInvalid: {
    class: 'bury',
    exit: 65,
    remedy:
      'Mend the route’s topic template: Kafka takes [a-zA-Z0-9._-]{1,249}, MQTT no + # or NUL,' +
      ' NATS no empty token.',
  },
  loop: {
    class: 'bury',
    exit: 65,
    remedy:
      'Events come back to a gateway they passed: mend the routes that send them in a circle.',
  },
  topicUnknown: {
    class: 'bury',
    exit: 65,
    remedy:
      'Create the Kafka topic, or set createTopics: true on the upstream; NATS: create a stream' +
      ' that has this subject.',
  },
  tooManyTopics: {
    class: 'bury',
    exit: 65,
    remedy: 'Raise maxTopics on the upstream, or put fewer captures into the topic template.',
  },
  tlsFileUnreadable: {
    class: 'refuse',
    exit: 78,
    remedy: 'Name a PEM file that the user of the agent may read.',
  },
  tlsFileInvalid: {
    class: 'refuse',
    exit: 78,
    remedy: 'Give a certificate with its chain behind it, and its own unencrypted key, as PEM.',
  },
  usersUnreadable: {
    class: 'refuse',
    exit: 78,
    remedy: 'Make it with tidegate password FILE NAME, and let the user of the agent read it.',
  },
  usersInvalid: {
    class: 'refuse',
    exit: 78,
    remedy: 'Mend or remove that line; tidegate password FILE NAME writes a good one.',
  },
  userUnknown: { class: 'refuse', exit: 65, remedy: 'Add it: tidegate password FILE NAME.' },
  passwordInvalid: {
    class: 'refuse',
    exit: 65,
    remedy: 'Give a password of 1 to 65535 bytes, on one line, and twice the same on a terminal.',
  },
  passwordWrong: {
    class: 'refuse',
    exit: 65,
    remedy: 'Set it again with tidegate password FILE NAME.',
  },
  passwordFileFailed: {
    class: 'refuse',
    exit: 73,
    remedy: 'Check that the folder of the password file exists and may be written.',
  },
  secretUnreadable: {
    class: 'retry',
    exit: 78,
    remedy: 'Name a file that the user of the agent may read.',
  },
  tlsMissing: {
    class: 'retry',
    exit: 69,
    remedy: 'That port speaks TLS: add tls: {} to the upstream, with ca: FILE for an own CA.',
  },
  tlsUnknownCa: {
    class: 'retry',
    exit: 69,
    remedy: 'Name the CA that signed the certificate of the other side under tls.ca.',
  },
  tlsWrongName: {
    class: 'retry',
    exit: 69,
    remedy: 'Connect by a name that its certificate has, or say which one under tls.serverName.',
  },
  tlsExpired: {
    class: 'retry',
    exit: 69,
    remedy: 'Renew the certificate of the other side, and check the clock of this machine.',
  },
  tlsNotSpoken: {
    class: 'retry',
    exit: 69,
    remedy: 'Name the port on which the other side speaks TLS 1.2 or 1.3.',
  },
  tlsTurnedAway: {
    class: 'retry',
    exit: 69,
    remedy: 'Name a certificate that the other side trusts under tls.certificate, and its tls.key.',
  },
  internal: {
    class: 'halt',
    exit: 70,
    remedy: 'This is a defect of tidegate; please report it with the log.',
  },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof table;

export class TidegateError extends Error {
  readonly code: ErrorCode;

  /** @param detail what happened, where, in one sentence without a full stop */
  constructor(code: ErrorCode, detail: string, options?: { cause?: unknown }) {
    super(detail, options);
    this.name = 'TidegateError';
    this.code = code;
  }

  get class(): ErrorClass {
    return table[this.code].class;
  }

  get exit(): number {
    return table[this.code].exit;
  }

  get remedy(): string {
    return table[this.code].remedy;
  }
}

export function remedyOf(code: ErrorCode): string {
  return table[code].remedy;
}

/** The sentence of any thrown thing, for logs. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
