/**
 * Wills are events too [MQTT-3.1.2-8]: a Will whose Topic Name a route matches is kept durably
 * with the CONNECT (the CONNACK waits for its COMMIT), and appended when the connection ends
 * without DISCONNECT, or with 0x04, after its Will Delay, unless the session resumes before
 * [MQTT-3.1.3-9]. The broker behind has the Will as well and serves local subscribers; here it
 * only becomes a frame.
 *
 *   armed ──connection ends──▶ due (Will Delay) ──▶ PUBLISH on the path; its row goes with it
 *     └──DISCONNECT 0x00──▶ discarded      └──session resumes──▶ discarded
 *
 * After a crash of the agent every connection is gone, so that what is stored is due. Rows that
 * nobody touches for `sessionAgeMs` are deleted: Wills of connections that live on are put again.
 */
import { pendingWillsBytes, willTouchEveryMs } from '../bounds.ts';
import type { SessionRow } from '../buffer/protocol.ts';
import type { Report } from '../events.ts';
import type { ConnectPacket, Will } from './connect-packet.ts';
import { willPublish } from './publish-packet.ts';
import { clientKey } from './sessions.ts';
import type { Path, Source } from './source.ts';
import { WillSource } from './will-source.ts';

const msPerSecond = 1_000;
/** setTimeout takes no more. */
const longestTimerMs = 0x7fff_ffff;

/** As it is stored. */
interface StoredWill {
  readonly device: string;
  readonly version: number;
  readonly delaySeconds: number;
  /** The Client Identifier where it is another name than the device's; else empty. */
  readonly clientId: string;
  /** base64 of the PUBLISH it becomes. */
  readonly packet: string;
}

interface Connections {
  readonly open: number;
  /** The newest goes on with the session. */
  readonly resumed: boolean;
}

const noConnections: Connections = { open: 0, resumed: false };

export interface ArmedWill {
  readonly scope: string;
  readonly client: string;
  readonly id: number;
  readonly stored: StoredWill;
}

interface ArmedWillOwner {
  readonly scope: string;
  readonly client: string;
  readonly device: string;
  readonly clientId: string;
}

export class Wills {
  readonly #path: Path;
  readonly #due = new Map<ArmedWill, NodeJS.Timeout>();
  /** Open connections of a client: there may be two while one takes over. */
  readonly #connections = new Map<string, Connections>();
  /** Those on disk: armed, or waiting for their Will Delay. */
  readonly #kept = new Set<ArmedWill>();
  readonly #toucher: NodeJS.Timeout;
  #nextId = 1;
  #closed = false;
  #pendingBytes = 0;
  readonly #report: Report;

  constructor(path: Path, report: Report, touchEveryMs = willTouchEveryMs) {
    this.#path = path;
    this.#report = report;
    this.#toucher = setInterval(() => {
      for (const will of this.#kept) this.#keep(will);
    }, touchEveryMs);
    this.#toucher.unref();
  }

  /** What an earlier run left: every one of them is due. */
  restore(rows: readonly SessionRow[]): void {
    for (const { scope, client, kind, id, body } of rows) {
      if (kind !== 'will') continue;
      this.#nextId = Math.max(this.#nextId, id + 1);
      const stored = JSON.parse(Buffer.from(body).toString()) as StoredWill;
      const will = { scope, client, id, stored };
      this.#kept.add(will);
      this.#arrange(will);
    }
  }

  /** @returns the armed Will and the commit that makes it durable; null when no route wants it */
  arm(
    whose: ArmedWillOwner,
    will: Will,
    { version, sessionExpirySeconds }: ConnectPacket,
    source: Source,
  ): { will: ArmedWill; commit: number } | null {
    if (!this.#path.captures(Buffer.from(will.topicName))) return null;
    const { scope, client, device, clientId } = whose;
    const stored: StoredWill = {
      device,
      clientId,
      version,
      // The session's end comes first [MQTT 5.0 section 3.1.3.2.2].
      delaySeconds: Math.min(will.delaySeconds, sessionExpirySeconds),
      packet: willPublish(will, version).toString('base64'),
    };
    const armed = { scope, client, id: this.#nextId++, stored };
    this.#kept.add(armed);
    return { will: armed, commit: this.#keep(armed, source) };
  }

  /** @param resumed the same session goes on; else it ended, and a Will that waits is due now */
  connected(scope: string, client: string, resumed: boolean): void {
    const key = clientKey(scope, client);
    const { open } = this.#connections.get(key) ?? noConnections;
    this.#connections.set(key, { open: open + 1, resumed });
    for (const [will] of this.#due) {
      if (will.scope !== scope || will.client !== client) continue;
      this.#letGo(will);
      if (resumed) this.#discard(will);
      else this.#publish(will);
    }
  }

  /** @param clean the device said DISCONNECT with Normal disconnection [MQTT-3.14.4-3] */
  disconnected(scope: string, client: string, will: ArmedWill | null, clean: boolean): void {
    const key = clientKey(scope, client);
    const { open, resumed } = this.#connections.get(key) ?? noConnections;
    const takenOver = open > 1;
    if (takenOver) this.#connections.set(key, { open: open - 1, resumed });
    else this.#connections.delete(key);
    if (will === null) return;
    if (clean) this.#discard(will);
    else if (this.#closed) return;
    else if (!takenOver) this.#arrange(will);
    // The new connection goes on with the session, or has ended it [MQTT-3.1.3-9].
    else if (resumed && will.stored.delaySeconds > 0) this.#discard(will);
    else this.#publish(will);
  }

  /** What waits stays on disk and is due at the next start. */
  close(): void {
    this.#closed = true;
    clearInterval(this.#toucher);
    for (const timer of this.#due.values()) clearTimeout(timer);
    this.#due.clear();
  }

  #keep(will: ArmedWill, source: Source | null = null): number {
    const body = Buffer.from(JSON.stringify(will.stored));
    return this.#path.record({ op: 'put', ...rowOf(will), body }, source);
  }

  #discard(will: ArmedWill): void {
    this.#kept.delete(will);
    this.#path.record({ op: 'delete', ...rowOf(will) }, null);
  }

  #arrange(will: ArmedWill): void {
    const delayMs = Math.min(will.stored.delaySeconds * msPerSecond, longestTimerMs);
    if (delayMs === 0) {
      this.#publish(will);
      return;
    }
    const timer = setTimeout(() => {
      this.#letGo(will);
      this.#publish(will);
    }, delayMs);
    timer.unref();
    this.#due.set(will, timer);
    this.#pendingBytes += will.stored.packet.length;
    // What a crowd leaves behind is no reason to grow: it becomes an event before its time.
    for (const [oldest] of this.#due) {
      if (this.#pendingBytes <= pendingWillsBytes) break;
      this.#report('willEarly', { device: oldest.stored.device });
      this.#letGo(oldest);
      this.#publish(oldest);
    }
  }

  #letGo(will: ArmedWill): void {
    clearTimeout(this.#due.get(will));
    if (this.#due.delete(will)) this.#pendingBytes -= will.stored.packet.length;
  }

  #publish(will: ArmedWill): void {
    const { device, clientId, version, packet } = will.stored;
    const bytes = Buffer.from(packet, 'base64');
    new WillSource(this.#path, { device, client: clientId, version }, bytes, () => {
      this.#discard(will);
    }).begin();
  }
}

function rowOf({ scope, client, id }: ArmedWill): {
  scope: string;
  client: string;
  kind: 'will';
  id: number;
} {
  return { scope, client, kind: 'will', id };
}
