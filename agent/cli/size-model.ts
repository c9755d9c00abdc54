/**
 * What events cost on the disk: arithmetic alone, from how segments lie in an SQLite file.
 *
 *   event    64 bytes + Topic Name + device name + payload         (wasm-core/segment.ts)
 *   segment  64 bytes + its events: one commit, one row
 *   row      in a leaf page with others when it is small, else with overflow pages of its own
 *   commit   the pages it changes go to the write-ahead log; a checkpoint writes those that hold
 *            events once more, into the file
 *   cursor   what was confirmed rides on the next commit, or is one of its own after
 *            `cursorDelayMs`
 *
 * How many events share a commit is what all of it depends on most. With `commitEvery` the first
 * event waits so long for others; a disk that is still at work when the next commit is due makes
 * them fuller by itself. In between, where events come about as fast as the disk syncs, the model
 * says one a commit: more room and more writing than it will be.
 *
 * Events come at random, so that commits differ, and a page that has no room for the next row stays
 * as full as it is: averages say little about that. A few thousand commits are drawn, always the
 * same, and packed as SQLite packs them.
 *
 * `test/size.test.ts` holds the model to files that real agents and the writer fill, and to the
 * bytes that the kernel counts for them.
 */
import { checkpointPages, cursorDelayMs, KIB, segmentRegionBytes } from '../bounds.ts';

const pageBytes = 4_096;
/** SQLite's file format: what a leaf page has beside its cells, and a cell beside its row. */
const leafHeaderBytes = 8;
const cellBytes = 8;
const overflowPointerBytes = 4;
const inLeaf = pageBytes - leafHeaderBytes;
const inOverflow = pageBytes - overflowPointerBytes;
/** Beyond this a row spills; of one that spills at least the lesser number stays in its leaf. */
const rowInLeafMost = pageBytes - 35;
const rowInLeafLeast = Math.floor(((pageBytes - 12) * 32) / 255) - 23;
/** One page of pointers back for so many pages (auto_vacuum), one entry above for each leaf. */
const pagesPerPointerPage = 820;
const leavesPerInterior = 400;
/** The columns of a row of `segment` beside its body, and the head of the record. */
const columnsBytes = 36;
/** Tables, cursors, routes, the last good config: there before the first event. */
const fixedFileBytes = 128 * KIB;

const eventBesideBytes = 64;
const segmentHeaderBytes = 64;

const walPageBytes = pageBytes + 24;
/** Pages a commit changes: the leaf and the cursors'. */
const pagesEachCommit = 2;
/** And the page of pointers and the first of the file, when it makes a page. */
const pagesEachGrowth = 2;
/** And the leaf before and the page above, when it makes a leaf. */
const pagesEachLeaf = 2;

const commitsDrawn = 4_000;
const msPerSecond = 1_000;
const secondsPerDay = 86_400;

export interface Load {
  readonly messagesPerSecond: number;
  readonly payloadBytes: number;
  /** Topic Name and device name of an event. */
  readonly namesBytes: number;
  readonly commitEveryMs: number;
  /** What the disk takes for one commit. */
  readonly syncMs: number;
}

export interface Cost {
  readonly eventBytes: number;
  readonly commitsPerSecond: number;
  readonly messagesPerCommit: number;
  /** Body of a segment, as `lag.bytes` counts it. */
  readonly segmentBytes: number;
  /** In the file. */
  readonly fileBytesPerMessage: number;
  /** Towards the disk, as the kernel counts it, of a commit that appends. */
  readonly writtenBytesPerCommit: number;
  /** Those, and cursors of an upstream that keeps up. */
  readonly writtenBytesPerDay: number;
  readonly writtenPerPayloadByte: number;
}

export function costOf(load: Load): Cost {
  const { messagesPerSecond, payloadBytes, namesBytes } = load;
  const eventBytes = eventBesideBytes + namesBytes + payloadBytes;
  const most = Math.max(1, Math.floor((segmentRegionBytes - segmentHeaderBytes) / eventBytes));
  const messages = commitsOf(load).map((drawn) => Math.min(most, drawn));
  const messagesPerCommit = messages.reduce((sum, next) => sum + next, 0) / messages.length;
  const commitsPerSecond = messagesPerSecond / messagesPerCommit;
  const pages = packed(messages.map((each) => segmentHeaderBytes + each * eventBytes));
  const writtenBytesPerCommit = writtenPerCommit(pages);
  const writtenPerSecond =
    commitsPerSecond * writtenBytesPerCommit +
    cursorsAlone(commitsPerSecond) * (walPageBytes + pageBytes);
  return {
    eventBytes,
    commitsPerSecond,
    messagesPerCommit,
    segmentBytes: segmentHeaderBytes + messagesPerCommit * eventBytes,
    fileBytesPerMessage: fileBytesPerCommit(pages) / messagesPerCommit,
    writtenBytesPerCommit,
    writtenBytesPerDay: writtenPerSecond * secondsPerDay,
    writtenPerPayloadByte: writtenPerSecond / (messagesPerSecond * payloadBytes),
  };
}

/** Messages of each commit: one starts the wait and others come in it, or come during a sync. */
function commitsOf({ messagesPerSecond, commitEveryMs, syncMs }: Load): number[] {
  const waitedFor = (messagesPerSecond * commitEveryMs) / msPerSecond;
  const meanwhile = (messagesPerSecond * syncMs) / msPerSecond;
  const draw = fixedDraws();
  const drawn = (mean: number) => arrivals(mean, draw(), draw());
  return Array.from({ length: commitsDrawn }, () => {
    if (meanwhile > 1 + waitedFor) return Math.max(1, drawn(meanwhile));
    return waitedFor > 0 ? 1 + drawn(waitedFor) : 1;
  });
}

/** Poisson: counted out where it is small, else the normal distribution that it comes close to. */
function arrivals(mean: number, first: number, second: number): number {
  const smallMost = 30;
  if (mean > smallMost) {
    const normal = Math.sqrt(-2 * Math.log(1 - first)) * Math.cos(2 * Math.PI * second);
    return Math.max(0, Math.round(mean + Math.sqrt(mean) * normal));
  }
  let count = 0;
  let chance = Math.exp(-mean);
  for (let sum = chance; first > sum && chance > 0; sum += chance) {
    count += 1;
    chance *= mean / count;
  }
  return count;
}

/** Numbers from 0 to 1, the same at each call (a linear congruence; Numerical Recipes, 7.1). */
function fixedDraws(): () => number {
  const modulus = 2 ** 32;
  let state = 1;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / modulus;
  };
}

/** Of one commit, on the average. */
interface Pages {
  readonly leaves: number;
  readonly overflow: number;
  /** Share of commits that make a page of either kind. */
  readonly growing: number;
}

/** Each row goes behind the one before, into its page if it has the room (`balance_quick`). */
function packed(segments: readonly number[]): Pages {
  const sum = { leaves: 0, overflow: 0, growing: 0 };
  let free = 0;
  for (const bytes of segments) {
    const row = bytes + columnsBytes;
    const local = row <= rowInLeafMost ? row : localOf(row);
    const overflow = Math.ceil((row - local) / inOverflow);
    const cell = local + cellBytes + (overflow > 0 ? overflowPointerBytes : 0);
    const isNew = cell > free;
    free = (isNew ? inLeaf : free) - cell;
    sum.leaves += isNew ? 1 : 0;
    sum.overflow += overflow;
    sum.growing += isNew || overflow > 0 ? 1 : 0;
  }
  const { length } = segments;
  const { leaves, overflow, growing } = sum;
  return { leaves: leaves / length, overflow: overflow / length, growing: growing / length };
}

/** [1.6 Cell payload overflow] What of a row that spills stays in the leaf. */
function localOf(row: number): number {
  const fitting = rowInLeafLeast + ((row - rowInLeafLeast) % inOverflow);
  return fitting <= rowInLeafMost ? fitting : rowInLeafLeast;
}

function fileBytesPerCommit({ leaves, overflow }: Pages): number {
  const pages = leaves * (1 + 1 / leavesPerInterior) + overflow;
  return pages * (1 + 1 / pagesPerPointerPage) * pageBytes;
}

/** The last page of the write-ahead log is rarely full: the next commit writes it again. */
function writtenPerCommit({ leaves, overflow, growing }: Pages): number {
  const changed = pagesEachCommit + overflow + growing * pagesEachGrowth + leaves * pagesEachLeaf;
  const log = changed * walPageBytes + pageBytes;
  return log + (leaves + overflow) * pageBytes;
}

/** Commits after which no other comes soon enough to take the cursor along. */
function cursorsAlone(commitsPerSecond: number): number {
  return commitsPerSecond * Math.exp((-commitsPerSecond * cursorDelayMs) / msPerSecond);
}

export interface Room {
  /** `buffer.bytes`. */
  readonly bytes: number;
  /** What the write-ahead log counts for at least. */
  readonly walBytes: number;
}

/** @param pages in the write-ahead log before it is emptied */
export function walBytesOf(pages = checkpointPages): number {
  return pages * walPageBytes;
}

/** How long a buffer takes events that nobody fetches, beside so many bytes of dead letters. */
export function secondsIn(room: Room, load: Load, deadLetterBytes: number): number {
  const free = room.bytes - room.walBytes - fixedFileBytes - deadLetterBytes;
  return Math.max(0, free) / (costOf(load).fileBytesPerMessage * load.messagesPerSecond);
}

/** The least `buffer.bytes` for so long, although dead letters have taken all of their share. */
export function bytesFor(
  seconds: number,
  load: Load,
  given: { readonly deadLetterShare: number; readonly walBytes: number },
): number {
  const events = costOf(load).fileBytesPerMessage * load.messagesPerSecond * seconds;
  return (events + given.walBytes + fixedFileBytes) / (1 - given.deadLetterShare);
}
