/**
 * The HTTP bridge: services that speak no messaging protocol publish by Confluent's REST Proxy API
 * and by the CloudEvents HTTP binding. A 2xx means on disk, as a PUBACK does.
 *
 *   request ─▶ who ─▶ body, bounded ─▶ records ─▶ path (route, limits, segment) ─▶ COMMIT ─▶ 2xx
 *
 *   POST /topics/TOPIC, /topics/TOPIC/partitions/N                 rest-v2.ts
 *   POST /v3/clusters/CLUSTER/topics/TOPIC/records                 rest-v3.ts
 *   POST /events                                                   cloud-events.ts
 *
 * A service is a device: limits, records and counters name it by its token's name, or by its
 * address where no tokens are configured. What a request takes of memory, its body and its answer,
 * is its own until the answer is written (`body.ts`).
 *
 * It refuses with the REST Proxy's error bodies: 401, 40401 (no route takes the topic), 409, 413,
 * 415, 422, 429 and 503 with Retry-After.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { BridgeConfig } from '../config/types.ts';
import type { Report } from '../events.ts';
import type { MessageForm } from '../ingress/message-chunk.ts';
import type { Once } from '../ingress/request-keys.ts';
import type { Judged } from '../ingress/request-source.ts';
import { type Answer, BridgeRefusal, refused, retryAfter, writeAnswer } from './answer.ts';
import { deviceOf, fingerprintOf, keyOf, nameOf } from './asking.ts';
import { BodyBudget, type Lease, piecesOf, readBody } from './body.ts';
import { eventsOf, eventsPath } from './cloud-events.ts';
import { parseExact } from './exact-json.ts';
import { assertAllStored, assertSomeStored } from './outcomes.ts';
import type { Published } from './published.ts';
import { partitionOf, v2Answer, v2Format, v2Records, v2Type } from './rest-v2.ts';
import { assertV3, type V3Record, v3Type } from './rest-v3.ts';
import { v3Stream } from './rest-v3-stream.ts';

/** The agent, as the bridge needs it. */
export interface Behind {
  readonly publish: Publish;
  /** Why nothing can be stored now. */
  readonly holding: string | null;
}

export type Publish = (
  device: string,
  messages: readonly MessageForm[],
  once: Once | null,
) => Promise<readonly Judged[] | 'onItsWay' | 'other'>;

const v2Path = /^\/topics\/([^/]+)(?:\/partitions\/(\d+))?$/;
const v3Path = /^\/v3\/clusters\/([^/]+)\/topics\/([^/]+)\/records$/;
const holdWaitMs = 5_000;
const provisional = { 'tidegate-offsets': 'provisional' };
const nothing = Buffer.alloc(0);
/** A stream that brings nothing for so long is ended. */
const streamIdleMs = 60_000;
const noHeaders: readonly (readonly [string, string])[] = [];

export function isBridgePath(path: string): boolean {
  return path.startsWith('/topics/') || path.startsWith('/v3/') || path === eventsPath;
}

interface Asked {
  readonly request: IncomingMessage;
  /** Lower case, without parameters. */
  readonly contentType: string;
  readonly lease: Lease;
  readonly publish: (messages: readonly MessageForm[], body: Buffer) => Promise<readonly Judged[]>;
}

export class Bridge {
  readonly #config: BridgeConfig;
  readonly #behind: () => Behind | null;
  readonly #report: Report;
  readonly #budget = new BodyBudget();

  /** @param behind null: the agent is starting */
  constructor(config: BridgeConfig, report: Report, behind: () => Behind | null) {
    this.#config = config;
    this.#report = report;
    this.#behind = behind;
  }

  /** Whoever reaches the port may publish: then a Host that is a name is no request of ours. */
  get isOpen(): boolean {
    return this.#config.clients.length === 0;
  }

  async serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const type = path.startsWith('/v3/') ? v3Type : v2Type;
    let lease: Lease | null = null;
    let answer: Answer;
    try {
      const device = deviceOf(request, this.#config);
      lease = this.#budget.lease(device);
      answer = await this.#answer(request, path, device, lease);
    } catch (error) {
      if (!(error instanceof BridgeRefusal)) throw error;
      const peer = request.socket.remoteAddress ?? 'unknown';
      this.#report('requestRefused', { peer, code: error.errorCode, reason: error.message });
      answer = refused(error, type);
    } finally {
      lease?.giveBackLater(response);
    }
    await writeAnswer(request, response, answer);
  }

  /** @throws BridgeRefusal 503 nothing can be stored now */
  #publisher(): Publish {
    const behind = this.#behind();
    if (behind === null) throw unavailable('the agent is starting');
    if (behind.holding === null) return behind.publish;
    throw unavailable(`nothing is stored now (${behind.holding})`);
  }

  async #answer(
    request: IncomingMessage,
    path: string,
    device: string,
    lease: Lease,
  ): Promise<Answer> {
    if (request.method !== 'POST') throw new BridgeRefusal(405, 'only POST', { allow: 'POST' });
    if (new URLSearchParams(request.url?.split('?', 2)[1]).has('wait')) {
      throw new BridgeRefusal(501, 'wait: an answer that waits for the upstream is not there yet');
    }
    this.#publisher();
    const [written = ''] = (request.headers['content-type'] ?? '').split(';', 1);
    const key = keyOf(request);
    const asked: Asked = {
      ...{ request, contentType: written.trim().toLowerCase(), lease },
      publish: async (messages, body) => {
        const once = key === null ? null : { key, fingerprint: fingerprintOf(request, body) };
        return judgedOrRefusal(await this.#publisher()(device, messages, once));
      },
    };
    if (path === eventsPath) return await serveEvents(asked);
    const v2 = v2Path.exec(path);
    if (v2) return await serveV2(asked, nameOf(v2[1]), v2[2] ?? null);
    const v3 = v3Path.exec(path);
    if (v3) return await serveV3(asked, nameOf(v3[1]), nameOf(v3[2]));
    throw new BridgeRefusal(404, `there is no ${path}`);
  }
}

async function serveV2(asked: Asked, topicName: string, inPath: string | null): Promise<Answer> {
  const format = v2Format(asked.contentType);
  const partition = inPath === null ? null : partitionOf(Number(inPath), 'the partition');
  const bytes = await readBody(asked.request, asked.lease);
  const records = v2Records(parseExact(bytes), format, partition);
  const judged = await asked.publish(formsOf(topicName, records), bytes);
  assertSomeStored(topicName, judged);
  return v2Answer(records, judged);
}

async function serveV3(asked: Asked, cluster: string, topicName: string): Promise<Answer> {
  const { request, contentType, lease } = asked;
  assertV3(contentType, cluster);
  const place = { cluster, topicName };
  if (request.headers['transfer-encoding'] === undefined) {
    const whole = await readBody(request, lease);
    const pieces = Readable.from([whole]);
    const answers: object[] = [];
    const publish = (records: readonly V3Record[]) =>
      asked.publish(formsOf(topicName, records), whole);
    for await (const some of v3Stream({ place, pieces, lease: null, publish }))
      answers.push(...some);
    return { status: 200, value: answers, type: v3Type, headers: provisional };
  }
  if (request.headers['idempotency-key'] !== undefined) {
    throw new BridgeRefusal(422, 'Idempotency-Key: a streamed request has no end to be known by');
  }
  request.setTimeout(streamIdleMs, () => request.destroy());
  const publish = (records: readonly V3Record[]) =>
    asked.publish(formsOf(topicName, records), nothing);
  const more = v3Stream({ place, pieces: piecesOf(request), lease, publish });
  const first = await more.next();
  return { status: 200, value: first.value ?? [], type: v3Type, headers: provisional, more };
}

/** HTTP binding, section 3: an answer has no body. */
async function serveEvents(asked: Asked): Promise<Answer> {
  const bytes = await readBody(asked.request, asked.lease);
  const events = eventsOf(asked.request.headers, asked.contentType, bytes);
  if (events.length > 0) assertAllStored(events, await asked.publish(events, bytes));
  return { status: 204, value: null, type: v3Type };
}

/** @throws BridgeRefusal 409, 422 */
function judgedOrRefusal(judged: readonly Judged[] | 'onItsWay' | 'other'): readonly Judged[] {
  if (judged === 'onItsWay') {
    const message = 'the request with this Idempotency-Key is on its way: send it again later';
    throw new BridgeRefusal(409, message, retryAfter(holdWaitMs));
  }
  if (judged === 'other') {
    throw new BridgeRefusal(422, 'this Idempotency-Key came with another request: use a new one');
  }
  return judged;
}

function formsOf(topicName: string, records: readonly Published[]): MessageForm[] {
  return records.map((record) => formOf(topicName, record));
}

function formOf(topicName: string, record: Published): MessageForm {
  const { key, payload, partition, timestampMs, headers = noHeaders } = record;
  return { topicName, eventId: '', headers, payload, key, partition, timestampMs };
}

function unavailable(why: string): BridgeRefusal {
  return new BridgeRefusal(503, why, retryAfter(holdWaitMs));
}
