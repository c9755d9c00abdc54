/**
 * How full the buffer is. Used bytes are the pages of the file that hold something, and the WAL;
 * dead letters, set-aside segments and stored routes are pages like all others.
 *
 * For the decision, the WAL counts as at least the size it has in normal running: it is emptied and
 * refilled all the time, and a limit that moved with it would evict or hold by the moment.
 */
import { statSync } from 'node:fs';
import type { BufferOptions } from './protocol.ts';
import type { Statements } from './statements.ts';

/** SQLite's WAL: one header per page, before it. */
const walFrameHeaderBytes = 24;
/** Bytes of a page that are not body in an overflow chain. */
const overflowPointerBytes = 4;
/** Pages an append may take beside its body: leaf, pointer map, route, cursor. */
const pagesBesideBody = 4;
/** A WAL beyond this many times its normal size is emptied by a checkpoint of our own. */
const walIsBigFactor = 4;
/** The WAL gets at most this share of the buffer. */
const walShare = 1 / 32;
/**
 * And of the reserve: on a full disk the first thing to do is a checkpoint, and it lets the file
 * grow by what the WAL holds. One that does not fit ends half way, with the reserve gone.
 */
const walShareOfReserve = 1 / 2;
const fewestCheckpointPages = 16;
/** Holding ends, in words, when this share is free again. */
const releaseShare = 1 / 16;

export interface Fill {
  readonly usedBytes: number;
  readonly fileBytes: number;
  readonly walBytes: number;
  readonly freePages: number;
}

export function checkpointPagesFor(
  options: BufferOptions,
  pageBytes: number,
  most: number,
): number {
  const room = Math.min(options.bytes * walShare, options.reserveBytes * walShareOfReserve);
  return Math.max(fewestCheckpointPages, Math.min(most, Math.floor(room / pageBytes)));
}

export class Capacity {
  readonly #pageBytes: number;
  #options: BufferOptions;
  #walAllowanceBytes: number;
  #sql: Statements;

  constructor(sql: Statements, options: BufferOptions, pageBytes: number, checkpointPages: number) {
    this.#sql = sql;
    this.#options = options;
    this.#pageBytes = pageBytes;
    this.#walAllowanceBytes = checkpointPages * (pageBytes + walFrameHeaderBytes);
  }

  /** After the connection was opened anew. */
  rebind(sql: Statements): void {
    this.#sql = sql;
  }

  /** Bounds of a new config. @returns pages in the WAL after which a commit is to empty it */
  configure(options: BufferOptions, mostCheckpointPages: number): number {
    const pages = checkpointPagesFor(options, this.#pageBytes, mostCheckpointPages);
    this.#options = options;
    this.#walAllowanceBytes = pages * (this.#pageBytes + walFrameHeaderBytes);
    return pages;
  }

  fill(): Fill {
    const { count, free } = this.#sql.pages();
    const walBytes = fileBytes(`${this.#options.path}-wal`);
    const fileSize = count * this.#pageBytes;
    const usedBytes = (count - free) * this.#pageBytes + walBytes;
    return { usedBytes, fileBytes: fileSize, walBytes, freePages: free };
  }

  /** Bytes missing for a body of this size; 0 or less when it fits. */
  missingFor(bodyBytes: number): number {
    const { usedBytes, walBytes } = this.fill();
    const wal = Math.max(walBytes, this.#walAllowanceBytes);
    return usedBytes - walBytes + wal + this.#bytesOf(bodyBytes) - this.#options.bytes;
  }

  /** Enough room that the next moment will not hold again. */
  roomy(): boolean {
    return this.missingFor(this.#options.bytes * releaseShare) <= 0;
  }

  walIsBig(): boolean {
    return fileBytes(`${this.#options.path}-wal`) > this.#walAllowanceBytes * walIsBigFactor;
  }

  #bytesOf(bodyBytes: number): number {
    const pages = Math.ceil(bodyBytes / (this.#pageBytes - overflowPointerBytes));
    return (pages + pagesBesideBody) * this.#pageBytes;
  }
}

export function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
