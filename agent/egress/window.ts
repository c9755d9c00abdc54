/**
 * The frames a lane has read and whose cursor is not yet on disk, and the outcome of each.
 *
 *   segments   [ ▓▓▓▓▓▓▓▓ ][ ▓▓▓░▓▓░░ ][ ░░░░░░░░ ]      ▓ has an outcome   ░ pending
 *              released ▲        ▲ taken                  ▲ read
 *
 * `take` moves over contiguous outcomes and counts each once; the cursor never passes a pending
 * frame. Room comes back only when the buffer says that the cursor is on disk: so the window also
 * bounds what a kill can make a lane send twice (bounds.ts, duplicatesPerKillFrames). One segment
 * always fits into an empty window.
 *
 * Refuses a second outcome for a frame; ignores outcomes of segments from before a jump.
 */

import { egressWindowBytes, egressWindowFrames } from '../bounds.ts';
import type { BuriedFrame, CursorPosition } from '../buffer/protocol.ts';
import { type Outcome, type OutcomeCounts, outcomes } from '../events.ts';
import type { OpenBody } from './segment-source.ts';

const pending = 0;
/** No target of the lane wants the frame: passed without being counted. */
const passed = outcomes.length + 1;
const codeOf = Object.fromEntries(outcomes.map((name, i) => [name, i + 1])) as Record<
  Outcome,
  number
>;

export class WindowSegment {
  readonly sequence: number;
  readonly frames: number;
  readonly bytes: number;
  readonly codes: Uint8Array;
  /** null: damaged. Kept until passed, because a frame may yet be buried with its bytes. */
  open: OpenBody | null = null;
  /** The first frame that was not taken. */
  next: number;
  /** False after a jump: its outcomes no longer count. */
  live = true;
  /** Frames counted as damaged when it is passed; its own codes are all `passed`. null: sound. */
  damaged: number | null = null;
  buried: Map<number, BuriedFrame> | null = null;
  /** Frames that became more than one record, and how many outcomes are still to come. */
  #waits: Map<number, number> | null = null;

  constructor(sequence: number, frames: number, bytes: number, from: number) {
    this.sequence = sequence;
    this.frames = frames;
    this.bytes = bytes;
    this.codes = new Uint8Array(frames);
    this.next = from;
  }

  expect(frame: number, records: number): void {
    this.#waits ??= new Map();
    this.#waits.set(frame, records);
  }

  /** @returns true when the frame has all its outcomes */
  arrived(frame: number): boolean {
    const left = (this.#waits?.get(frame) ?? 1) - 1;
    if (left > 0) this.#waits?.set(frame, left);
    return left === 0;
  }
}

export interface Progress {
  readonly to: CursorPosition;
  readonly outcomes: OutcomeCounts;
  readonly buried: BuriedFrame[];
  readonly damaged: number[];
  /** Hand this to `released` once the cursor is on disk. */
  readonly mark: number;
}

export interface WindowBounds {
  readonly bytes: number;
  readonly frames: number;
}

export class Window {
  readonly #bounds: WindowBounds;
  #segments: WindowSegment[] = [];
  /** Sums since the window was made; room = added less released. */
  #added = { frames: 0, bytes: 0 };
  #taken = { frames: 0, bytes: 0 };
  #released = { frames: 0, bytes: 0 };
  #marks: { mark: number; frames: number; bytes: number }[] = [];
  #lastMark = 0;

  constructor(bounds: WindowBounds = { bytes: egressWindowBytes, frames: egressWindowFrames }) {
    this.#bounds = bounds;
  }

  get frames(): number {
    return this.#added.frames - this.#released.frames;
  }

  get bytes(): number {
    return this.#added.bytes - this.#released.bytes;
  }

  /** Frames that were read and not taken yet. */
  get untaken(): number {
    return this.#added.frames - this.#taken.frames;
  }

  /** More than half is used: the cursor should reach the disk without delay. */
  get pressed(): boolean {
    return this.frames * 2 > this.#bounds.frames || this.bytes * 2 > this.#bounds.bytes;
  }

  fits(frames: number, bytes: number): boolean {
    if (this.frames === 0) return true;
    return this.frames + frames <= this.#bounds.frames && this.bytes + bytes <= this.#bounds.bytes;
  }

  /** @param from the first frame behind the cursor */
  add(sequence: number, frames: number, bytes: number, from: number): WindowSegment {
    const segment = new WindowSegment(sequence, frames, bytes, from);
    this.#segments.push(segment);
    this.#added.frames += frames - from;
    this.#added.bytes += bytes;
    return segment;
  }

  settle(segment: WindowSegment, frame: number, outcome: Outcome): void {
    this.#set(segment, frame, codeOf[outcome]);
  }

  pass(segment: WindowSegment, frame: number): void {
    this.#set(segment, frame, passed);
  }

  bury(segment: WindowSegment, buried: BuriedFrame): void {
    if (!segment.live) return;
    segment.buried ??= new Map();
    if (!segment.buried.has(buried.frame)) segment.buried.set(buried.frame, buried);
    this.#set(segment, buried.frame, codeOf.buried);
  }

  /** The whole rest of a segment cannot be read: `frames` of them were this lane's. */
  damage(segment: WindowSegment, frames: number): void {
    segment.codes.fill(passed);
    segment.damaged = frames;
  }

  #set(segment: WindowSegment, frame: number, code: number): void {
    if (!segment.live) return;
    if (segment.codes[frame] !== pending || frame < segment.next) {
      throw new RangeError(`second outcome for frame ${frame} of segment ${segment.sequence}`);
    }
    if (!segment.arrived(frame)) return;
    // Of several records of one frame, a buried one decides.
    segment.codes[frame] = segment.buried?.has(frame) === true ? codeOf.buried : code;
  }

  /** Everything contiguous since the last call, or null if nothing moved. */
  take(): Progress | null {
    const counts: number[] = new Array(passed + 1).fill(0);
    const buried: BuriedFrame[] = [];
    const damaged: number[] = [];
    let to: CursorPosition | null = null;
    for (let segment = this.#segments[0]; segment !== undefined; segment = this.#segments[0]) {
      const before = segment.next;
      this.#over(segment, counts, buried);
      this.#taken.frames += segment.next - before;
      if (segment.next < segment.frames) {
        if (segment.next > before) to = { segment: segment.sequence, frame: segment.next };
        break;
      }
      if (segment.damaged !== null) {
        damaged.push(segment.sequence);
        counts[codeOf.damaged] = (counts[codeOf.damaged] as number) + segment.damaged;
      }
      this.#taken.bytes += segment.bytes;
      this.#segments.shift();
      to = { segment: segment.sequence + 1, frame: 0 };
    }
    if (to === null) return null;
    this.#lastMark += 1;
    this.#marks.push({ mark: this.#lastMark, ...this.#taken });
    const told: OutcomeCounts = {};
    for (const name of outcomes) {
      const count = counts[codeOf[name]] as number;
      if (count > 0) told[name] = count;
    }
    return { to, outcomes: told, buried, damaged, mark: this.#lastMark };
  }

  #over(segment: WindowSegment, counts: number[], buried: BuriedFrame[]): void {
    const codes = segment.codes;
    let next = segment.next;
    for (; next < segment.frames; next++) {
      const code = codes[next] as number;
      if (code === pending) break;
      counts[code] = (counts[code] as number) + 1;
      const letter = code === codeOf.buried ? segment.buried?.get(next) : undefined;
      if (letter !== undefined) buried.push(letter);
    }
    segment.next = next;
  }

  /** The cursor of this mark, and so of all before it, is on disk. */
  released(mark: number): void {
    for (let first = this.#marks[0]; first !== undefined; first = this.#marks[0]) {
      if (first.mark > mark) return;
      this.#released = { frames: first.frames, bytes: first.bytes };
      this.#marks.shift();
    }
  }

  /** A jump: nothing that was read counts any more. */
  clear(): void {
    for (const segment of this.#segments) segment.live = false;
    this.#segments = [];
    this.#marks = [];
    this.#released = { ...this.#added };
    this.#taken = { ...this.#added };
  }
}
