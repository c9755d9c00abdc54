/**
 * Answers of the bridge, and refusals in the form of Confluent's REST Proxy: `error_code` is the
 * HTTP status, or the status and two digits more where that proxy's documentation has a code of its
 * own; `message` says what, where and the remedy.
 *
 * Two clients need care. Whoever still sends does not read: closed at once, it would hear of a
 * broken connection in the place of its answer. Whoever does not read is not waited for.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { bridgeBodyBytes, httpRequestWithinMs, lingerMs } from '../bounds.ts';

export interface Answer {
  readonly status: number;
  /** An object, or one for each record; null: no body. */
  readonly value: object | null;
  readonly type: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Behind `value`, as they come. */
  readonly more?: AsyncIterator<readonly object[]>;
}

const statusMost = 599;
const codesPerStatus = 100;
const msPerSecond = 1_000;

export class BridgeRefusal extends Error {
  readonly status: number;
  readonly errorCode: number;
  readonly headers: Readonly<Record<string, string>>;

  /** @param code an HTTP status, or one of five digits that begins with it */
  constructor(code: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.errorCode = code;
    this.status = code > statusMost ? Math.trunc(code / codesPerStatus) : code;
    this.headers = headers;
  }
}

/** RFC 9110, section 10.2.3: whole seconds. */
export function retryAfter(ms: number): { readonly 'retry-after': string } {
  return { 'retry-after': String(Math.max(1, Math.ceil(ms / msPerSecond))) };
}

export function refused(refusal: BridgeRefusal, type: string): Answer {
  const value = { error_code: refusal.errorCode, message: refusal.message };
  return { status: refusal.status, value, type, headers: refusal.headers };
}

export async function writeAnswer(
  request: IncomingMessage,
  response: ServerResponse,
  { status, value, type, headers = {}, more }: Answer,
): Promise<void> {
  const several = Array.isArray(value) ? value : value === null ? [] : [value];
  const body = linesOf(several);
  const length = more === undefined ? { 'content-length': Buffer.byteLength(body) } : {};
  const content = { 'content-type': type, ...length };
  response.writeHead(status, {
    ...(value === null ? {} : content),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
    // What was not read to its end is not read any more.
    ...(request.complete || more !== undefined ? {} : { connection: 'close' }),
  });
  await written(response, body);
  if (more !== undefined) await writeMore(response, more);
  if (!request.complete) await drained(request);
  response.end();
}

/** What breaks a stream is told last. */
async function writeMore(
  response: ServerResponse,
  more: AsyncIterator<readonly object[]>,
): Promise<void> {
  try {
    for (let next = await more.next(); next.done !== true; next = await more.next()) {
      await written(response, linesOf(next.value));
    }
  } catch (error) {
    if (!(error instanceof BridgeRefusal)) throw error;
    await written(response, linesOf([refused(error, '').value ?? {}]));
  }
}

function linesOf(values: readonly object[]): string {
  return values.map((one) => `${JSON.stringify(one)}\n`).join('');
}

/** Resolves when there is room for more, or nobody reads. */
async function written(response: ServerResponse, text: string): Promise<void> {
  if (text === '' || response.closed || response.write(text)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const late = setTimeout(() => response.destroy(), httpRequestWithinMs);
  response.once('drain', resolve);
  response.once('close', resolve);
  await promise;
  clearTimeout(late);
  response.off('drain', resolve);
  response.off('close', resolve);
}

/** What comes is thrown away for a moment. */
async function drained(request: IncomingMessage): Promise<void> {
  let thrown = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, lingerMs);
  request.on('data', (chunk: Buffer) => {
    thrown += chunk.length;
    if (thrown > bridgeBodyBytes) resolve();
  });
  request.once('close', resolve);
  request.once('end', resolve);
  request.resume();
  await promise;
  clearTimeout(timer);
}
