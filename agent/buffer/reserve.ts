/**
 * The reserve: `<path>.reserve`, real blocks that are given up when the disk is full.
 *
 * On a full disk SQLite cannot write a cursor, trim or checkpoint either, so that the very work
 * that frees room fails. Deleting this file makes room for exactly that; it is made again, and
 * appends go on, once the disk has room beside it. Random bytes, written and fsynced: a sparse
 * file, or zeros on a compressing file system, would reserve nothing. (A copy-on-write file system
 * promises less.)
 */
import { randomFillSync } from 'node:crypto';
import { closeSync, fsyncSync, openSync, rmSync, statfsSync, statSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

const blockBytes = 64 * 1024;
/** st_blocks counts in this unit, whatever the file system's own. */
const statBlockBytes = 512;

export class Reserve {
  readonly #path: string;
  readonly #bytes: number;
  #held = false;

  constructor(path: string, bytes: number) {
    this.#path = `${path}.reserve`;
    this.#bytes = bytes;
  }

  get held(): boolean {
    return this.#held;
  }

  /** @returns whether the blocks are ours now; a full disk is not an error here */
  make(): boolean {
    if (this.#isThere()) {
      this.#held = true;
      return true;
    }
    try {
      this.#write();
      this.#held = true;
    } catch {
      this.giveUp();
    }
    return this.#held;
  }

  /** Would `make` leave the disk with at least `beside` bytes? Asked before writing anything. */
  fits(besideBytes: number): boolean {
    const disk = statfsSync(dirname(this.#path));
    return disk.bavail * disk.bsize >= this.#bytes + besideBytes;
  }

  giveUp(): void {
    rmSync(this.#path, { force: true });
    this.#held = false;
  }

  #isThere(): boolean {
    const found = statSync(this.#path, { throwIfNoEntry: false });
    if (!found || found.size !== this.#bytes) return false;
    return found.blocks * statBlockBytes >= this.#bytes;
  }

  #write(): void {
    const file = openSync(this.#path, 'w', 0o600);
    // One block, filled again and again: a box that holds 8 MiB for this never gets them back.
    const block = Buffer.allocUnsafeSlow(blockBytes);
    try {
      for (let written = 0; written < this.#bytes; ) {
        randomFillSync(block);
        written += writeSync(file, block, 0, Math.min(blockBytes, this.#bytes - written));
      }
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  }
}
