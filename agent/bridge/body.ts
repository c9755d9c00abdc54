/**
 * A request's body, whole: read, decompressed, bounded. What is announced or turns out larger than
 * its bound is refused before it is held; so is what unpacks to a hundred times its length, and
 * what comes while the bodies in hand fill the budget of all requests, or its device's share.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Transform } from 'node:stream';
import { createGunzip, createInflate, createZstdDecompress } from 'node:zlib';
import {
  bridgeBodiesBytes,
  bridgeBodiesOfDeviceBytes,
  bridgeBodyBytes,
  bridgeRatioFloorBytes,
  bridgeRatioMost,
} from '../bounds.ts';
import { BridgeRefusal, retryAfter } from './answer.ts';

const decoders = {
  identity: null,
  gzip: createGunzip,
  'x-gzip': createGunzip,
  deflate: createInflate,
  zstd: createZstdDecompress,
} as const;
const knownEncodings = 'gzip, deflate, zstd';
const comeAgainMs = 1_000;

/** Of all requests of one bridge; one device has at most a share, so that others find room. */
export class BodyBudget {
  readonly #byDevice = new Map<string, number>();
  #inHand = 0;

  lease(device: string): Lease {
    return new Lease((bytes) => this.#change(device, bytes));
  }

  /** @returns false: there is no room for so much more */
  #change(device: string, bytes: number): boolean {
    const own = (this.#byDevice.get(device) ?? 0) + bytes;
    const isMore = bytes > 0;
    if (isMore && this.#inHand + bytes > bridgeBodiesBytes) return false;
    if (isMore && own > bridgeBodiesOfDeviceBytes) return false;
    this.#inHand += bytes;
    if (own > 0) this.#byDevice.set(device, own);
    else this.#byDevice.delete(device);
    return true;
  }
}

/** What one request has of it, until its answer is written or its connection is gone. */
export class Lease {
  readonly #change: (bytes: number) => boolean;
  #taken = 0;

  constructor(change: (bytes: number) => boolean) {
    this.#change = change;
  }

  /** @throws BridgeRefusal 503 */
  take(bytes: number): void {
    if (!this.#change(bytes)) {
      const message = 'the requests in hand take all the room there is for bodies; send it again';
      throw new BridgeRefusal(503, message, retryAfter(comeAgainMs));
    }
    this.#taken += bytes;
  }

  giveBackLater(response: ServerResponse): void {
    const giveBack = (): void => {
      this.#change(-this.#taken);
      this.#taken = 0;
    };
    if (response.closed) giveBack();
    else response.once('close', giveBack);
  }
}

/** @throws BridgeRefusal 413, 415, 400 or 503 */
export async function readBody(request: IncomingMessage, lease: Lease): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bridgeBodyBytes) throw tooLarge();
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (!Object.hasOwn(decoders, encoding)) {
    const accepts = { 'accept-encoding': knownEncodings };
    throw new BridgeRefusal(415, `Content-Encoding ${encoding}: send ${knownEncodings}`, accepts);
  }
  const unpacker = decoders[encoding as keyof typeof decoders]?.() ?? null;
  const body = new Gathered(lease);
  try {
    // Destroyed, it would take the socket along, and nobody would hear why.
    const parts = request.iterator({ destroyOnReturn: false });
    if (unpacker === null) for await (const part of parts) body.add(part as Buffer);
    else await unpackInto(body, request, unpacker);
    return body.whole();
  } catch (error) {
    if (error instanceof BridgeRefusal) throw error;
    throw new BridgeRefusal(400, `the body is no ${encoding}, or it broke off`);
  }
}

async function unpackInto(
  body: Gathered,
  request: IncomingMessage,
  unpacker: Transform,
): Promise<void> {
  let sent = 0;
  request.on('data', (chunk: Buffer) => {
    sent += chunk.length;
  });
  const broken = (): void => {
    if (!request.complete) unpacker.destroy(new Error('it broke off'));
  };
  request.once('close', broken);
  request.pipe(unpacker);
  try {
    for await (const part of unpacker) {
      body.add(part as Buffer);
      if (body.length > bridgeRatioFloorBytes && body.length > sent * bridgeRatioMost) {
        const message = `the body unpacks to more than ${bridgeRatioMost} times its length`;
        throw new BridgeRefusal(413, message);
      }
    }
  } finally {
    request.off('close', broken);
    request.unpipe(unpacker);
  }
}

class Gathered {
  readonly #lease: Lease;
  readonly #parts: Buffer[] = [];
  length = 0;

  constructor(lease: Lease) {
    this.#lease = lease;
  }

  /** @throws BridgeRefusal 413, 503 */
  add(part: Buffer): void {
    if (this.length + part.length > bridgeBodyBytes) throw tooLarge();
    this.#lease.take(part.length);
    this.length += part.length;
    this.#parts.push(part);
  }

  whole(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

function tooLarge(): BridgeRefusal {
  return new BridgeRefusal(413, `a body has at most ${bridgeBodyBytes} bytes: send several`);
}
