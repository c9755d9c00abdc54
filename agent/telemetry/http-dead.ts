/**
 * Dead letters over the local HTTP port. What is meant stands in the query, since bodies are not
 * read; a replay goes one segment a request, and the answer says where the next one begins.
 *
 *   POST /dead/replay    all | ids=1,2,…  lane= reason= route= after= upTo= epoch=
 *   POST /dead/discard   all | ids=1,2,…  lane= reason= epoch=
 *
 * `all` must be said: an empty query means nothing. `epoch` names the buffer file that the asking
 * one has looked at; an agent on another file answers 409.
 */
import type { DeadSelection, ReplayRequest } from '../buffer/protocol.ts';

export interface DeadLetters {
  readonly epoch: string;
  step(request: ReplayRequest): Promise<object>;
  /** @returns how many there were */
  discard(selection: DeadSelection): Promise<number>;
  /** Why a replay would have to wait: the buffer holds. */
  holding(): string | null;
}

export interface DeadAnswer {
  readonly status: number;
  readonly value: object;
}

export type DeadAction = 'replay' | 'discard';

export async function answerDead(
  action: DeadAction,
  query: URLSearchParams,
  dead: DeadLetters | null,
): Promise<DeadAnswer> {
  if (dead === null) return refusal(503, 'the agent is starting');
  const selection = selectionOf(query);
  if (typeof selection === 'string') return refusal(400, selection);
  const epoch = query.get('epoch');
  if (epoch !== null && epoch !== dead.epoch) {
    return refusal(409, 'this agent runs on another buffer file');
  }
  if (action === 'discard') {
    return { status: 200, value: { discarded: await dead.discard(selection) } };
  }
  const holding = dead.holding();
  if (holding !== null) return refusal(507, `the buffer holds (${holding}): no room for a replay`);
  const after = wholeNumber(query.get('after') ?? '0');
  const upTo = query.has('upTo') ? wholeNumber(query.get('upTo')) : null;
  if (after === undefined || upTo === undefined) return refusal(400, 'after, upTo: whole numbers');
  const request = { selection, route: query.get('route'), after, upTo };
  return { status: 200, value: await dead.step(request) };
}

/** A sentence says what is wrong. */
function selectionOf(query: URLSearchParams): DeadSelection | string {
  const written = query.get('ids');
  if ((written === null) === !query.has('all')) return 'say either all or ids';
  const ids = written?.split(',').map(wholeNumber) ?? null;
  if (ids?.includes(undefined)) return 'ids are whole numbers with commas between';
  return {
    ids: ids as number[] | null,
    lane: query.get('lane'),
    reason: query.get('reason'),
  };
}

function wholeNumber(text: string | null): number | undefined {
  return /^\d{1,15}$/.test(text ?? '') ? Number(text) : undefined;
}

function refusal(status: number, error: string): DeadAnswer {
  return { status, value: { error } };
}
