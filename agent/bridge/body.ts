/**
 * A request's body, whole or as it comes: read, decompressed, bounded. What is announced or turns
 * out larger than its bound is refused before it is held; so is what unpacks to a hundred times its
 * length, and what comes while the bodies in hand fill the budget of all requests, or its device's
 * share.
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
  httpRequestWithinMs,
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

  giveBack(): void {
    this.#change(-this.#taken);
    this.#taken = 0;
  }

  giveBackLater(response: ServerResponse): void {
    if (response.closed) this.giveBack();
    else response.once('close', () => this.giveBack());
  }
}

/** The whole of it. @throws BridgeRefusal 413, 415, 400 or 503 */
export async function readBody(request: IncomingMessage, lease: Lease): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > bridgeBodyBytes) throw tooLarge();
  const late = setTimeout(() => request.destroy(), httpRequestWithinMs);
  const parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const part of piecesOf(request)) {
      length += part.length;
      if (length > bridgeBodyBytes) throw tooLarge();
      lease.take(part.length);
      parts.push(part);
    }
    return Buffer.concat(parts);
  } finally {
    clearTimeout(late);
  }
}

/** As it comes, decompressed. @throws BridgeRefusal 413, 415 or 400 */
export async function* piecesOf(request: IncomingMessage): AsyncGenerator<Buffer> {
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase();
  if (!Object.hasOwn(decoders, encoding)) {
    const accepts = { 'accept-encoding': knownEncodings };
    throw new BridgeRefusal(415, `Content-Encoding ${encoding}: send ${knownEncodings}`, accepts);
  }
  const unpacker = decoders[encoding as keyof typeof decoders]?.() ?? null;
  try {
    // Destroyed, it would take the socket along, and nobody would hear why.
    if (unpacker === null) yield* request.iterator({ destroyOnReturn: false });
    else yield* unpacked(request, unpacker);
  } catch (error) {
    if (error instanceof BridgeRefusal) throw error;
    throw new BridgeRefusal(400, `the body is no ${encoding}, or it broke off`);
  }
}

async function* unpacked(request: IncomingMessage, unpacker: Transform): AsyncGenerator<Buffer> {
  let [sent, length] = [0, 0];
  request.on('data', (chunk: Buffer) => {
    sent += chunk.length;
  });
  const broken = (): void => {
    if (!request.complete) unpacker.destroy(new Error('it broke off'));
  };
  request.once('close', broken);
  request.pipe(unpacker);
  try {
    for await (const part of unpacker as AsyncIterable<Buffer>) {
      length += part.length;
      if (length > bridgeRatioFloorBytes && length > sent * bridgeRatioMost) {
        const message = `the body unpacks to more than ${bridgeRatioMost} times its length`;
        throw new BridgeRefusal(413, message);
      }
      yield part;
    }
  } finally {
    request.off('close', broken);
    request.unpipe(unpacker);
  }
}

function tooLarge(): BridgeRefusal {
  return new BridgeRefusal(413, `a body has at most ${bridgeBodyBytes} bytes: send several`);
}
