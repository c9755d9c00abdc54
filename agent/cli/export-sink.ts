/**
 * Where lines go: standard output, waiting for whoever reads it (and done when they leave: `head`),
 * or a new file, which is on disk when it is closed. A file that is there is not overwritten.
 */
import { once } from 'node:events';
import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { messageOf, TidegateError } from '../errors.ts';

export interface LineSink {
  readonly isStandardOutput: boolean;
  /** Nobody reads any more. */
  readonly ended: boolean;
  write(text: string): Promise<void>;
  close(): Promise<void>;
}

/** @param path null: standard output @throws TidegateError cannotWrite */
export function openSink(path: string | null): LineSink {
  return path === null ? new StandardOutput() : new NewFile(path);
}

class StandardOutput implements LineSink {
  readonly isStandardOutput = true;
  #ended = false;

  get ended(): boolean {
    return this.#ended || process.stdout.destroyed;
  }

  async write(text: string): Promise<void> {
    if (this.ended || process.stdout.write(text)) return;
    try {
      await once(process.stdout, 'drain');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
      this.#ended = true;
    }
  }

  async close(): Promise<void> {}
}

class NewFile implements LineSink {
  readonly isStandardOutput = false;
  readonly ended = false;
  readonly #file: number;

  constructor(path: string) {
    try {
      this.#file = openSync(path, 'wx', 0o600);
    } catch (error) {
      throw new TidegateError('cannotWrite', messageOf(error), { cause: error });
    }
  }

  async write(text: string): Promise<void> {
    const bytes = Buffer.from(text);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
  }

  async close(): Promise<void> {
    fsyncSync(this.#file);
    closeSync(this.#file);
  }
}
