/**
 * What the path asks of a source of frames: one connection in the listener seat or the source seat,
 * a Will, or a subscription at a NATS server. The path calls a source back within `take`, row by
 * row, and again after the commit.
 */
import type { SessionChange } from '../buffer/protocol.ts';
import type { StopName, VerdictName } from '../frames/rows.ts';

export interface Taken {
  /** Bytes of the chunk that are done with. */
  readonly consumed: number;
  readonly reason: StopName;
  /** Whole size in bytes of the packet that is not complete; 0 while unknown. */
  readonly needed: number;
  /** Fault number, 0 without one. */
  readonly fault: number;
  /** Topic Alias that the next packet uses without a Topic Name. */
  readonly alias: number;
  /** `held`: until the limit would let it pass. */
  readonly waitMs: number;
}

/** A PUBLISH: `captured` with a verdict, or `published` when it passes. */
export interface CapturedFrame {
  readonly verdict: VerdictName;
  readonly packetId: number;
  readonly qos: number;
  /** The broker gets a copy: local subscribers may want it, or it is retained. */
  readonly copy: boolean;
  readonly start: number;
  readonly end: number;
  readonly alias: number;
  /** It has no Topic Name of its own: its alias stood for it. */
  readonly aliased: boolean;
  readonly topicName: () => Uint8Array;
}

/** `served`: nothing more to take; `more`: the budget ended it; `held`: it waits again. */
export type Served = 'served' | 'more' | 'held';

/**
 * `first`: only a CONNECT may come; `auth`: AUTH goes to and fro before CONNACK; `open`: a device
 * behind its CONNECT; `down`: packets of the broker to the device; `source`: packets of a broker to
 * us, whose PUBLISHes are captured; `message`: messages of another protocol (message-chunk.ts).
 */
export type Phase = 'first' | 'auth' | 'open' | 'down' | 'source' | 'message';

export interface Source {
  /** The device as records will name it, UTF-8. */
  readonly name: Uint8Array;
  /** The claimed Client Identifier where it is another; else empty. */
  readonly client: Uint8Array;
  /** The same for people. */
  readonly deviceName: string;
  /** 0 before CONNECT. */
  readonly version: number;
  readonly phase: Phase;
  /** Left out: MQTT. */
  readonly protocol?: 'nats' | 'http';
  /** Largest packet in bytes; 0 is any size. */
  readonly maxPacketBytes: number;
  /** Topic Name behind the Topic Alias of the first packet, or null. */
  readonly aliasName: Uint8Array | null;
  /** Topic Alias Maximum granted. */
  readonly aliasMaximum: number;
  /** QoS 2 identifiers that are captured and not released; null: none. */
  readonly seen: ReadonlyMap<number, unknown> | null;
  /** Bit mask of the allow rules that hold for it; null: nobody asks. */
  readonly allowGroups: number | null;
  /** The broker behind gets a copy of all that routes with `local` capture. */
  readonly copiesAll: boolean;
  /** Source seat: what of a PUBLISH names the device (`deviceRules` of the core); 0: `name`. */
  readonly deviceRule: number;
  /** AUTH may come [MQTT-4.12.0-6]. */
  readonly authenticates: boolean;
  /** Its session ends with the connection: DISCONNECT may not say otherwise (3.14.2.2.2). */
  readonly sessionEnds: boolean;
  /** A whole CONNECT, checked by the core. */
  connect(start: number, end: number): void;
  /** A packet that is not captured; for CONNACK `packetId` is its code. */
  passed(type: number, start: number, end: number, packetId: number): void;
  /** A device's PUBLISH that passes. */
  published(frame: CapturedFrame): void;
  /** A PUBLISH with a verdict; what is stored of it is in the open batch. */
  captured(frame: CapturedFrame): void;
  /** The batch is on disk. */
  committed(commit: number): void;
  /** There is room, or the wait is over: go on with the bytes in hand. */
  wake(budget?: number): Served;
}

/** The path as a source sees it. */
export interface Path {
  /** What is captured now is owed to this batch. */
  readonly openCommit: number;
  /** Number in the log of what is captured next. */
  readonly nextFrame: number;
  take(source: Source, bytes: Uint8Array, budget: number): Taken;
  /** Adds a change of session state to the open batch. @returns its commit */
  record(change: SessionChange, source: Source | null): number;
  /** A commit that another connection began. @returns it, or −1 when it is on disk */
  awaits(commit: number, source: Source): number;
  /** So much of session state waits for the disk that no more Wills are taken. */
  readonly crowded: boolean;
  /** Whether a route captures this Topic Name. */
  captures(topicName: Uint8Array): boolean;
  leave(source: Source): void;
}
