/**
 * What the path asks of a source of frames: one connection in the listener seat now, other seats
 * later. The path calls a source back within `take`, row by row, and again after the commit.
 */
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
}

/** What the path reads from a CONNECT [MQTT 3.1.1 and 5.0, section 3.1]. */
export interface ConnectSeen {
  /** 3 (MQIsdp), 4 (3.1.1), 5. */
  readonly version: number;
  readonly keepAliveSeconds: number;
  readonly flags: number;
  readonly clientId: string;
}

export interface CapturedFrame {
  readonly verdict: VerdictName;
  readonly packetId: number;
  readonly qos: number;
  /** The broker gets a copy: local subscribers may want it, or it is retained. */
  readonly copy: boolean;
  readonly start: number;
  readonly end: number;
  readonly alias: number;
  readonly topicName: () => Uint8Array;
}

/** `served`: nothing more to take; `more`: the budget ended it; `held`: it waits again. */
export type Served = 'served' | 'more' | 'held';

/** `first`: only a CONNECT may come; `down`: packets of the broker to the device. */
export type Phase = 'first' | 'open' | 'down';

export interface Source {
  /** The device as records will name it, UTF-8. */
  readonly name: Uint8Array;
  /** 0 before CONNECT. */
  readonly version: number;
  readonly phase: Phase;
  /** Largest packet in bytes; 0 is any size. */
  readonly maxPacketBytes: number;
  /** Topic Name behind the Topic Alias of the first packet, or null. */
  readonly aliasName: Uint8Array | null;
  connect(seen: ConnectSeen, start: number, end: number): void;
  /** A packet that is not captured; `code` is CONNACK's return code. */
  passed(type: number, start: number, end: number, packetId: number): void;
  /** A PUBLISH with a verdict; what is stored of it is in the open segment. */
  captured(frame: CapturedFrame): void;
  /** The segment is on disk. */
  committed(sequence: number): void;
  /** There is room, or the wait is over: go on with the bytes in hand. */
  wake(budget?: number): Served;
}

/** The path as a source sees it. */
export interface Path {
  readonly openSegment: number;
  take(source: Source, bytes: Uint8Array, budget: number): Taken;
  leave(source: Source): void;
}
