/**
 * A vector is bytes, one field a line (hex first, then what it is), and what the core must make of
 * them. `feed` gives a stream to a core the way the host does: what was not consumed comes again,
 * with what came since; Topic Aliases are kept outside; a stop that asks for another call gets it.
 */
import {
  type Core,
  ingestFlags,
  packetTypes,
  qosShift,
  row,
  rowBits,
  rowWords,
  stops,
  verdicts,
} from '../../agent/frames/core.ts';
import { type FaultName, faultName } from '../../agent/frames/faults.ts';
import { type CallOptions, call } from './call.ts';

type Known = 'flags' | 'seen' | 'groups' | 'aliasMaximum' | 'device' | 'client';

export interface Descriptor {
  readonly type: number;
  readonly start: number;
  readonly end: number;
  readonly packetIdentifier: number;
  readonly firstByte: number;
  readonly verdict: number;
  readonly route: number;
  /** hex */
  readonly topicName: string;
  readonly payload: string;
  readonly properties: string;
  readonly topicAlias: number;
  readonly limit: number;
  readonly qos: number;
  readonly retain: boolean;
  readonly dup: boolean;
  readonly local: boolean;
  readonly aliased: boolean;
  readonly authenticates: boolean;
  readonly sessionEnds: boolean;
}

/** A vector may say what its connection is known for: `CallOptions`. */
export interface Vector extends Pick<CallOptions, Known> {
  readonly name: string;
  readonly version: 0 | 3 | 4 | 5;
  /** Default `open`: packets of a client behind CONNECT, captured where a route matches. */
  readonly phase?: 'open' | 'first' | 'down';
  readonly bytes: string;
  /** Rows in order, each with the fields that matter. */
  readonly rows?: readonly Partial<Descriptor>[];
  readonly fault?: FaultName;
  /** Bytes after which the fault must be known; default all of them. */
  readonly faultAfter?: number;
}

/** `32  PUBLISH, QoS 1` a line: the first word is hex, the rest is for people. */
export function bytesOf(annotated: string): Buffer {
  const fields = annotated.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
  const hex = fields.join('');
  if (!/^([0-9a-f]{2})*$/.test(hex)) throw new Error(`not hex: ${annotated}`);
  return Buffer.from(hex, 'hex');
}

export const hexOf = (text: string): string => Buffer.from(text).toString('hex');

export interface Fed {
  readonly rows: Descriptor[];
  readonly fault: FaultName | 'unknown' | null;
  /** Bytes of the stream that were given before the core stopped for good. */
  readonly given: number;
  /** Whole size of the packet it still waits for; null when it waits for none. */
  readonly needed: number | null;
  readonly body: Buffer;
}

/** `flags` are added to those of the phase; `seen` is where the connection begins. */
export interface FeedOptions extends CallOptions {
  readonly version: number;
  readonly phase?: Vector['phase'];
}

const arrivalMs = 1_700_000_000_000;

export function describe(core: Core, index: number, streamAt: number): Descriptor {
  const at = index * rowWords;
  const cell = (word: number): number => core.rows[at + word] ?? 0;
  const text = (offset: number, bytes: number): string =>
    core.bytes.toString('hex', cell(offset), cell(offset) + cell(bytes));
  const bits = cell(row.bits);
  return {
    type: cell(row.packetType),
    start: streamAt + cell(row.start),
    end: streamAt + cell(row.end),
    packetIdentifier: cell(row.packetIdentifier),
    firstByte: cell(row.firstByte),
    verdict: cell(row.verdict),
    route: cell(row.route),
    topicName: text(row.topicNameOffset, row.topicNameBytes),
    payload: text(row.payloadOffset, row.payloadBytes),
    properties: text(row.propertiesOffset, row.propertiesBytes),
    topicAlias: cell(row.topicAlias),
    limit: cell(row.limit),
    qos: bits >> qosShift,
    retain: (bits & rowBits.retain) !== 0,
    dup: (bits & rowBits.dup) !== 0,
    local: (bits & rowBits.local) !== 0,
    aliased: (bits & rowBits.aliased) !== 0,
    authenticates: (bits & rowBits.authenticates) !== 0,
    sessionEnds: (bits & rowBits.sessionEnds) !== 0,
  };
}

class Host {
  readonly rows: Descriptor[] = [];
  readonly aliases = new Map<number, Buffer>();
  /** Packet Identifiers captured and not released. */
  readonly seen: Set<number>;
  fault: Fed['fault'] = null;
  needed: number | null = null;
  consumed = 0;
  phase: NonNullable<Vector['phase']>;
  version: number;
  /** DISCONNECT came: a host reads nothing more. */
  left = false;
  /** What the CONNECT said that later packets are held against. */
  connectFlags = 0;
  readonly core: Core;
  readonly options: FeedOptions;

  constructor(core: Core, options: FeedOptions) {
    this.core = core;
    this.options = options;
    this.phase = options.phase ?? 'open';
    this.version = options.version;
    this.seen = new Set(options.seen);
  }

  #flags(): number {
    const extra = (this.options.flags ?? 0) | this.connectFlags;
    if (this.phase === 'first') return ingestFlags.first | extra;
    return (this.phase === 'down' ? ingestFlags.down : ingestFlags.capture) | extra;
  }

  /** @returns what is left of `bytes` */
  take(bytes: Buffer): Buffer {
    const { core, options } = this;
    let rest = bytes;
    let alias: Buffer | undefined;
    for (;;) {
      const rows = call(core, rest, {
        device: 'device',
        livedMs: 1,
        arrivalMs,
        ...options,
        version: this.version,
        flags: this.#flags(),
        seen: this.seen,
        alias,
      });
      this.#keep(rows);
      const done = core.consumed();
      this.consumed += done;
      rest = rest.subarray(done);
      const stop = core.stop();
      this.needed = stop === stops.partial ? core.needed() : null;
      alias = stop === stops.alias ? this.aliases.get(core.aliasWanted()) : undefined;
      if (stop === stops.fault) this.fault = faultName(core.fault());
      const again =
        stop === stops.tableFull ||
        (stop === stops.afterConnect && rest.length > 0) ||
        alias !== undefined;
      if (!again) return rest;
    }
  }

  #keep(rows: number): void {
    for (let i = 0; i < rows; i++) {
      const found = describe(this.core, i, this.consumed);
      if (found.type === packetTypes.disconnect && this.phase !== 'down') this.left = true;
      this.rows.push(found);
      if (found.type === 1) {
        this.version = found.topicAlias;
        this.phase = 'open';
        this.connectFlags =
          (found.authenticates ? ingestFlags.auth : 0) |
          (found.sessionEnds ? ingestFlags.sessionEnds : 0);
      } else if (found.type === packetTypes.pubrel) {
        this.seen.delete(found.packetIdentifier);
      } else if (found.topicAlias > 0) {
        this.aliases.set(found.topicAlias, Buffer.from(found.topicName, 'hex'));
      }
      const captured = found.verdict === verdicts.admit || found.verdict === verdicts.bury;
      if (captured && found.qos === 2) this.seen.add(found.packetIdentifier);
    }
  }
}

/** A stream in pieces. The open segment is sealed and emptied at the end. */
export function feed(core: Core, pieces: readonly Buffer[], options: FeedOptions): Fed {
  const host = new Host(core, options);
  let rest: Buffer = Buffer.alloc(0);
  let given = 0;
  for (const piece of pieces) {
    given += piece.length;
    rest = host.take(Buffer.concat([rest, piece]));
    if (host.fault !== null || host.left) break;
  }
  const bytes = core.seal(1, 2, 3, 4, 5, 6);
  const body = Buffer.from(core.memory.slice(core.SEGMENT_OFFSET, core.SEGMENT_OFFSET + bytes));
  core.segmentReset();
  return { rows: host.rows, fault: host.fault, given, needed: host.needed, body };
}
