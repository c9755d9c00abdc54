/**
 * Finds PUBACK, PUBREC and PUBCOMP among the bytes of a server, however these are cut into chunks,
 * and leaves the rest as it was:
 *
 *   packet = first byte (type, flags)   Remaining Length (1 to 4 bytes)   body
 *   body of an acknowledgement = Packet Identifier   [Reason Code   [properties]]
 *
 * Nothing is kept of a packet but its header and those three bytes. What is malformed passes on:
 * MQTT.js closes the connection over it.
 */

export interface Acknowledgement {
  readonly kind: 'puback' | 'pubrec' | 'pubcomp';
  readonly packetId: number;
  /** 0 where the server left it out, and always in 3.1.1. */
  readonly reasonCode: number;
}

export interface AcknowledgementSink {
  acknowledged(one: Acknowledgement): void;
  /** All of one read have been told. */
  told(): void;
}

const kinds: Readonly<Record<number, Acknowledgement['kind']>> = {
  4: 'puback',
  5: 'pubrec',
  7: 'pubcomp',
};
/** Packet Identifier and Reason Code; what follows is prose. */
const keptBytes = 3;
const lengthBytesMax = 4;

/** Finds acknowledgements among the bytes of a server, however they are cut into chunks. */
export class AcknowledgementSplitter {
  readonly #sink: AcknowledgementSink;
  /** First byte and Remaining Length, until they are whole. */
  #header: number[] = [];
  /** Of the packet in hand. */
  #left = 0;
  #kind: Acknowledgement['kind'] | null = null;
  #kept: number[] = [];

  constructor(sink: AcknowledgementSink) {
    this.#sink = sink;
  }

  /** @returns what is not an acknowledgement */
  split(chunk: Buffer): Buffer[] {
    const rest: Buffer[] = [];
    let told = false;
    for (let at = 0; at < chunk.length; ) {
      if (this.#left === 0) {
        at = this.#readHeader(chunk, at, rest);
        if (this.#left > 0) continue;
        // A packet without a body has ended with its header.
      } else at = this.#readBody(chunk, at, rest);
      if (this.#left > 0 || this.#kind === null) continue;
      this.#tell(this.#kind);
      told = true;
    }
    if (told) this.#sink.told();
    return rest;
  }

  #readHeader(chunk: Buffer, start: number, rest: Buffer[]): number {
    for (let at = start; at < chunk.length; at++) {
      const byte = chunk[at] as number;
      this.#header.push(byte);
      const isLength = this.#header.length > 1;
      const more = byte > 0x7f && this.#header.length <= lengthBytesMax;
      if (!isLength || more) continue;
      this.#kind = kinds[(this.#header[0] as number) >> 4] ?? null;
      if (this.#kind === null) rest.push(Buffer.from(this.#header));
      this.#left = lengthOf(this.#header);
      this.#header = [];
      return at + 1;
    }
    return chunk.length;
  }

  #readBody(chunk: Buffer, start: number, rest: Buffer[]): number {
    const end = Math.min(chunk.length, start + this.#left);
    this.#left -= end - start;
    if (this.#kind === null) rest.push(chunk.subarray(start, end));
    else {
      const wanted = start + keptBytes - this.#kept.length;
      this.#kept.push(...chunk.subarray(start, Math.min(end, wanted)));
    }
    return end;
  }

  #tell(kind: Acknowledgement['kind']): void {
    const [high = 0, low = 0, reasonCode = 0] = this.#kept;
    this.#kept = [];
    this.#kind = null;
    this.#sink.acknowledged({ kind, packetId: (high << 8) | low, reasonCode });
  }
}

function lengthOf(header: readonly number[]): number {
  let length = 0;
  for (const [index, byte] of header.slice(1).entries()) length += (byte & 0x7f) << (7 * index);
  return length;
}
