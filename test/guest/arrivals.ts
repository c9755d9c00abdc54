/**
 * What arrived: the JSON lines of the file upstream, in the order they were written; rotated files
 * before the live one. `Arrivals` reads on from where it was, as a consumer would; a payload of
 * `name number` is one message of a device, anything else is somebody else's.
 */
import { closeSync, globSync, openSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import type { Arrived, Ranges } from './report.ts';

const lineFeed = 0x0a;
const numbered = /^([a-z0-9-]+) (\d+)\s*$/;

export class Arrivals {
  readonly #directory: string;
  /** Bytes read, by inode: a rotated file keeps its own. */
  readonly #read = new Map<number, number>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Calls for each message that came since the last time. */
  readOn(each: (device: string, number: number) => void): void {
    for (const path of this.#files()) {
      for (const line of this.#newLines(path)) {
        const { value } = JSON.parse(line) as { value?: string };
        const [, device, number] = numbered.exec(value ?? '') ?? [];
        if (device !== undefined) each(device, Number(number));
      }
    }
  }

  /** Rotated names carry their time behind a `-`, and that sorts before the live file's `.`. */
  #files(): string[] {
    const found = globSync('**/*.jsonl', { cwd: this.#directory });
    return found
      .toSorted((a, b) => (basename(a) < basename(b) ? -1 : 1))
      .map((name) => join(this.#directory, name));
  }

  #newLines(path: string): string[] {
    const { size, ino } = statSync(path);
    const from = this.#read.get(ino) ?? 0;
    if (size <= from) return [];
    const bytes = Buffer.alloc(size - from);
    const file = openSync(path, 'r');
    const length = readSync(file, bytes, 0, bytes.length, from);
    closeSync(file);
    // A line that is being written is read the next time.
    const whole = bytes.subarray(0, length).lastIndexOf(lineFeed) + 1;
    this.#read.set(ino, from + whole);
    return bytes
      .toString('utf8', 0, whole)
      .split('\n')
      .filter((line) => line !== '');
  }
}

interface Seen {
  readonly numbers: Set<number>;
  highest: number;
  repeats: number;
  outOfOrder: number;
}

/** All that is in these files, by device, for whoever holds the other side of the ledger. */
export function everythingArrived(directory: string): Record<string, Arrived> {
  const seen = new Map<string, Seen>();
  new Arrivals(directory).readOn((device, number) => {
    const one = seen.get(device) ?? { numbers: new Set(), highest: 0, repeats: 0, outOfOrder: 0 };
    seen.set(device, one);
    if (one.numbers.has(number)) one.repeats += 1;
    else if (number < one.highest) one.outOfOrder += 1;
    else one.highest = number;
    one.numbers.add(number);
  });
  const told = ({ numbers, repeats, outOfOrder }: Seen): Arrived => {
    return { numbers: rangesOf([...numbers].sort((a, b) => a - b)), repeats, outOfOrder };
  };
  return Object.fromEntries([...seen].map(([name, one]) => [name, told(one)]));
}

function rangesOf(numbers: readonly number[]): Ranges {
  const ranges: [number, number][] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === number - 1) last[1] = number;
    else ranges.push([number, number]);
  }
  return ranges;
}
