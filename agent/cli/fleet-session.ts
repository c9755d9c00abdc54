/**
 * What push and rollback have in common: options about the key and the wait, and the fleet as it is
 * now (connection, configs, reports) for as long as the command works.
 */
import type { Command } from 'commander';
import { TidegateError } from '../errors.ts';
import type { Nkey } from '../nats-client.ts';
import type { CliContext } from './context.ts';
import { FleetBucket } from './fleet-bucket.ts';
import { FleetLink } from './fleet-link.ts';
import type { FleetPlace } from './fleet-place.ts';
import type { Pusher } from './fleet-pusher.ts';
import { FleetReports } from './fleet-reports.ts';

export const followDefault = '2m';

export function targetFlags(command: Command): Command {
  return command
    .option('--group <name>', 'the layer of this group')
    .option('--gateway <name>', 'the layer of this gateway')
    .option('--key <file>', 'the seed that signs (or TIDEGATE_FLEET_KEY)');
}

export function followFlag(command: Command): Command {
  const prose = 'wait this long for the gateways; 0s does not wait';
  return command.option('--follow <time>', prose, followDefault);
}

/** @throws TidegateError usage */
export async function durationOf(flag: string, text: string): Promise<number> {
  const { readDuration } = await import('../config/units.ts');
  const read = readDuration(text);
  if ('value' in read) return read.value;
  throw new TidegateError('usage', `${flag} ${text} ${read.wrong}. ${read.remedy}`);
}

export interface Fleet {
  readonly link: FleetLink;
  readonly bucket: FleetBucket;
  readonly reports: FleetReports;
}

/** A revision on its way, and what it takes to follow it. */
export interface Operation {
  readonly context: CliContext;
  readonly json: boolean;
  readonly key: string;
  readonly place: FleetPlace;
  readonly link: FleetLink;
  readonly reports: FleetReports;
  readonly pusher: Pusher;
  readonly followMs: number;
  /** Aborted by SIGINT and SIGTERM. */
  readonly stop: AbortSignal;
}

/** @throws TidegateError, also when the connection was lost in the middle */
export async function withFleet<T>(
  { place, own }: { place: FleetPlace; own?: Nkey },
  work: (fleet: Fleet) => Promise<T>,
): Promise<T> {
  const link = await FleetLink.open(place);
  try {
    const bucket = await FleetBucket.open({ link, place, ...(own ? { own } : {}) });
    const kv = await link.bucket(place.statusBucket);
    const reports = await FleetReports.open(link, place.statusBucket, kv);
    return await work({ link, bucket, reports });
  } finally {
    await link.close();
  }
}
