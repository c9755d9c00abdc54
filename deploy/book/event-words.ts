/**
 * What an operator does about each log event that is a warning or an error. Level and text stand in
 * `agent/events.ts`; a warning that is new there and not here is an error of types.
 */
import type { catalogue, EventName } from '../../agent/events.ts';

export type AlarmingName = {
  [Name in EventName]: (typeof catalogue)[Name]['level'] extends 'warn' | 'error' ? Name : never;
}[EventName];

export const eventWords: Readonly<Record<AlarmingName, string>> = {
  agentHalted: 'Read `code` and `remedy`: the process ends, and systemd starts it again.',
  configRefused: 'Mend the problems in `detail`, then reload. What ran goes on.',
  configDegraded: 'The file is broken; the last good config runs until it is mended and reloaded.',
  serviceUntold: 'The agent works on; look at NOTIFY_SOCKET and what the unit lets it reach.',
  threadSlow: 'Look at the disk: it answers late. Nothing is lost, PUBACKs wait.',
  threadStuck: 'systemd ends and starts the agent; nothing acknowledged is lost. Report the log.',
  configWarning: 'It works and is likely not what was meant: read `warning` and `remedy`.',
  tlsRefused: 'Put a good certificate and key in place; the old one is used until it ends.',
  tlsExpiring: 'Renew the certificate; the new file is taken without a restart.',
  tlsExpired: 'Renew the certificate now.',
  usersRefused: 'Mend the line named; the users of before may still log in.',
  connectionRefused: 'See `reason` below. One device, again and again: look at that device.',
  frameRefused: 'See `reason` below: this device’s software breaks the standard.',
  requestRefused:
    'A service was refused; `reason` says why, and it heard the same. Nothing of it is lost here.',
  messageRefused: 'Lost: larger than `maxMessageSize`, or malformed. Raise it or mend the sender.',
  messageOverrun: 'Lost: core NATS has no way to wait. Use JetStream for what may not be lost.',
  replyDenied: 'Let the NATS user publish to reply subjects (`allow_responses`), or drop replies.',
  consumerDiffers: 'Delete the consumer and have it made anew, if you did not mean the difference.',
  frameDropped: 'Lost, as the route’s limit says (`over: drop`). Raise it, or use `hold`.',
  frameBuried: '`tidegate dead list`: over a limit with `over: bury`, or larger than `maxBytes`.',
  frameDenied: 'The device published where no `allow` rule lets it.',
  subscribeDenied: 'The device subscribed where no `allow` rule lets it.',
  willEarly: 'Shorter Will Delays, or fewer devices on this gateway.',
  frameHeld: 'The device waits, nothing is lost. Raise the limit if that is not meant.',
  limitOverflow: 'More devices than rate buckets: the newest share one. Split the gateway.',
  brokerFailed: 'Look at the broker behind the listener: `reason` says what it did.',
  sourceRetrying: 'Look at the broker or NATS server of that source; it is tried again.',
  bufferHolding:
    'Devices wait for their PUBACK. `full`: bring an upstream back or raise `buffer.bytes`; ' +
    '`lag NAME`: that upstream is too far behind; `dead letters full`: replay or discard some.',
  bufferEvicted: 'Lost, as `whenFull: dropOldest` says.',
  bufferSkipped: 'Lost for this upstream, as its `lag` with `over: skip` says.',
  bufferAged: 'An upstream is away for longer than `buffer.age`. Under `hold` nothing is lost.',
  bufferDamaged: 'Events were damaged on the disk and are counted. Check the storage.',
  bufferDiskFull: 'Free space. Devices wait; what is acknowledged is safe.',
  bufferSyncFailed: 'Check the storage (`dmesg`). Nothing is acknowledged until a sync succeeded.',
  bufferSyncRecovered: 'The disk failed once and recovered. Nothing is lost; plan to replace it.',
  bufferSalvaged:
    'Keep the file under `aside`, check the storage; what was read is in the new one.',
  laneRetrying: 'An upstream is away: `error` and `remedy` say why. Events wait in the buffer.',
  laneHalted: 'Follow `remedy`, then `tidegate upstream resume NAME`.',
  recordBuried: '`tidegate dead list`; mend what `reason` names, then `tidegate dead replay`.',
  fleetUnreachable: 'Look at NATS and the network; the config of now goes on.',
  fleetWaiting: 'Let this gateway’s NATS user read the bucket, or push a first config.',
  fleetDeleted: 'Somebody deleted a key by hand: push again what is meant.',
  fleetRefused: '`tidegate fleet status` and this line say why; push one that is good.',
  fleetReverted: 'The config did harm here and is taken back: `reason` says which.',
  fleetTakeBackFailed: 'Read `reason`; it is tried again. Restart the agent if it stays.',
  fleetReportFailed: 'Let this gateway’s NATS user write to the status bucket.',
  unexpected: 'A defect of tidegate: please report it with the lines around it.',
};
