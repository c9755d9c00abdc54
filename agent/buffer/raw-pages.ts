/**
 * Reads rows out of a database file without SQLite, for the case that SQLite cannot follow it: a
 * page that lies in ruins hides all that hangs below it, but a table's leaf pages carry whole rows.
 *
 *   file   page 1 … n; a leaf of a table is a page of type 13; a WITHOUT ROWID table keeps rows in
 *          its leaves (10) and in the pages above them (2)
 *   page   type, cell count, cell pointers; a cell is (child page,) payload size, (rowid,) record,
 *          overflow page
 *   record a header of serial types, then the values; what does not fit lies in a chain of pages
 *   WAL    newer versions of pages, valid up to the last commit whose checksums hold
 *
 * (sqlite.org/fileformat2.html; the sections are named on the lines.) Refuses nothing loudly: what
 * does not parse is not a row. Free pages still carry rows that were deleted; the pointer map that
 * every file with auto_vacuum has tells which they are, unless it is in ruins itself.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { fileBytes } from './capacity.ts';

export type RawValue = number | string | Buffer | null;

export interface RawRow {
  /** null: a row of a WITHOUT ROWID table. */
  readonly rowid: number | null;
  readonly values: readonly RawValue[];
}

const tableLeaf = 13;
const indexLeaf = 10;
const indexInterior = 2;
const fileHeaderBytes = 100;
const leafHeaderBytes = 8;
const interiorHeaderBytes = 12;
/** [1.8 Pointer Map] An entry: what the page is, its parent. */
const pointerEntryBytes = 5;
const pointerMapFree = 2;
/** Where locks lie: the page of that offset is never used. [1.4 The Lock-Byte Page] */
const lockByteOffset = 0x4000_0000;
const cellPointerBytes = 2;
const pageNumberBytes = 4;
const defaultPageBytes = 4_096;
const smallestPageBytes = 512;
const largestPageBytes = 65_536;
/** The field holds 1 where it means 65,536. [1.3.2 Page Size] */
const largestPageMark = 1;
const walHeaderBytes = 32;
const walFrameHeaderBytes = 24;
const walMagicLittle = 0x377f0682;
const walMagicBig = 0x377f0683;
const varintBytes = 9;
const firstBlobSerial = 12;

/** Calls `visit` for each row of each leaf page, in the order of the pages. */
export function eachRawRow(path: string, visit: (row: RawRow) => void): void {
  const file = openSync(path, 'r');
  try {
    const pages = new RawPages(file, readWal(`${path}-wal`));
    for (let number = 1; number <= pages.count; number++) {
      for (const row of rowsOfPage(pages, number)) visit(row);
    }
  } finally {
    closeSync(file);
  }
}

class RawPages {
  readonly pageBytes: number;
  readonly count: number;
  readonly #file: number;
  readonly #wal: Wal | null;
  /** The map that was asked last. */
  #map: Buffer | null = null;
  #mapNumber = 0;

  constructor(file: number, wal: Wal | null) {
    this.#file = file;
    this.#wal = wal;
    const field = Buffer.alloc(2);
    readSync(file, field, 0, field.length, 16);
    const claimed =
      field.readUInt16BE() === largestPageMark ? largestPageBytes : field.readUInt16BE();
    const sane = claimed >= smallestPageBytes && (claimed & (claimed - 1)) === 0;
    this.pageBytes = wal?.pageBytes ?? (sane ? claimed : defaultPageBytes);
    const inFile = Math.floor(fstatSync(file).size / this.pageBytes);
    this.count = Math.max(inFile, ...(wal?.offsets.keys() ?? []));
  }

  /** [1.8 Pointer Map] Maps stand at page 2 and behind every stretch of pages they speak of. */
  isFree(number: number): boolean {
    if (number < 2) return false;
    const stretch = Math.floor(this.pageBytes / pointerEntryBytes) + 1;
    const first = Math.floor((number - 2) / stretch) * stretch + 2;
    const lockPage = Math.floor(lockByteOffset / this.pageBytes) + 1;
    const map = first === lockPage ? first + 1 : first;
    if (map !== this.#mapNumber) {
      this.#mapNumber = map;
      this.#map = this.read(map);
    }
    const entry = pointerEntryBytes * (number - map - 1);
    return entry >= 0 && this.#map?.[entry] === pointerMapFree;
  }

  read(number: number): Buffer | null {
    if (number < 1 || number > this.count) return null;
    const offset = this.#wal?.offsets.get(number);
    if (this.#wal && offset !== undefined) {
      return this.#wal.bytes.subarray(offset, offset + this.pageBytes);
    }
    const page = Buffer.alloc(this.pageBytes);
    readSync(this.#file, page, 0, page.length, (number - 1) * this.pageBytes);
    return page;
  }
}

interface Wal {
  readonly bytes: Buffer;
  readonly pageBytes: number;
  /** Where the newest committed version of a page lies. */
  readonly offsets: ReadonlyMap<number, number>;
}

/** [4.1 WAL File Format] Frames count up to the last commit before a salt or checksum differs. */
function readWal(path: string): Wal | null {
  if (fileBytes(path) < walHeaderBytes) return null;
  const bytes = readFileSync(path);
  const magic = bytes.readUInt32BE(0);
  if (magic !== walMagicLittle && magic !== walMagicBig) return null;
  const pageBytes = bytes.readUInt32BE(8);
  const committed = new Map<number, number>();
  const open = new Map<number, number>();
  const frameBytes = walFrameHeaderBytes + pageBytes;
  let sums = checksum(bytes.subarray(0, 24), magic, [0, 0]);
  for (let at = walHeaderBytes; at + frameBytes <= bytes.length; at += frameBytes) {
    const head = bytes.subarray(at, at + walFrameHeaderBytes);
    if (head.compare(bytes, 16, 24, 8, 16) !== 0) break;
    sums = checksum(head.subarray(0, 8), magic, sums);
    sums = checksum(bytes.subarray(at + walFrameHeaderBytes, at + frameBytes), magic, sums);
    if (head.readUInt32BE(16) !== sums[0] || head.readUInt32BE(20) !== sums[1]) break;
    open.set(head.readUInt32BE(0), at + walFrameHeaderBytes);
    if (head.readUInt32BE(4) === 0) continue;
    for (const [number, offset] of open) committed.set(number, offset);
    open.clear();
  }
  return { bytes, pageBytes, offsets: committed };
}

/** [4.2 Checksum Algorithm] */
function checksum(bytes: Buffer, magic: number, from: readonly [number, number]): [number, number] {
  const big = magic === walMagicBig;
  let [first, second] = from;
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const low = big ? bytes.readUInt32BE(at) : bytes.readUInt32LE(at);
    const high = big ? bytes.readUInt32BE(at + 4) : bytes.readUInt32LE(at + 4);
    first = (first + low + second) >>> 0;
    second = (second + high + first) >>> 0;
  }
  return [first, second];
}

/** [1.6 B-tree Pages] */
function rowsOfPage(pages: RawPages, number: number): RawRow[] {
  const page = pages.read(number);
  const start = number === 1 ? fileHeaderBytes : 0;
  const type = page?.[start];
  const holdsRows = type === tableLeaf || type === indexLeaf || type === indexInterior;
  if (!page || !holdsRows || pages.isFree(number)) return [];
  const headerBytes = type === indexInterior ? interiorHeaderBytes : leafHeaderBytes;
  const cells = page.readUInt16BE(start + 3);
  const rows: RawRow[] = [];
  for (let cell = 0; cell < cells; cell++) {
    const pointer = start + headerBytes + cell * cellPointerBytes;
    if (pointer + cellPointerBytes > page.length) break;
    const row = tolerant(() => rowOfCell(pages, page, page.readUInt16BE(pointer), type));
    if (row) rows.push(row);
  }
  return rows;
}

/** What runs over the end of a page or chain was no row. */
function tolerant<T>(parse: () => T | null): T | null {
  try {
    return parse();
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function rowOfCell(pages: RawPages, page: Buffer, cell: number, type: number): RawRow | null {
  const size = varint(page, type === indexInterior ? cell + pageNumberBytes : cell);
  const rowid = type === tableLeaf ? varint(page, size.next) : null;
  const payload = payloadOf(pages, page, rowid?.next ?? size.next, size.value, type);
  const values = payload && valuesOf(payload);
  return values && { rowid: rowid?.value ?? null, values };
}

/** [1.6 Cell payload overflow] How much lies in the cell, and the chain for the rest. */
function payloadOf(
  pages: RawPages,
  page: Buffer,
  at: number,
  bytes: number,
  type: number,
): Buffer | null {
  const usable = pages.pageBytes;
  const most = type === tableLeaf ? usable - 35 : Math.floor(((usable - 12) * 64) / 255) - 23;
  if (bytes <= most) return at + bytes <= page.length ? page.subarray(at, at + bytes) : null;
  const least = Math.floor(((usable - 12) * 32) / 255) - 23;
  const fitting = least + ((bytes - least) % (usable - pageNumberBytes));
  const local = fitting <= most ? fitting : least;
  if (bytes > pages.count * usable) return null;
  const parts = [page.subarray(at, at + local)];
  let left = bytes - local;
  let next = page.readUInt32BE(at + local);
  while (left > 0) {
    const overflow = pages.read(next);
    if (!overflow) return null;
    const part = overflow.subarray(pageNumberBytes, pageNumberBytes + left);
    parts.push(part);
    left -= part.length;
    next = overflow.readUInt32BE(0);
  }
  return Buffer.concat(parts);
}

/** [2.1 Record Format] */
function valuesOf(record: Buffer): RawValue[] | null {
  const header = varint(record, 0);
  if (header.value > record.length) return null;
  const values: RawValue[] = [];
  let at = header.value;
  for (let cursor = header.next; cursor < header.value; ) {
    const serial = varint(record, cursor);
    const { value, bytes } = readValue(record, at, serial.value);
    values.push(value);
    at += bytes;
    cursor = serial.next;
  }
  return at === record.length ? values : null;
}

/** Widths of the integers of serial types 1 to 6. */
const integerBytes = [0, 1, 2, 3, 4, 6, 8];

function readValue(record: Buffer, at: number, serial: number): { value: RawValue; bytes: number } {
  const width = integerBytes[serial];
  if (serial === 0) return { value: null, bytes: 0 };
  if (serial === 8 || serial === 9) return { value: serial - 8, bytes: 0 };
  if (serial === 7) return { value: record.readDoubleBE(at), bytes: 8 };
  if (width === 8) return { value: Number(record.readBigInt64BE(at)), bytes: width };
  if (width !== undefined) return { value: record.readIntBE(at, width), bytes: width };
  if (serial < firstBlobSerial) throw new RangeError('reserved serial type');
  const bytes = Math.floor((serial - firstBlobSerial) / 2);
  if (at + bytes > record.length) throw new RangeError('value beyond its record');
  const raw = record.subarray(at, at + bytes);
  return { value: serial % 2 === 0 ? raw : raw.toString('utf8'), bytes };
}

/** [1.6 Variable-length integers] Seven bits a byte, eight in the ninth. */
function varint(bytes: Buffer, at: number): { value: number; next: number } {
  let value = 0n;
  for (let index = 0; index < varintBytes; index++) {
    const byte = bytes.readUInt8(at + index);
    if (index === varintBytes - 1) value = (value << 8n) | BigInt(byte);
    else value = (value << 7n) | BigInt(byte & 0x7f);
    const last = (byte & 0x80) === 0 || index === varintBytes - 1;
    if (last) return { value: Number(BigInt.asIntN(64, value)), next: at + index + 1 };
  }
  throw new RangeError('varint');
}
