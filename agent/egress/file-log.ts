/**
 * A file of lines that is appended to, synced, and rotated.
 *
 *   <directory>/<name>.jsonl                          the live file
 *   <directory>/<name>-20260102T030405.678Z.jsonl     a rotated one; `-2` … when that name is taken
 *
 * Its length is only what was synced: bytes behind it are of a write that failed, and are written
 * over. On opening, a torn last line (no line feed at its end) is cut. The directory is synced when
 * a file is made or renamed, so that a name does not get lost behind its bytes. A live file that
 * was moved or removed by others is noticed before the next write, and made anew.
 */
import { constants } from 'node:fs';
import { access, type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

export interface FileLogOptions {
  readonly directory: string;
  /** Without its ending. */
  readonly name: string;
  readonly rotateBytes: number;
  readonly rotateEveryMs: number;
}

const lineFeed = 0x0a;
const tailBytes = 64 * 1024;

export class FileLog {
  readonly #options: FileLogOptions;
  #handle: FileHandle | null = null;
  #inode = 0;
  #length = 0;
  #bornMs = 0;

  constructor(options: FileLogOptions) {
    this.#options = options;
  }

  get path(): string {
    return join(this.#options.directory, `${this.#options.name}.jsonl`);
  }

  /** Bytes that are safely in the live file. */
  get length(): number {
    return this.#length;
  }

  /** @returns bytes of a torn last line that were cut */
  async open(): Promise<number> {
    await this.close();
    await mkdir(this.#options.directory, { recursive: true });
    const handle = await open(this.path, constants.O_RDWR | constants.O_CREAT, 0o644);
    this.#handle = handle;
    const { size, ino, birthtimeMs } = await handle.stat();
    this.#inode = ino;
    this.#bornMs = size === 0 ? Date.now() : birthtimeMs;
    this.#length = await lastLineEnd(handle, size);
    if (this.#length < size) await handle.truncate(this.#length);
    await handle.sync();
    await this.#syncDirectory();
    return size - this.#length;
  }

  /** Resolves when the lines are on disk. After an error, call it again with the same lines. */
  async append(lines: Buffer): Promise<void> {
    if (this.#handle === null || !(await this.#isLive())) await this.open();
    if (this.#isDue()) await this.#rotate();
    const handle = this.#handle as unknown as FileHandle;
    let written = 0;
    while (written < lines.length) {
      const left = lines.length - written;
      written += (await handle.write(lines, written, left, this.#length + written)).bytesWritten;
    }
    await handle.datasync();
    this.#length += lines.length;
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }

  async #isLive(): Promise<boolean> {
    const found = await stat(this.path).catch(() => null);
    return found?.ino === this.#inode;
  }

  /** Asked before a write: if rotation fails, nothing of the group is in the file yet. */
  #isDue(): boolean {
    const { rotateBytes, rotateEveryMs } = this.#options;
    if (this.#length === 0) return false;
    if (rotateBytes > 0 && this.#length >= rotateBytes) return true;
    return rotateEveryMs > 0 && Date.now() - this.#bornMs >= rotateEveryMs;
  }

  async #rotate(): Promise<void> {
    const { directory, name } = this.#options;
    const moment = new Date().toISOString().replaceAll(/[-:]/g, '');
    let target = join(directory, `${name}-${moment}.jsonl`);
    for (let n = 2; await exists(target); n++)
      target = join(directory, `${name}-${moment}-${n}.jsonl`);
    await this.close();
    await rename(this.path, target);
    await this.open();
  }

  async #syncDirectory(): Promise<void> {
    const directory = await open(this.#options.directory, 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** The end of the last whole line: everything behind it was being written when we died. */
async function lastLineEnd(handle: FileHandle, size: number): Promise<number> {
  const buffer = Buffer.alloc(tailBytes);
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - tailBytes);
    const { bytesRead } = await handle.read(buffer, 0, end - start, start);
    const found = buffer.subarray(0, bytesRead).lastIndexOf(lineFeed);
    if (found >= 0) return start + found + 1;
    end = start;
  }
  return 0;
}
