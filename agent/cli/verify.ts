/**
 * What `buffer verify` looks at: every body's checksum and every frame's lengths, that a body says
 * of itself what its row says, that its routes are known, that every lane's account agrees, every
 * dead letter's frame, and SQLite's own check of the pages.
 *
 * It reads as any reader does, so an agent may run meanwhile: what is appended after the start is
 * not looked at, what is trimmed meanwhile is not missed. A segment that was set aside as damaged
 * is counted and no problem: every lane has counted its frames.
 */
import { isDamage } from '../buffer/database.ts';
import type { BufferStat, LaneGauge } from '../buffer/protocol.ts';
import { BufferReader, type StoredSegment } from '../buffer/reader.ts';
import { messageOf } from '../errors.ts';
import { loadCore } from '../frames/core.ts';
import { type OpenSegment, SegmentReader } from '../frames/segment-reader.ts';
import { wrapFrame } from '../frames/segment-writer.ts';

export interface Problem {
  /** segment 17, dead letter 3, lane …, route 2, database. */
  readonly where: string;
  readonly what: string;
}

export interface Verified {
  segments: number;
  frames: number;
  /** Set aside as damaged before. */
  setAside: number;
  lanes: number;
  deadLetters: number;
  readonly problems: Problem[];
}

/** @param at of so many steps in all */
export type Tell = (at: number, of: number) => void;

const readBytes = 4 * 1024 * 1024;
const readSegments = 64;
const lettersPerRead = 256;

export function verifyBuffer(path: string, tell: Tell): Verified {
  const none = { segments: 0, frames: 0, setAside: 0, lanes: 0, deadLetters: 0 };
  const found: Verified = { ...none, problems: [] };
  let reader: BufferReader | null = null;
  try {
    reader = new BufferReader(path);
    new Verification(reader, found, tell).run();
  } catch (error) {
    if (!isDamage(error)) throw error;
    found.problems.push({ where: 'database', what: messageOf(error) });
  } finally {
    reader?.close();
  }
  return found;
}

class Verification {
  readonly #reader: BufferReader;
  readonly #found: Verified;
  readonly #tell: Tell;
  readonly #core = loadCore();
  readonly #frames = new SegmentReader(this.#core);
  readonly #lostRoutes = new Set<number>();

  constructor(reader: BufferReader, found: Verified, tell: Tell) {
    this.#reader = reader;
    this.#found = found;
    this.#tell = tell;
  }

  run(): void {
    const stat = this.#reader.stat();
    const steps = stat.nextSequence - stat.firstSequence + stat.deadLetters;
    for (const lane of stat.lanes) this.#checkLane(lane, stat);
    this.#eachSegment(stat, (segment) => {
      this.#checkSegment(segment, stat.lanes);
      this.#tell(segment.sequence - stat.firstSequence, steps);
    });
    this.#eachLetter((done) => this.#tell(steps - stat.deadLetters + done, steps));
    for (const what of this.#reader.integrity()) this.#problem('database', what);
  }

  #eachSegment({ firstSequence, nextSequence }: BufferStat, visit: (s: StoredSegment) => void) {
    for (let from = firstSequence; from < nextSequence; ) {
      const read = this.#reader.read(from, readBytes, readSegments);
      for (const segment of read) if (segment.sequence < nextSequence) visit(segment);
      from = (read.at(-1)?.sequence ?? nextSequence) + 1;
    }
  }

  #checkSegment(segment: StoredSegment, lanes: readonly LaneGauge[]): void {
    const { sequence, body } = segment;
    const where = `segment ${sequence}`;
    this.#found.segments += 1;
    this.#found.frames += segment.frames;
    for (const { lane, position } of lanes) {
      const past = position.segment === sequence && position.frame >= segment.frames;
      if (past) this.#problem(`lane ${lane}`, `stands at frame ${position.frame} of ${where}`);
    }
    if (body.length === 0) {
      this.#found.setAside += 1;
      return;
    }
    const open = this.#frames.open(body);
    if ('fault' in open) this.#problem(where, `${open.fault}: its frames cannot be read`);
    else this.#compare(where, segment, open);
  }

  #compare(where: string, row: StoredSegment, open: OpenSegment): void {
    for (const name of ['sequence', 'firstFrame', 'frames'] as const) {
      if (row[name] === open[name]) continue;
      this.#problem(where, `its row says ${name} ${row[name]}, its body ${open[name]}`);
    }
    const counts = new Map<number, number>();
    for (let index = 0; index < open.frames; index++) {
      const { routeId } = open.frame(index);
      counts.set(routeId, (counts.get(routeId) ?? 0) + 1);
    }
    const agree = row.routes.every(([id, frames]) => counts.get(id) === frames);
    if (!agree || row.routes.length !== counts.size) {
      this.#problem(where, 'its row counts other frames of its routes than its body has');
    }
    for (const id of counts.keys()) this.#checkRoute(id);
  }

  #checkRoute(id: number): void {
    if (this.#lostRoutes.has(id) || this.#reader.route(id)) return;
    this.#lostRoutes.add(id);
    this.#problem(`route ${id}`, 'frames refer to it, and it is not there');
  }

  #checkLane(lane: LaneGauge, { nextSequence }: BufferStat): void {
    this.#found.lanes += 1;
    const where = `lane ${lane.lane}`;
    const sum = Object.values(lane.outcomes).reduce((total, count) => total + count, 0);
    if (lane.appendedFrames !== sum + lane.backlogFrames) {
      const rest = `${sum} passed and ${lane.backlogFrames} behind the cursor`;
      this.#problem(where, `${lane.appendedFrames} frames appended, but ${rest}`);
    }
    if (lane.position.segment > nextSequence)
      this.#problem(where, 'stands past the end of the log');
  }

  #eachLetter(tell: (done: number) => void): void {
    let after = 0;
    for (;;) {
      const letters = this.#reader.deadLetters(after, lettersPerRead);
      for (const { id, bytes } of letters) {
        after = id;
        this.#found.deadLetters += 1;
        const body = this.#reader.deadLetterBody(id);
        // Gone meanwhile: replayed or discarded.
        if (!body) continue;
        const holds = body.length === bytes && wrapFrame(this.#core, body) !== null;
        if (!holds) this.#problem(`dead letter ${id}`, 'its frame is damaged');
      }
      tell(this.#found.deadLetters);
      if (letters.length < lettersPerRead) return;
    }
  }

  #problem(where: string, what: string): void {
    this.#found.problems.push({ where, what });
  }
}
