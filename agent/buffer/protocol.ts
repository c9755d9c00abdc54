/**
 * The messages between the main thread, the buffer thread and the egress threads, and the shapes
 * they carry. Types only: whoever imports this imports no SQLite.
 *
 *   main ──append──▶ buffer ──committed──▶ main            (acknowledgements leave)
 *                    buffer ──committed──▶ egress          (wake)
 *   egress ──advance─▶ buffer ──advanced─▶ egress          (cursor is on disk)
 *                    buffer ──cursor────▶ egress           (first position; jumps after skip/evict)
 */
import type { MessagePort } from 'node:worker_threads';
import type { EventName, Fields, OutcomeCounts } from '../events.ts';
import type { Compression } from './packing.ts';

export type Delivery = 'at-least-once' | 'at-most-once';

/** `<upstream>/<delivery>`: the name of one cursor on the log. */
export type LaneName = string;

export interface LaneSpec {
  readonly lane: LaneName;
  readonly upstream: string;
  readonly delivery: Delivery;
  readonly lag: { readonly bytes: number; readonly ageMs: number; readonly over: 'hold' | 'skip' };
  readonly from: 'latest' | 'oldest';
}

/** What a frame's route id stands for: written with the first segment that uses it. */
export interface RouteDefinition {
  readonly name: string;
  /** The Topic Filter; `{1}` … in templates are its wildcard captures. */
  readonly from: string;
  readonly gateway: string;
  readonly targets: readonly RouteTarget[];
}

export interface RouteTarget {
  readonly lane: LaneName;
  readonly topic: string;
  readonly key: string;
  readonly envelope: 'cloudevents' | 'none';
  readonly headers: Readonly<Record<string, string>>;
  readonly unknownTopic: 'hold' | 'bury';
}

export interface BufferOptions {
  readonly path: string;
  readonly bytes: number;
  readonly ageMs: number;
  readonly whenFull: 'hold' | 'dropOldest';
  /** Of bodies that are appended from now on; what is in the file is read either way. */
  readonly compression: Compression;
  readonly reserveBytes: number;
  readonly deadLetterBytes: number;
}

/** workerData of the buffer thread; what `configure` brings anew, but for the path. */
export interface BufferStart {
  readonly options: BufferOptions;
  readonly lanes: readonly LaneSpec[];
  readonly routes: readonly RouteDefinition[];
}

/** A segment on its way to the disk. */
export interface SealedSegment {
  /** Position in the log, given by the main thread: the only one that appends. */
  readonly sequence: number;
  readonly firstFrame: number;
  readonly frames: number;
  readonly createdMs: number;
  readonly livedMs: number;
  readonly body: ArrayBuffer;
  /** Frames of this segment per stored route id. */
  readonly routes: readonly (readonly [routeId: number, frames: number])[];
}

export type SessionKind = 'qos2' | 'will' | 'request';

/** What a session must not forget: a Packet Identifier that was seen, or a Will (id 0). */
export interface SessionRow {
  /** The listener or source. */
  readonly scope: string;
  /** The Client Identifier. */
  readonly client: string;
  readonly kind: SessionKind;
  readonly id: number;
  readonly body: Uint8Array;
}

export type SessionChange =
  | ({ readonly op: 'put' } & SessionRow)
  | {
      readonly op: 'delete';
      readonly scope: string;
      readonly client: string;
      readonly kind: SessionKind;
      readonly id: number;
    }
  | {
      readonly op: 'clear';
      readonly scope: string;
      readonly client: string;
      readonly kind: SessionKind;
    };

/** What one COMMIT makes durable: at most one segment, and what changes in sessions with it. */
export interface Batch {
  /** Counted by the main thread, one a batch; `committed` answers with it. */
  readonly commit: number;
  readonly segment: SealedSegment | null;
  /** In this order. */
  readonly sessions: readonly SessionChange[];
  /** Dead letters whose frames the segment carries again: they go with its COMMIT. */
  readonly replayed?: readonly number[];
}

/** The buffer as the path sees it. */
export interface Appender {
  readonly opened: {
    readonly epoch: string;
    readonly nextSequence: number;
    readonly nextFrame: number;
    readonly sessions: readonly SessionRow[];
  };
  append(batch: Batch): void;
  /** Called after COMMIT of that batch returned, in order. */
  onCommitted(tell: (commit: number) => void): void;
}

/** What runs in the buffer's thread beside the writer: a module that exports `serve`. */
export interface Guest {
  readonly module: string;
  readonly start: unknown;
  readonly port: MessagePort;
}

export interface GuestModule {
  serve(start: unknown, port: MessagePort): Promise<void>;
}

export type ToBuffer =
  | ({ readonly kind: 'append' } & Batch)
  | { readonly kind: 'egress'; readonly port: MessagePort; readonly lanes: readonly LaneName[] }
  | ({ readonly kind: 'guest' } & Guest)
  | ({ readonly kind: 'configure'; readonly id: number } & BufferStart)
  | { readonly kind: 'takeDead'; readonly id: number; readonly request: ReplayRequest }
  | { readonly kind: 'discardDead'; readonly id: number; readonly selection: DeadSelection }
  | { readonly kind: 'meta'; readonly key: string; readonly value: string }
  | { readonly kind: 'stat'; readonly id: number }
  | { readonly kind: 'calm' }
  | { readonly kind: 'stop' };

export type FromBuffer =
  | {
      readonly kind: 'opened';
      /** 16 hex digits, random, made with each database file. */
      readonly epoch: string;
      readonly nextSequence: number;
      readonly nextFrame: number;
      readonly livedMs: number;
      /** Stored ids of BufferStart.routes, in the same order. */
      readonly routeIds: readonly number[];
      readonly sessions: readonly SessionRow[];
    }
  | {
      readonly kind: 'committed';
      readonly commit: number;
      /** null: there was no segment. */
      readonly sequence: number | null;
      readonly commitSeconds: number;
      readonly bytes: number;
    }
  | { readonly kind: 'gauges'; readonly gauges: BufferGauges }
  | { readonly kind: 'stat'; readonly id: number; readonly stat: BufferStat }
  /** Stored ids of the routes, in the same order: the lanes are on disk, the bounds hold. */
  | { readonly kind: 'configured'; readonly id: number; readonly routeIds: readonly number[] }
  | { readonly kind: 'deadTaken'; readonly id: number; readonly taken: TakenLetters }
  | { readonly kind: 'deadDiscarded'; readonly id: number; readonly letters: number }
  | { readonly kind: 'event'; readonly name: EventName; readonly fields: Fields }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  | { readonly kind: 'stopped' };

export interface CursorPosition {
  readonly segment: number;
  /** Index of the next frame within that segment. */
  readonly frame: number;
}

export interface BuriedFrame {
  readonly segment: number;
  readonly frame: number;
  readonly routeId: number;
  readonly reason: string;
  readonly detail: string;
  /** The frame exactly as the segment holds it. */
  readonly body: Uint8Array;
}

export type EgressToBuffer = {
  readonly kind: 'advance';
  readonly id: number;
  readonly lane: LaneName;
  /** Of the last `cursor` message: an advance from before a jump is ignored. */
  readonly generation: number;
  readonly to: CursorPosition;
  readonly outcomes: OutcomeCounts;
  readonly buried: readonly BuriedFrame[];
  /** Segments whose CRC does not hold: set aside. */
  readonly damaged: readonly number[];
  /** Commit at once (at-most-once sends only after `advanced`). */
  readonly now: boolean;
};

export type BufferToEgress =
  | {
      readonly kind: 'cursor';
      readonly lane: LaneName;
      readonly generation: number;
      readonly position: CursorPosition;
    }
  | { readonly kind: 'committed'; readonly lastSequence: number }
  | { readonly kind: 'advanced'; readonly lane: LaneName; readonly id: number };

export interface LaneGauge {
  readonly lane: LaneName;
  readonly upstream: string;
  readonly delivery: Delivery;
  readonly configured: boolean;
  readonly appendedFrames: number;
  readonly outcomes: Readonly<Required<OutcomeCounts>>;
  readonly backlogFrames: number;
  readonly backlogBytes: number;
  /** Lived time since the oldest frame behind the cursor was committed. */
  readonly backlogAgeMs: number;
  readonly position: CursorPosition;
}

export interface BufferGauges {
  readonly usedBytes: number;
  readonly limitBytes: number;
  readonly fileBytes: number;
  readonly walBytes: number;
  readonly deadLetters: number;
  readonly deadLetterBytes: number;
  readonly segments: number;
  readonly holding: string | null;
  readonly lanes: readonly LaneGauge[];
}

export interface BufferStat extends BufferGauges {
  readonly epoch: string;
  readonly layoutVersion: number;
  readonly firstSequence: number;
  readonly nextSequence: number;
  readonly nextFrame: number;
  readonly damagedSegments: number;
  /** Rows kept for sessions: Packet Identifiers of QoS 2, Wills. */
  readonly sessions: number;
}

/** One dead letter, as `tidegate dead list` shows it. */
export interface DeadLetter {
  readonly id: number;
  readonly lane: LaneName;
  readonly reason: string;
  readonly detail: string;
  readonly createdMs: number;
  readonly routeId: number;
  readonly routeName: string;
  readonly bytes: number;
}

/** Which dead letters an operator means: those that fit all that is said. */
export interface DeadSelection {
  /** null: all. */
  readonly ids: readonly number[] | null;
  readonly lane: LaneName | null;
  readonly reason: string | null;
}

/** One step of a replay: a segment's worth. */
export interface ReplayRequest {
  readonly selection: DeadSelection;
  /** A route of the present config in the place of the stored ones. */
  readonly route: string | null;
  /** Begin behind this id. */
  readonly after: number;
  /** The newest id when the replay began: what is buried again is not replayed again. */
  readonly upTo: number | null;
}

export interface TakenLetter {
  readonly id: number;
  /** Leads to the lane that buried it, and to no other. */
  readonly routeId: number;
  /** The frame, as its segment held it. */
  readonly body: Uint8Array;
}

export interface TakenLetters {
  readonly letters: readonly TakenLetter[];
  readonly refused: readonly { readonly id: number; readonly why: string }[];
  /** The last id looked at; with `upTo`, where the next step begins. */
  readonly after: number;
  readonly upTo: number;
  readonly more: boolean;
}
