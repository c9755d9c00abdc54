/**
 * Disks of a guest: a copy of the image to write on, a read-only one with what it is to run, and
 * what a disk looks like after the power went.
 *
 * Killing qemu alone would be a gentle power cut: what the guest wrote and never flushed is in the
 * host's memory and reaches the file. The disk is watched by qemu's `blklogwrites`, which
 * notes every write and every flush in order (the format of the kernel's dm-log-writes). After the
 * kill the disk is made again from the image, as a cut between two flushes leaves it: all writes up
 * to the one flush, and of those behind it a random part, in place of a disk's own volatile cache.
 * Nothing may rely on more than that. Some logs cannot be read to their end (a hole where an entry
 * should begin, cause unknown): such a run ends with an error and says nothing of the package.
 *
 *   log: superblock | entry (sector, sectors, flags, length; one sector) data … | entry …
 */
import { closeSync, cpSync, mkdirSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { toolsLabel } from './guest-image.ts';
import { runTool } from './run-tool.ts';

const sectorBytes = 512;
const logMagic = 0x6a736677736872n;
const flushFlag = 1n;
const discardFlag = 4n;
const fieldBytes = 8;
const mkfsWithinMs = 60_000;

/** `from` stands at `to` in the guest; to is relative to the disk's root. */
export interface Carried {
  readonly from: string;
  readonly to: string;
}

export function copyDisk(from: string, to: string): string {
  runTool('cp', ['--sparse=always', '--reflink=auto', from, to], mkfsWithinMs);
  return to;
}

/** A disk with these files, which the guest finds by its label. */
export function toolsDisk(folder: string, carried: readonly Carried[]): string {
  const root = join(folder, 'tools');
  for (const { from, to } of carried) {
    mkdirSync(dirname(join(root, to)), { recursive: true });
    cpSync(from, join(root, to), { recursive: true });
  }
  const disk = join(folder, 'tools.img');
  const args = ['-q', '-t', 'ext4', '-O', '^has_journal', '-L', toolsLabel, '-d', root, '-F', disk];
  const kib = Number(runTool('du', ['-sk', root], mkfsWithinMs).split('\t')[0]);
  runTool('mke2fs', [...args, `${Math.ceil(kib * 1.15) + 16 * 1024}k`], mkfsWithinMs);
  rmSync(root, { recursive: true, force: true });
  return disk;
}

interface Entry {
  readonly kind: 'write' | 'flush' | 'discard';
  /** Bytes on the disk. */
  readonly at: number;
  readonly length: number;
  /** Where its bytes stand in the log. */
  readonly logged: number;
}

export interface PowerCut {
  readonly writes: number;
  readonly flushes: number;
  /** Writes behind the last flush before the cut: that many were lost, that many survived. */
  readonly lost: number;
  readonly survived: number;
}

function* entriesOf(log: number): Generator<Entry> {
  const head = Buffer.alloc(sectorBytes);
  const field = (at: number): bigint => head.readBigUInt64LE(at * fieldBytes);
  readSync(log, head, 0, sectorBytes, 0);
  if (field(0) !== logMagic) throw new Error('the log of writes does not begin as one');
  const counted = Number(field(2));
  let [at, count] = [sectorBytes, 0];
  while (readSync(log, head, 0, sectorBytes, at) === sectorBytes) {
    const [sector, sectors, flags] = [field(0), field(1), field(2)];
    if (sectors === 0n && flags === 0n) break;
    const length = Number(sectors) * sectorBytes;
    const discard = (flags & discardFlag) !== 0n;
    const kind = (flags & flushFlag) !== 0n ? 'flush' : discard ? 'discard' : 'write';
    const logged = at + sectorBytes;
    yield { kind, at: Number(sector) * sectorBytes, length, logged };
    at = logged + (discard ? 0 : length);
    count += 1;
  }
  // A write on its way into the log when qemu was killed may have left a hole in it.
  if (count < counted) throw new Error(`the log of writes breaks off at ${count} of ${counted}`);
}

/**
 * Where the power goes: before a flush that would have made some writes safe.
 * @returns how many entries there are until then
 */
function cutIn(entries: readonly Entry[], afterBytes: number): number {
  let unsafe = 0;
  for (const [index, { kind, logged }] of entries.entries()) {
    if (kind === 'write') unsafe += 1;
    if (kind !== 'flush') continue;
    if (unsafe > 0 && logged > afterBytes) return index;
    unsafe = 0;
  }
  throw new Error('the log of writes ends without a flush behind the moment of the cut');
}

/**
 * Makes `disk`, a fresh copy of what the guest began with, what the power cut left of it.
 * @param afterBytes length of the log at the moment that the cut may not come before
 */
export function replay(
  logPath: string,
  disk: string,
  afterBytes: number,
  random: () => number,
): PowerCut {
  const [log, out] = [openSync(logPath, 'r'), openSync(disk, 'r+')];
  try {
    const all = [...entriesOf(log)];
    const entries = all.slice(0, cutIn(all, afterBytes));
    const lastFlush = entries.findLastIndex(({ kind }) => kind === 'flush');
    const counts = { writes: 0, flushes: 0, lost: 0, survived: 0 };
    for (const [index, entry] of entries.entries()) {
      if (entry.kind === 'flush') counts.flushes += 1;
      if (entry.kind !== 'write') continue;
      counts.writes += 1;
      if (index > lastFlush) {
        const isLost = random() < 0.5;
        counts[isLost ? 'lost' : 'survived'] += 1;
        if (isLost) continue;
      }
      const bytes = Buffer.allocUnsafe(entry.length);
      const read = readSync(log, bytes, 0, entry.length, entry.logged);
      writeSync(out, bytes.subarray(0, read), 0, read, entry.at);
    }
    return counts;
  } finally {
    closeSync(log);
    closeSync(out);
  }
}
