/**
 * Requests that may come twice (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header-07):
 * a key is on disk no later than the last of the events it came with, so that the same request,
 * sent again within a day, also after a crash, stores nothing and hears where its events are.
 *
 *   begun ──taken──▶ recorded ──COMMIT──▶ known ──a day of lived time, or too many──▶ forgotten
 *     └──not all of it is stored──▶ forgotten
 *
 * A key is its device's own. With another request than before it is refused (`other`), before its
 * COMMIT it is `onItsWay`; such a one is never forgotten for want of room. What was stored in part
 * is not known: the rest has to come again. Where there are too many, the device with the most keys
 * loses its oldest.
 */
import { requestKeyAgeMs, requestKeysMax, requestKeysOfDeviceMax } from '../bounds.ts';
import type { SessionChange, SessionRow } from '../buffer/protocol.ts';
import type { Judged, RequestKey } from './request-source.ts';

/** What tells requests apart. */
export interface Once {
  readonly key: string;
  /** Of all that the request says. */
  readonly fingerprint: string;
}

/** Frames as runs: first number, how many. */
type Runs = readonly (readonly [number, number])[];

interface Stored extends Once {
  readonly livedMs: number;
  readonly runs: Runs;
}

interface Entry extends Once {
  readonly id: number;
  readonly device: string;
  readonly livedMs: number;
  state: 'begun' | 'recorded' | 'known';
  runs: Runs;
}

const scope = 'http';
const kind = 'request';

export class RequestKeys {
  readonly #lived: () => number;
  /** By device, then key; both in the order they came. */
  readonly #entries = new Map<string, Map<string, Entry>>();
  readonly #record: (change: SessionChange) => void;
  #count = 0;
  #nextId = 1;

  /**
   * @param rows of the buffer; others than keys are passed over
   * @param record puts a change of session state into the next commit
   */
  constructor(
    rows: readonly SessionRow[],
    lived: () => number,
    record: (change: SessionChange) => void,
  ) {
    this.#lived = lived;
    this.#record = record;
    const keys = rows.filter((row) => row.kind === kind).toSorted((a, b) => a.id - b.id);
    for (const { client, id, body } of keys) {
      this.#nextId = Math.max(this.#nextId, id + 1);
      const stored = JSON.parse(Buffer.from(body).toString()) as Stored;
      this.#add({ ...stored, id, device: client, state: 'known' });
    }
  }

  /** What it was answered; null: it is new. */
  find(
    device: string,
    { key, fingerprint }: Once,
  ): readonly Judged[] | 'onItsWay' | 'other' | null {
    const entry = this.#entries.get(device)?.get(key);
    if (entry === undefined) return null;
    if (entry.state === 'known' && this.#lived() - entry.livedMs > requestKeyAgeMs) {
      this.#forget(entry);
      return null;
    }
    if (entry.fingerprint !== fingerprint) return 'other';
    return entry.state === 'known' ? judgedOf(entry.runs) : 'onItsWay';
  }

  /** Nothing else comes by this key until it is settled. It must be new. */
  begin(device: string, once: Once): RequestKey {
    const begun = { id: this.#nextId++, device, livedMs: this.#lived(), runs: [] };
    const entry: Entry = { ...once, ...begun, state: 'begun' };
    this.#add(entry);
    return {
      taken: (judged) => this.#taken(entry, judged),
      committed: () => {
        if (entry.state === 'recorded') entry.state = 'known';
      },
      failed: () => this.#forget(entry),
    };
  }

  #taken(entry: Entry, judged: readonly Judged[]): SessionChange | null {
    const runs = runsOf(judged);
    if (runs === null) return null;
    entry.runs = runs;
    entry.state = 'recorded';
    const { key, fingerprint, livedMs, device, id } = entry;
    const stored: Stored = { key, fingerprint, livedMs, runs };
    return { op: 'put', ...rowOf(device, id), body: Buffer.from(JSON.stringify(stored)) };
  }

  #forget(entry: Entry): void {
    const keys = this.#entries.get(entry.device);
    if (keys?.get(entry.key) !== entry) return;
    keys.delete(entry.key);
    if (keys.size === 0) this.#entries.delete(entry.device);
    this.#count -= 1;
    if (entry.state !== 'begun') this.#record({ op: 'delete', ...rowOf(entry.device, entry.id) });
  }

  #add(entry: Entry): void {
    const keys = this.#entries.get(entry.device) ?? new Map<string, Entry>();
    const before = keys.get(entry.key);
    if (before !== undefined) this.#forget(before);
    this.#entries.set(entry.device, keys.set(entry.key, entry));
    this.#count += 1;
    if (keys.size > requestKeysOfDeviceMax) this.#forgetOldest(keys);
    else if (this.#count > requestKeysMax) this.#forgetOldest(this.#most());
  }

  /** Of the device that has the most. */
  #most(): ReadonlyMap<string, Entry> {
    const all = [...this.#entries.values()];
    return all.reduce((most, keys) => (keys.size > most.size ? keys : most));
  }

  #forgetOldest(keys: ReadonlyMap<string, Entry>): void {
    const oldest = [...keys.values()].find(({ state }) => state === 'known');
    if (oldest !== undefined) this.#forget(oldest);
  }
}

function rowOf(client: string, id: number) {
  return { scope, client, kind, id } as const;
}

/** null: some of them are not stored. */
function runsOf(judged: readonly Judged[]): Runs | null {
  const runs: [number, number][] = [];
  for (const one of judged) {
    if (one.outcome !== 'stored') return null;
    const last = runs.at(-1);
    if (last !== undefined && last[0] + last[1] === one.frame) last[1] += 1;
    else runs.push([one.frame, 1]);
  }
  return runs;
}

function judgedOf(runs: Runs): Judged[] {
  return runs.flatMap(([first, count]) =>
    Array.from({ length: count }, (_, index): Judged => {
      return { outcome: 'stored', frame: first + index };
    }),
  );
}
