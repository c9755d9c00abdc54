/**
 * The closed catalogue of what the agent reports. Each event is one kind of log line and its
 * counters; code reports through `report`, never to a logger, so that a line and its counter cannot
 * differ. Level follows loss: debug per batch, info for what an operator did, warn for nothing lost
 * yet, error for data lost or hands needed.
 *
 * Threads other than the main one post their events to it (`{ kind: 'event', … }`); the main
 * thread's telemetry room is the one sink.
 */

export type Level = 'debug' | 'info' | 'warn' | 'error';

export const catalogue = {
  agentStarting: { level: 'info', text: 'starting' },
  agentReady: { level: 'info', text: 'ready: buffer open, listeners bound' },
  agentStopping: { level: 'info', text: 'stopping: commit, acknowledge, close' },
  agentStopped: { level: 'info', text: 'stopped' },
  agentHalted: { level: 'error', text: 'halted' },
  serviceUntold: { level: 'warn', text: 'the service manager cannot be told: it goes on without' },
  threadSlow: { level: 'warn', text: 'a thread does not answer: the disk may be slow' },
  threadStuck: { level: 'error', text: 'a thread hangs: the service manager is to end the agent' },
  configLoaded: { level: 'info', text: 'config loaded' },
  configReloaded: { level: 'info', text: 'config reloaded' },
  configRefused: { level: 'error', text: 'config refused' },
  configDegraded: { level: 'error', text: 'running on the last good config' },
  configWarning: { level: 'warn', text: 'config warning' },
  listenerBound: { level: 'info', text: 'listening' },
  tlsReloaded: { level: 'info', text: 'certificate changed: new connections get the new one' },
  tlsRefused: { level: 'error', text: 'certificate changed and is no good: the old one stays' },
  tlsExpiring: { level: 'warn', text: 'certificate ends soon' },
  tlsExpired: { level: 'error', text: 'certificate has ended: others refuse it' },
  usersReloaded: { level: 'info', text: 'password file changed: new log-ins use the new one' },
  usersRefused: {
    level: 'error',
    text: 'password file changed and is no good: the old users stay',
  },
  connectionOpened: { level: 'debug', text: 'device connected' },
  connectionClosed: { level: 'debug', text: 'device connection closed' },
  connectionRefused: { level: 'warn', text: 'connection ended by us' },
  frameRefused: { level: 'warn', text: 'malformed packet: connection closed' },
  messageRefused: { level: 'error', text: 'message that cannot be stored: data lost' },
  messageOverrun: { level: 'error', text: 'core NATS came faster than the path: messages dropped' },
  replyDenied: { level: 'warn', text: 'the NATS server does not let us answer there' },
  consumerMade: { level: 'info', text: 'JetStream consumer made' },
  consumerDiffers: { level: 'warn', text: 'JetStream consumer is not as the config would make it' },
  requestRefused: { level: 'warn', text: 'HTTP request refused' },
  frameDropped: { level: 'error', text: 'frames dropped by a limit' },
  frameBuried: { level: 'error', text: 'frames buried' },
  frameDenied: { level: 'warn', text: 'no allow rule: not published' },
  subscribeDenied: { level: 'warn', text: 'no allow rule: not subscribed' },
  willEarly: {
    level: 'warn',
    text: 'too many Wills wait: the oldest is published before its time',
  },
  frameHeld: { level: 'warn', text: 'device held by a limit' },
  limitOverflow: { level: 'warn', text: 'no free rate bucket: new keys share one' },
  brokerFailed: { level: 'error', text: 'broker behind the listener failed' },
  sourceSubscribed: { level: 'info', text: 'subscribed at the broker' },
  sourceRetrying: { level: 'warn', text: 'no connection to the broker of a source' },
  bufferHolding: { level: 'warn', text: 'buffer holds: acknowledgements wait' },
  bufferReleased: { level: 'info', text: 'buffer takes events again' },
  bufferEvicted: { level: 'error', text: 'oldest segments evicted: data lost' },
  bufferSkipped: { level: 'error', text: 'lane skipped ahead: data lost for this upstream' },
  bufferAged: { level: 'warn', text: 'events are older than buffer.age' },
  bufferDamaged: { level: 'error', text: 'damaged segment set aside' },
  bufferDiskFull: { level: 'error', text: 'disk full' },
  bufferSyncFailed: { level: 'error', text: 'sync failed: recovering' },
  bufferSyncRecovered: { level: 'warn', text: 'sync recovered: pages rewritten' },
  bufferSalvaged: { level: 'error', text: 'buffer file damaged: moved aside and salvaged' },
  sessionsExpired: { level: 'info', text: 'what sessions left behind is too old: deleted' },
  commit: { level: 'debug', text: 'commit' },
  laneRetrying: { level: 'warn', text: 'upstream unavailable: events wait in the buffer' },
  laneHalted: { level: 'error', text: 'upstream needs hands' },
  deadReplayed: { level: 'info', text: 'dead letters replayed' },
  deadDiscarded: { level: 'info', text: 'dead letters discarded' },
  recordBuried: { level: 'error', text: 'record buried as a dead letter' },
  fleetConnected: { level: 'info', text: 'fleet: connected to NATS' },
  fleetUnreachable: { level: 'warn', text: 'fleet: NATS unreachable, what runs goes on' },
  fleetWaiting: { level: 'warn', text: 'fleet: the bucket of configs cannot be read yet' },
  fleetApplied: { level: 'info', text: 'fleet: config applied' },
  fleetConfirmed: { level: 'info', text: 'fleet: config did no harm: confirmed' },
  fleetSpared: { level: 'info', text: 'fleet: a canary for other gateways' },
  fleetDeleted: { level: 'warn', text: 'fleet: config deleted unsigned: what runs goes on' },
  fleetRefused: { level: 'error', text: 'fleet: config refused: what runs goes on' },
  fleetReverted: { level: 'error', text: 'fleet: config did harm: taken back' },
  fleetTakeBackFailed: { level: 'error', text: 'fleet: taking a config back failed: tried again' },
  fleetReportFailed: { level: 'warn', text: 'fleet: this gateway could not report' },
  unexpected: { level: 'error', text: 'unexpected' },
} as const satisfies Record<string, { level: Level; text: string }>;

export type EventName = keyof typeof catalogue;
export type Fields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface AgentEvent {
  readonly name: EventName;
  readonly fields: Fields;
}

export type Report = (name: EventName, fields?: Fields) => void;

/** The closed list of promise 2: a cursor passes a frame only with one of these. */
export const outcomes = [
  'confirmed',
  'buried',
  'evicted',
  'expired',
  'damaged',
  'skipped',
  'sentOnce',
] as const;
export type Outcome = (typeof outcomes)[number];
export type OutcomeCounts = Partial<Record<Outcome, number>>;
