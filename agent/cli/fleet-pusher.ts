/**
 * One key, one operator: what to sign it with, its revisions so far, and the next one. Every
 * revision written here stands right behind the one that was looked at, or is a conflict.
 */
import { readFileSync } from 'node:fs';
import { messageOf, TidegateError } from '../errors.ts';
import { fleetKey, gatewayKey, groupKey } from '../fleet/report.ts';
import type { Rollout, SignedConfig } from '../fleet/signed.ts';
import type { Nkey } from '../nats-client.ts';
import type { CliContext } from './context.ts';
import type { FleetBucket, Stored } from './fleet-bucket.ts';
import type { FleetFlags, FleetPlace } from './fleet-place.ts';

export interface TargetFlags extends FleetFlags {
  readonly group?: string;
  readonly gateway?: string;
  readonly key?: string;
}

const nameShape = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const keyVariable = 'TIDEGATE_FLEET_KEY';
/** Ahead of what we trust: more is made up, and to sign the next one would use up the numbers. */
const revisionsAheadMost = 1_000_000;

/** @throws TidegateError usage */
export function targetOf({ group, gateway }: TargetFlags): string {
  if (group !== undefined && gateway !== undefined) {
    throw new TidegateError('usage', '--group and --gateway exclude each other');
  }
  const name = group ?? gateway;
  if (name === undefined) return fleetKey;
  if (!nameShape.test(name)) {
    const shape = 'a name of 1 to 63 characters a-z, 0-9 and inner -';
    throw new TidegateError('usage', `${JSON.stringify(name)} is not ${shape}`);
  }
  return group === undefined ? gatewayKey(name) : groupKey(name);
}

/** @throws TidegateError usage, fleetKeyUnreadable, natsKeyInvalid, fleetConfigUntrusted */
export async function signerOf(
  { key }: TargetFlags,
  { trust, config }: FleetPlace,
  { env }: CliContext,
): Promise<Nkey> {
  const file = key ?? env[keyVariable];
  if (file === undefined || file === '') {
    throw new TidegateError('usage', `--key SEEDFILE is missing, and ${keyVariable} is not set`);
  }
  const { nkeyFromSeed } = await import('../nats-client.ts');
  let signer: Nkey;
  try {
    signer = nkeyFromSeed(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof TidegateError)
      throw new TidegateError(error.code, `${file}: ${error.message}`);
    throw new TidegateError('fleetKeyUnreadable', messageOf(error), { cause: error });
  }
  if (trust === null || trust.includes(signer.publicKey)) return signer;
  const detail = `${file} is the key ${signer.publicKey}, which fleet.trust of ${config} has not`;
  throw new TidegateError('fleetConfigUntrusted', detail);
}

export interface PusherParts {
  readonly bucket: FleetBucket;
  readonly key: string;
  readonly signer: Nkey;
  /** Oldest first. */
  readonly history: readonly Stored[];
  /** Highest revision that a gateway says it has seen, of those up to `most`. */
  readonly reported: (most: number) => number;
}

export class Pusher {
  readonly #parts: PusherParts;
  #sequence: number;
  #revision: number;

  constructor(parts: PusherParts) {
    this.#parts = parts;
    this.#sequence = parts.history.at(-1)?.sequence ?? 0;
    const ours = parts.history.filter(({ trusted }) => trusted === true);
    const most = highest(ours) + revisionsAheadMost;
    const others = parts.history.filter(({ signed }) => (signed?.revision ?? 0) <= most);
    // A bucket that has lost some: gateways take nothing that they must believe to be old.
    this.#revision = Math.max(highest(ours), highest(others), parts.reported(most));
  }

  /** Of the last that was pushed. */
  get revision(): number {
    return this.#revision;
  }

  /** @throws TidegateError fleetConflict, fleetConfigTooLarge */
  async push(config: string, rollout: Rollout | null): Promise<number> {
    const { key, signer, bucket } = this.#parts;
    const revision = this.#revision + 1;
    if (!Number.isSafeInteger(revision)) {
      const detail = `${key}: somebody used up the revisions; --config FILE says whom to trust`;
      throw new TidegateError('fleetConflict', detail);
    }
    const { signConfig } = await import('../fleet/signed.ts');
    const pushedAt = new Date().toISOString();
    const text = signConfig({ key, revision, pushedAt, config, rollout }, signer);
    this.#sequence = await bucket.write(key, text, this.#sequence);
    this.#revision = revision;
    return revision;
  }
}

/** Those that gateways may have taken. */
function counting(history: readonly Stored[]): SignedConfig[] {
  return history.flatMap(({ signed, trusted }) => (signed && trusted !== false ? [signed] : []));
}

function highest(history: readonly Stored[]): number {
  return Math.max(0, ...counting(history).map(({ revision }) => revision));
}

/**
 * Before something is put back: is what the bucket keeps what the gateways run?
 * @param seen the highest revision there ever was, @param former what would be put back
 * @throws TidegateError fleetNoFormer
 */
export function assertKept(
  history: readonly Stored[],
  { key, seen, former }: { key: string; seen: number; former: SignedConfig | null },
): void {
  const last = highest(history);
  if (seen > last) {
    const detail = `gateways have seen revision ${seen}, the bucket keeps ${last || 'none'}`;
    throw new TidegateError('fleetNoFormer', `${key}: ${detail}`);
  }
  const isWhole = last === 0 || counting(history).some(({ revision }) => revision === 1);
  if (former !== null || isWhole) return;
  throw new TidegateError('fleetNoFormer', `${key}: what was for everyone is no longer kept`);
}

export function currentOf(history: readonly Stored[]): SignedConfig | null {
  const last = highest(history);
  return counting(history).find(({ revision }) => revision === last) ?? null;
}

/** The last that was for everyone: what runs where a canary is not. */
export function standingOf(history: readonly Stored[]): SignedConfig | null {
  return currentOf(history.filter(({ signed }) => signed?.rollout === null));
}

/**
 * What was for everyone before it; what failed as a canary never was. null: before a canary that is
 * still out there was nothing.
 * @throws TidegateError fleetNoFormer
 */
export function formerOf(history: readonly Stored[], key: string): SignedConfig | null {
  const current = currentOf(history);
  if (current === null) {
    throw new TidegateError('fleetNoFormer', `${key} has no revision at all`);
  }
  const { hash, revision, rollout } = current;
  const former = history.filter(({ signed }) => {
    return signed !== null && signed.revision < revision && signed.hash !== hash;
  });
  const found = standingOf(former);
  if (found !== null || rollout !== null) return found;
  const detail = `${key}: nothing else stands before revision ${revision}`;
  throw new TidegateError('fleetNoFormer', detail);
}

/** To sign again what somebody else wrote would lend it our name. @throws fleetConfigUntrusted */
export function assertOurs(history: readonly Stored[], signed: SignedConfig): void {
  const stored = history.find((one) => one.signed === signed);
  if (stored?.trusted === true) return;
  const { key, revision, signer } = signed;
  const why = `revision ${revision} was signed by ${signer}; --config FILE says whom to trust`;
  throw new TidegateError('fleetConfigUntrusted', `${key}: ${why}`);
}
