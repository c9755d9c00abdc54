/**
 * What the agent itself keeps of a device's session [MQTT-4.1]: Packet Identifiers of QoS 2
 * PUBLISHes that it captured and that were not released yet. They are durable (`session` table):
 * the identifier is in the commit of its frame, its release in a commit before PUBCOMP, so that a
 * frame is taken exactly once over a crash of either side. Keyed by seat and Client Identifier; two
 * connections of one client (the older not yet closed) share one state while either lives.
 *
 * It dies with Clean Start, or when the broker behind says that there is no session. Before a
 * device hears CONNACK, what was released is so on disk: a release that a crash takes back would
 * let the next message under its identifier pass for seen. Which of a client's connections came
 * last is known here too: the broker closes the others.
 */
import { commitsInFlight } from '../bounds.ts';
import type { SessionRow } from '../buffer/protocol.ts';
import type { Path, Source } from './source.ts';

const copiedMark = Buffer.from([1]);
const nothing = Buffer.alloc(0);

interface Captured {
  /** The commit that makes it durable; −1: it is. */
  readonly commit: number;
  /** The broker behind has it too: it is asked for its part of the release. */
  readonly copied: boolean;
  /** Answered without storing it (a limit dropped it): nothing on disk stands for it. */
  readonly stored: boolean;
}

/** One client of one seat, as a key. */
export function clientKey(scope: string, client: string): string {
  return JSON.stringify([scope, client]);
}

export class ClientSession {
  readonly scope: string;
  readonly client: string;
  readonly ids = new Map<number, Captured>();
  /** Connections that hold it: nobody may be given another one meanwhile. */
  connections = 0;
  /** The commit of the last release, or of the last clear. */
  lastRelease = -1;
  readonly #path: Path;

  constructor(scope: string, client: string, path: Path) {
    this.scope = scope;
    this.client = client;
    this.#path = path;
  }

  /** In the commit that its frame is in. @returns that commit */
  capture(id: number, copied: boolean, source: Source): number {
    const body = copied ? copiedMark : nothing;
    const commit = this.#path.record({ op: 'put', ...this.#key, id, body }, source);
    this.ids.set(id, { commit, copied, stored: true });
    return commit;
  }

  /** Answered, and nothing is stored of it; what is stored stays so until it is released. */
  refuse(id: number): void {
    if (this.ids.get(id)?.stored === true) return;
    this.ids.set(id, { commit: -1, copied: false, stored: false });
  }

  /** The broker behind refused its copy. */
  keptByUsAlone(id: number): void {
    const known = this.ids.get(id);
    if (known !== undefined) this.ids.set(id, { ...known, copied: false });
  }

  /** @returns the commit after which PUBCOMP may leave */
  release(id: number, source: Source): number {
    const stored = this.ids.get(id)?.stored === true;
    this.ids.delete(id);
    if (!stored) return -1;
    this.lastRelease = this.#path.record({ op: 'delete', ...this.#key, id }, source);
    return this.lastRelease;
  }

  /** @returns the commit after which it is gone, or −1: it is */
  clear(source: Source): number {
    if (this.ids.size === 0) return this.resume(source);
    this.ids.clear();
    this.lastRelease = this.#path.record({ op: 'clear', ...this.#key }, source);
    return this.lastRelease;
  }

  /** It ended with the connection that held it: nobody will release what it held. */
  end(): void {
    if (this.ids.size === 0) return;
    this.ids.clear();
    this.lastRelease = this.#path.record({ op: 'clear', ...this.#key }, null);
  }

  /** @returns the commit after which what was released is so on disk, or −1: it is */
  resume(source: Source): number {
    return this.#path.awaits(this.lastRelease, source);
  }

  get #key(): { scope: string; client: string; kind: 'qos2' } {
    return { scope: this.scope, client: this.client, kind: 'qos2' };
  }
}

export class Sessions {
  readonly #sessions = new Map<string, ClientSession>();
  /** The connection of each client that was let through to the broker last. */
  readonly #latest = new Map<string, number>();
  /** The accepted connection of each client, and how it is ended when another takes over. */
  readonly #holders = new Map<string, { readonly connection: number; readonly end: () => void }>();
  /** Those that hold nothing and whose last release may be on its way. */
  readonly #left = new Set<ClientSession>();
  readonly #path: Path;

  constructor(rows: readonly SessionRow[], path: Path) {
    this.#path = path;
    for (const { scope, client, kind, id, body } of rows) {
      if (kind !== 'qos2') continue;
      const copied = body.length > 0;
      this.of(scope, client).ids.set(id, { commit: -1, copied, stored: true });
    }
  }

  of(scope: string, client: string): ClientSession {
    const key = clientKey(scope, client);
    const found = this.#sessions.get(key) ?? new ClientSession(scope, client, this.#path);
    this.#sessions.set(key, found);
    return found;
  }

  /** For a connection, until it leaves. */
  join(scope: string, client: string): ClientSession {
    const session = this.of(scope, client);
    session.connections += 1;
    return session;
  }

  /** @param connection takes the place of an older one of this client, if the broker accepts it */
  connects(scope: string, client: string, connection: number): void {
    this.#latest.set(clientKey(scope, client), connection);
  }

  /** Another connection of this client came later, and is there. */
  takenOver(scope: string, client: string, connection: number): boolean {
    return (this.#latest.get(clientKey(scope, client)) ?? connection) !== connection;
  }

  /**
   * The broker accepted it: an older connection of this client takes nothing more from here on, so
   * that none of its frames falls into the new one's session [MQTT-3.1.4-3].
   */
  holds(scope: string, client: string, connection: number, end: () => void): void {
    const key = clientKey(scope, client);
    const before = this.#holders.get(key);
    this.#holders.set(key, { connection, end });
    if (before !== undefined && before.connection !== connection) before.end();
  }

  /** @returns whether nobody had taken it over */
  disconnected(scope: string, client: string, connection: number): boolean {
    const key = clientKey(scope, client);
    if (this.#latest.get(key) === connection) this.#latest.delete(key);
    return this.#holders.get(key)?.connection === connection && this.#holders.delete(key);
  }

  /** A connection of it ended: what holds nothing is made again when it is asked for. */
  leave(session: ClientSession): void {
    session.connections -= 1;
    this.#left.add(session);
    for (const left of this.#left) {
      const { scope, client, ids, connections, lastRelease } = left;
      const empty = ids.size === 0 && connections === 0;
      const onDisk = lastRelease + commitsInFlight < this.#path.openCommit;
      if (empty && onDisk) this.#sessions.delete(clientKey(scope, client));
      if (!empty || onDisk) this.#left.delete(left);
    }
  }
}
