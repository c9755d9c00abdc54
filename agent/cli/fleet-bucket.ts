/**
 * The bucket of configs as an operator reads and writes it: signed revisions of each key, and one
 * more behind them by compare-and-set. The bucket is made by the first who writes.
 *
 * Whom to trust: the keys under fleet.trust of --config. Without it only what our own key signed is
 * ours to sign again; what others signed can be looked at, after their own key. What nobody signed,
 * or who is known not to be trusted, does not count, for us as for the gateways.
 */
import type { KV, KvEntry } from 'nats';
import { messageOf, TidegateError } from '../errors.ts';
import type { SignedConfig } from '../fleet/signed.ts';
import type { Nkey } from '../nats-client.ts';
import type { FleetLink } from './fleet-link.ts';
import type { FleetPlace } from './fleet-place.ts';
import { readAll } from './fleet-read.ts';

export const historyKept = 10;
const wrongLastSequence = 10_071;

export interface Stored {
  readonly key: string;
  /** The bucket's own revision: what compare-and-set compares. */
  readonly sequence: number;
  /** null: deleted, or not what fleet push writes. */
  readonly signed: SignedConfig | null;
  /** null: nobody said whom to trust, and it is not our own. */
  readonly trusted: boolean | null;
  /** Why there is no `signed`. */
  readonly fault: string | null;
}

export interface FleetBucketParts {
  readonly link: FleetLink;
  readonly place: FleetPlace;
  /** Of this operator. */
  readonly own?: Nkey;
}

export class FleetBucket {
  readonly #parts: FleetBucketParts;
  #kv: KV | null;

  private constructor(parts: FleetBucketParts, kv: KV | null) {
    this.#parts = parts;
    this.#kv = kv;
  }

  static async open(parts: FleetBucketParts): Promise<FleetBucket> {
    return new FleetBucket(parts, await parts.link.bucket(parts.place.bucket));
  }

  get kv(): KV | null {
    return this.#kv;
  }

  /** The last of each key; deleted ones are left out. */
  async latest(): Promise<Map<string, Stored>> {
    const found = new Map<string, Stored>();
    for (const stored of await this.#read()) {
      if (stored.fault !== deleted) found.set(stored.key, stored);
    }
    return found;
  }

  /** What the bucket keeps of a key, oldest first. */
  async history(key: string): Promise<readonly Stored[]> {
    return await this.#read(key);
  }

  async #read(key?: string): Promise<Stored[]> {
    const kv = this.#kv;
    if (kv === null) return [];
    const what = key === undefined ? {} : { key, history: true };
    const { link, place } = this.#parts;
    const entries = await link.ask(`bucket ${place.bucket}`, () => readAll(kv, what));
    return await Promise.all(entries.map((entry) => this.judge(entry)));
  }

  async judge(entry: KvEntry): Promise<Stored> {
    const { key, revision: sequence } = entry;
    const none = { key, sequence, signed: null, trusted: null };
    if (entry.operation !== 'PUT') return { ...none, fault: deleted };
    try {
      return { key, sequence, fault: null, ...(await this.#verify(entry.string(), key)) };
    } catch (error) {
      return { ...none, fault: messageOf(error) };
    }
  }

  async #verify(text: string, key: string): Promise<Pick<Stored, 'signed' | 'trusted'>> {
    const { openSigned } = await import('../fleet/signed.ts');
    const { nkeyFromPublic } = await import('../nats-client.ts');
    const signer = nkeyFromPublic(signerOf(text));
    const signed = openSigned(text, key, new Map([[signer.publicKey, signer]]));
    const { place, own } = this.#parts;
    if (place.trust !== null) return { signed, trusted: place.trust.includes(signed.signer) };
    return { signed, trusted: signed.signer === own?.publicKey ? true : null };
  }

  /**
   * @param after the sequence that must still be the last of this key; 0: there is none
   * @throws TidegateError fleetConflict
   */
  async write(key: string, text: string, after: number): Promise<number> {
    const { link, place } = this.#parts;
    if (link.maxPayloadBytes > 0 && Buffer.byteLength(text) > link.maxPayloadBytes) {
      const most = `${link.server} takes ${link.maxPayloadBytes} bytes`;
      throw new TidegateError('fleetConfigTooLarge', `${key}: ${most} in one message`);
    }
    this.#kv ??= await link.makeBucket(place.bucket, { history: historyKept });
    const kv = this.#kv;
    return await link.ask(key, async () => {
      try {
        return after === 0 ? await kv.create(key, text) : await kv.update(key, text, after);
      } catch (error) {
        if (errorOf(error) !== wrongLastSequence) throw error;
        const mine = await this.#afterConflict(kv, key, text);
        if (mine === null) throw error;
        return mine;
      }
    });
  }

  /** Our own text there: it was written, and only the answer was lost. */
  async #afterConflict(kv: KV, key: string, text: string): Promise<number | null> {
    const last = await kv.get(key);
    if (last === null) return null;
    if (last.string() === text) return last.revision;
    const { signed, fault } = await this.judge(last);
    const who = signed
      ? `revision ${signed.revision} was pushed by ${signed.signer} at ${signed.pushedAt}`
      : `it was changed (${fault})`;
    throw new TidegateError('fleetConflict', `${key}: ${who}, after this command had looked`);
  }
}

const deleted = 'deleted';

function signerOf(text: string): string {
  try {
    return String((JSON.parse(text) as { signer?: unknown }).signer);
  } catch {
    throw new TidegateError('fleetConfigUnsigned', 'it is not what tidegate fleet push writes');
  }
}

function errorOf(error: unknown): number | undefined {
  return (Object(error) as { api_error?: { err_code?: number } }).api_error?.err_code;
}
