/**
 * A segment's body in fewer bytes, for `buffer.compression: zstd`: a commit then writes fewer
 * pages, and pages written are what wears flash.
 *
 *   packed   magic 4 ('TGZ1') | length of the plain body u32 | one zstd frame with its own checksum
 *
 * All numbers little endian. Packed and plain bodies stand side by side in a file: the magic tells
 * them apart, since a plain body begins with another (wasm-core/segment.ts). A body that would not
 * get smaller stays plain. Everything above this file knows plain bodies and their lengths only.
 *
 * What a file holds may be damaged or a lie, so that nothing is made room for before the length is
 * known to be one of a segment, and zstd may use no window beyond it. What does not come out as
 * long as it says is given back as it is stored: it is no segment, and whoever checks bodies finds
 * it damaged as any other. The plain body inside has its own checksum, which is checked as always.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { segmentRegionBytes } from '../bounds.ts';

export type Compression = 'none' | 'zstd';

const magic = 0x315a4754; // 'TGZ1'
const lengthAt = 4;
const headerBytes = 8;
/** The fastest: a commit waits for it, and JSON gets small at any level. */
const level = 1;
/** zlib takes no smaller ones. */
const chunkLeastBytes = 64;
/** Exponent of the largest window: it holds the largest segment. */
const windowLog = Math.ceil(Math.log2(segmentRegionBytes));

export function pack(body: Buffer, compression: Compression): Buffer {
  if (compression === 'none') return body;
  const frame = zstdCompressSync(body, {
    chunkSize: Math.max(chunkLeastBytes, body.length),
    params: {
      [constants.ZSTD_c_compressionLevel]: level,
      [constants.ZSTD_c_checksumFlag]: 1,
    },
  });
  if (headerBytes + frame.length >= body.length) return body;
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32LE(magic);
  header.writeUInt32LE(body.length, lengthAt);
  return Buffer.concat([header, frame]);
}

/** @returns the plain body; what is stored, where that is none and holds none */
export function unpack(stored: Buffer): Buffer {
  if (stored.length < headerBytes || stored.readUInt32LE() !== magic) return stored;
  const bytes = stored.readUInt32LE(lengthAt);
  if (bytes > segmentRegionBytes || stored.length >= bytes) return stored;
  try {
    const body = zstdDecompressSync(stored.subarray(headerBytes), {
      maxOutputLength: bytes,
      // One more, so that a body of that length is whole in one pass.
      chunkSize: Math.max(chunkLeastBytes, bytes + 1),
      params: { [constants.ZSTD_d_windowLogMax]: windowLog },
    });
    return body.length === bytes ? body : stored;
  } catch {
    return stored;
  }
}
