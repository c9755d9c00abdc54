/**
 * What became of a request's events, as one refusal where they have one thing in common. The order
 * of what is permanent before what may pass later: nobody is told to send again what never will.
 */
import type { MessageForm } from '../ingress/message-chunk.ts';
import type { Judged } from '../ingress/request-source.ts';
import { BridgeRefusal, retryAfter } from './answer.ts';

const againMs = 5_000;
const noRoute = 'Add a route, or name an upstream in http.bridge.rest.';

/** @throws BridgeRefusal when none of them is stored */
export function assertSomeStored(topicName: string, judged: readonly Judged[]): void {
  if (judged.some(({ outcome }) => outcome === 'stored')) return;
  const worst = worstOf(judged);
  if (worst !== null) throw refusalOf(worst, topicName, '');
}

/** @throws BridgeRefusal when one of them is not stored: the answer has no room to say which */
export function assertAllStored(events: readonly MessageForm[], judged: readonly Judged[]): void {
  const worst = worstOf(judged);
  if (worst === null) return;
  const stored = judged.filter(({ outcome }) => outcome === 'stored').length;
  const where = `event ${judged.indexOf(worst)} of ${judged.length}, ${stored} of them stored: `;
  const { topicName = '' } = events[judged.indexOf(worst)] ?? {};
  throw refusalOf(worst, topicName, judged.length === 1 ? '' : where);
}

const order: readonly Judged['outcome'][] = [
  ...(['refused', 'passed', 'dropped', 'limited', 'unavailable'] as const),
];

function worstOf(judged: readonly Judged[]): Judged | null {
  const failed = judged.filter(({ outcome }) => outcome !== 'stored');
  const [worst = null] = failed.toSorted(
    (one, other) => order.indexOf(one.outcome) - order.indexOf(other.outcome),
  );
  return worst;
}

function refusalOf(judged: Judged, topicName: string, where: string): BridgeRefusal {
  if (judged.outcome === 'refused') {
    const code = judged.reason.startsWith('messageTooLarge') ? 413 : 422;
    return new BridgeRefusal(code, `${where}${topicName}: ${judged.reason}`);
  }
  if (judged.outcome === 'passed') {
    const message = `${where}Topic not found: no route takes ${topicName}. ${noRoute}`;
    return new BridgeRefusal(40401, message);
  }
  if (judged.outcome === 'unavailable') {
    return new BridgeRefusal(503, `${where}not on disk in time: it may be`, retryAfter(againMs));
  }
  const waitMs = judged.outcome === 'limited' ? judged.waitMs : againMs;
  return new BridgeRefusal(
    429,
    `${where}over a limit of its route: not stored`,
    retryAfter(waitMs),
  );
}
