/**
 * The local HTTP port: `/healthz /readyz /metrics /status`, and what an operator may command.
 *
 *   GET  /healthz                        200 while the event loop turns
 *   GET  /readyz                         200 when the buffer is open and the listeners are bound
 *   GET  /metrics                        Prometheus text
 *   GET  /status                         JSON
 *   POST /upstreams/NAME/pause|resume    200, or 404 for a name that is not configured
 *   POST /dead/replay|discard            see http-dead.ts
 *   POST /topics/…, /v3/…, /events       the bridge (agent/bridge), where the config has one
 *
 * It has no authentication and is bound to loopback, so what a web page could send there counts: a
 * POST is refused unless its Host is an address or localhost (DNS rebinding) and it has no Origin
 * (a page's own request). Clients are bounded in number, time and header size; only the bridge
 * reads bodies.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { httpConnectionsMax, httpHeaderBytes, httpHeadersWithinMs } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';
import { expositionContentType } from './exposition.ts';
import { answerDead, type DeadAction, type DeadLetters } from './http-dead.ts';
import type { Telemetry } from './telemetry.ts';

export interface HttpSources {
  readonly telemetry: Telemetry;
  readonly gateway: string;
  readonly version: string;
  /** unknown: there is no such upstream; starting: not yet. */
  command(action: UpstreamAction, upstream: string): 'done' | 'unknown' | 'starting';
  /** null: not yet. */
  dead(): DeadLetters | null;
  /** Serves a path of its own; null: this path is none. */
  bridge(path: string): Bridged | null;
}

export interface Bridged {
  /** Nobody has to say who he is. */
  readonly isOpen: boolean;
  serve(request: IncomingMessage, response: ServerResponse): Promise<void>;
}

export type UpstreamAction = 'pause' | 'resume';

export interface HttpPort {
  readonly port: number;
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
  readonly allow?: string;
}

const checkEveryMs = 1_000;
const deadPath = /^\/dead\/(replay|discard)$/;
const upstreamPath = /^\/upstreams\/([^/]+)\/(pause|resume)$/;

/** @throws TidegateError bindFailed */
export async function openHttp(
  bind: { readonly host: string; readonly port: number },
  sources: HttpSources,
): Promise<HttpPort> {
  const server = createServer({
    headersTimeout: httpHeadersWithinMs,
    // Bodies are the bridge's, and it bounds their time itself: a stream may stay open.
    requestTimeout: 0,
    connectionsCheckingInterval: checkEveryMs,
    maxHeaderSize: httpHeaderBytes,
  });
  server.maxConnections = httpConnectionsMax;
  server.on('request', (request, response) => void serve(request, response, sources, bind.host));
  const port = await listen(server, bind);
  sources.telemetry.report('listenerBound', { protocol: 'http', host: bind.host, port });
  return { port, close: () => close(server) };
}

function listen(server: Server, bind: { host: string; port: number }): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(new TidegateError('bindFailed', `http ${bind.host}:${bind.port}: ${error.message}`));
    });
    server.listen(bind.port, bind.host, () => {
      const address = server.address();
      resolve(typeof address === 'object' && address ? address.port : bind.port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  sources: HttpSources,
  boundHost: string,
): Promise<void> {
  let answer: Answer;
  try {
    const bridged = sources.bridge(pathOf(request));
    const refusal = bridged?.isOpen === true ? foreign(request, boundHost) : null;
    if (bridged !== null && refusal === null) return await bridged.serve(request, response);
    answer =
      refusal === null ? await route(request, sources, boundHost) : json(403, { error: refusal });
  } catch (error) {
    sources.telemetry.report('unexpected', { where: 'http', error: messageOf(error) });
    answer = json(500, { error: 'see the log' });
  }
  const { status, body, type = 'application/json; charset=utf-8', allow } = answer;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(allow === undefined ? {} : { allow }),
    // A body was announced that nobody will read: the connection cannot be used again.
    ...(hasBody(request) ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function pathOf({ url = '/' }: IncomingMessage): string {
  return url.split('?', 1)[0] ?? '/';
}

function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length ?? '0') !== '0';
}

type Read = (sources: HttpSources) => Answer | Promise<Answer>;

const readable: Readonly<Record<string, Read>> = {
  '/healthz': () => ({ status: 200, body: 'ok\n', type: 'text/plain; charset=utf-8' }),
  '/readyz': readiness,
  '/metrics': async ({ telemetry }) => ({
    status: 200,
    body: await telemetry.metrics(),
    type: expositionContentType,
  }),
  '/status': status,
};

function route(
  request: IncomingMessage,
  sources: HttpSources,
  boundHost: string,
): Answer | Promise<Answer> {
  const [path = '/', query = ''] = (request.url ?? '/').split('?');
  const isRead = request.method === 'GET' || request.method === 'HEAD';
  const read = Object.hasOwn(readable, path) ? readable[path] : undefined;
  if (read) return isRead ? read(sources) : notAllowed('GET, HEAD');
  const match = upstreamPath.exec(path);
  const dead = deadPath.exec(path);
  if (!match && !dead) return json(404, { error: 'no such path' });
  if (request.method !== 'POST') return notAllowed('POST');
  const refusal = foreign(request, boundHost);
  if (refusal !== null) return json(403, { error: refusal });
  if (match) return command(match[2] as UpstreamAction, match[1] ?? '', sources);
  return commandDead(dead?.[1] as DeadAction, new URLSearchParams(query), sources);
}

async function commandDead(
  action: DeadAction,
  query: URLSearchParams,
  sources: HttpSources,
): Promise<Answer> {
  const { status, value } = await answerDead(action, query, sources.dead());
  return json(status, value);
}

function notAllowed(allow: string): Answer {
  return { ...json(405, { error: `only ${allow}` }), allow };
}

/** Why this request may be a web page's and not the operator's; null when it is not. */
function foreign(request: IncomingMessage, boundHost: string): string | null {
  if (request.headers.origin !== undefined) return 'requests of web pages are not taken';
  const host = (request.headers.host ?? '').replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1');
  const isOurs = host === 'localhost' || host === boundHost || isIP(host) !== 0;
  return isOurs ? null : 'the Host header must name an address or localhost';
}

function command(action: UpstreamAction, written: string, sources: HttpSources): Answer {
  let upstream: string;
  try {
    upstream = decodeURIComponent(written);
  } catch {
    return json(404, { error: 'no such upstream' });
  }
  const outcome = sources.command(action, upstream);
  if (outcome === 'starting') return json(503, { error: 'the agent is starting' });
  if (outcome === 'unknown') return json(404, { error: `no upstream ${upstream}` });
  return json(200, { upstream, action });
}

function readiness({ telemetry }: HttpSources): Answer {
  const { ready, degraded } = telemetry;
  return json(ready ? 200 : 503, { ready, degraded, upstreams: lanes(telemetry) });
}

async function status({ telemetry, gateway, version }: HttpSources): Promise<Answer> {
  await telemetry.refreshed();
  return json(200, {
    gateway,
    version,
    ready: telemetry.ready,
    degraded: telemetry.degraded,
    uptimeSeconds: Math.round(process.uptime()),
    connections: telemetry.openConnections,
    ...telemetry.seatsSource(),
    upstreams: lanes(telemetry),
    fleet: telemetry.fleetSource(),
    buffer: telemetry.gaugesSource(),
  });
}

function lanes(telemetry: Telemetry): object {
  return Object.fromEntries(
    telemetry.laneStates.map(({ lane, state, since, retries, lastError }) => [
      lane,
      { state, since: new Date(since).toISOString(), retries, lastError },
    ]),
  );
}

function json(statusCode: number, value: object): Answer {
  return { status: statusCode, body: `${JSON.stringify(value)}\n` };
}
