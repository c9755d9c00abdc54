/**
 * The session table: what the main thread says of sessions, applied in order within the
 * transaction of the batch that says it. Exactly once stands on that: a Packet Identifier is on
 * disk with the frame it came with, and its release is on disk before PUBCOMP.
 *
 *   put      the row is there, with this body, touched now
 *   delete   the row is gone
 *   clear    all rows of this client and kind are gone (Clean Start, Session Present 0)
 *
 * Each change overwrites, so a batch done twice is a batch done once; sync-recovery.ts relies on
 * it. A row that nobody touched for `sessionAgeMs` of lived time goes: whoever keeps a Will for a
 * connection that lasts longer puts it again before that.
 */
import type { Sqlite, Statement } from './database.ts';
import type { SessionChange, SessionKind, SessionRow } from './protocol.ts';

/** What a row takes beside its texts and its body: key, record header, cell pointer. */
const rowBytes = 48;

const one = 'scope = ? AND client = ? AND kind = ? AND id = ?';
const allOfKind = 'scope = ? AND client = ? AND kind = ?';

export class Sessions {
  readonly #put: Statement<unknown[], unknown>;
  readonly #delete: Statement<unknown[], unknown>;
  readonly #clear: Statement<unknown[], unknown>;
  readonly #deleteOld: Statement<[number], unknown>;

  constructor(db: Sqlite) {
    this.#put = db.prepare(
      'INSERT OR REPLACE INTO session (scope, client, kind, id, lived, body)' +
        ' VALUES (?, ?, ?, ?, ?, ?)',
    );
    this.#delete = db.prepare(`DELETE FROM session WHERE ${one}`);
    this.#clear = db.prepare(`DELETE FROM session WHERE ${allOfKind}`);
    this.#deleteOld = db.prepare('DELETE FROM session WHERE lived < ?');
  }

  apply(changes: readonly SessionChange[], livedMs: number): void {
    const lived = Math.round(livedMs);
    for (const change of changes) {
      const { scope, client, kind } = change;
      if (change.op === 'put') this.#put.run(scope, client, kind, change.id, lived, change.body);
      else if (change.op === 'delete') this.#delete.run(scope, client, kind, change.id);
      else this.#clear.run(scope, client, kind);
    }
  }

  /** @returns rows deleted */
  deleteOlder(beforeMs: number): number {
    return this.#deleteOld.run(Math.round(beforeMs)).changes;
  }
}

/** Bytes that a batch adds to the file at most; deleting and clearing need none. */
export function putBytes(changes: readonly SessionChange[]): number {
  let bytes = 0;
  for (const change of changes) {
    if (change.op !== 'put') continue;
    const { scope, client, body } = change;
    bytes += rowBytes + Buffer.byteLength(scope) + Buffer.byteLength(client) + body.byteLength;
  }
  return bytes;
}

type StoredRow = readonly [scope: string, client: string, kind: string, id: number, body: Buffer];

/** All of them, for the main thread at open. Bodies of their own: they are sent away. */
export function readSessions(db: Sqlite): SessionRow[] {
  return db
    .prepare<[], StoredRow>('SELECT scope, client, kind, id, body FROM session')
    .raw()
    .all()
    .map(([scope, client, kind, id, body]) => {
      return { scope, client, kind: kind as SessionKind, id, body: new Uint8Array(body) };
    });
}

export function countSessions(db: Sqlite): number {
  const tables = db.prepare("SELECT count(*) FROM sqlite_schema WHERE name = 'session'").pluck();
  // A file of layout 1 that no agent has opened since.
  if (tables.get() === 0) return 0;
  return Number(db.prepare('SELECT count(*) FROM session').pluck().get());
}

/** Does the file show what these changes, in this order, leave behind? */
export function sessionsHold(db: Sqlite, changes: readonly SessionChange[]): boolean {
  const select = db.prepare<unknown[], Buffer>(`SELECT body FROM session WHERE ${one}`).pluck();
  const idsOf = db.prepare<unknown[], number>(`SELECT id FROM session WHERE ${allOfKind}`).pluck();
  const after = (index: number) => changes.slice(index + 1);
  return changes.every((change, index) => {
    const { scope, client, kind } = change;
    const later = after(index).filter((next) => sameKind(next, change));
    if (change.op === 'clear') {
      const put = new Set(later.flatMap((next) => (next.op === 'put' ? next.id : [])));
      return idsOf.all(scope, client, kind).every((id) => put.has(id));
    }
    if (later.some((next) => next.op === 'clear' || next.id === change.id)) return true;
    const body = select.get(scope, client, kind, change.id);
    if (change.op === 'delete') return body === undefined;
    return body?.equals(change.body) === true;
  });
}

function sameKind(one: SessionChange, other: SessionChange): boolean {
  return one.scope === other.scope && one.client === other.client && one.kind === other.kind;
}
