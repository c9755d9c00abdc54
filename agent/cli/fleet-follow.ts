/**
 * Waits until the gateways that a revision is for have answered, as far as they do:
 *
 *   silent ──▶ pending ──▶ applied | reverted        silent    nothing of this revision yet
 *      └─────▶ refused | spared                      newer     a later revision is in its place
 *
 * On a terminal a bar, else a line when the counts change, both on standard error and never more
 * of them than a person reads.
 */
import type { LayerState } from '../fleet/report.ts';
import type { CliContext } from './context.ts';
import type { FleetLink } from './fleet-link.ts';
import type { FleetReports, Heard } from './fleet-reports.ts';
import { oneLine } from './fleet-view.ts';
import { type Progress, showProgress } from './progress.ts';

export type Answer = LayerState | 'silent' | 'newer';

export interface GatewayAnswer {
  readonly gateway: string;
  readonly state: Answer;
  readonly reason: string | null;
  /** The revision of this layer that runs there. */
  readonly running: number | null;
}

export type Counts = Readonly<Record<Answer, number>>;

export interface Followed {
  readonly answers: readonly GatewayAnswer[];
  readonly counts: Counts;
  readonly ended: 'answered' | 'late' | 'stopped' | 'lost';
}

export interface FollowParts {
  readonly context: CliContext;
  readonly link: FleetLink;
  readonly reports: FleetReports;
  readonly key: string;
  readonly revision: number;
  readonly gateways: readonly string[];
  readonly withinMs: number;
  readonly stop: AbortSignal;
  /** Enough is known before all have answered. */
  readonly isEnough?: (counts: Counts) => boolean;
  /** Says nothing on the way. */
  readonly quiet: boolean;
}

const answerOrder = [
  'applied',
  'pending',
  'refused',
  'reverted',
  'spared',
  'newer',
  'silent',
] as const;
const linesMost = 40;
const lineEveryMs = 500;

export async function follow(parts: FollowParts): Promise<Followed> {
  const { reports, gateways, withinMs, stop, link } = parts;
  const answers = new Map(
    gateways.map((name) => [name, answerOf(parts, name, reports.heard.get(name) ?? null)]),
  );
  const counts = countsOf(answers.values());
  const telling = new Telling(parts);
  const { promise, resolve } = Promise.withResolvers<Followed['ended']>();
  const look = () => {
    telling.at(counts);
    if (unanswered(counts) === 0 || parts.isEnough?.(counts)) resolve('answered');
  };
  reports.onChange((gateway, _, now) => {
    const before = answers.get(gateway);
    if (before === undefined) return;
    const answer = answerOf(parts, gateway, now);
    answers.set(gateway, answer);
    if (answer.state === before.state) return;
    counts[before.state] -= 1;
    counts[answer.state] += 1;
    telling.answer(answer);
    look();
  });
  const timer = setTimeout(() => resolve('late'), withinMs);
  const stopped = () => resolve('stopped');
  const lost = () => resolve('lost');
  for (const [signal, told] of [
    [stop, stopped],
    [link.gone, lost],
  ] as const) {
    if (signal.aborted) told();
    signal.addEventListener('abort', told, { once: true });
  }
  look();
  const ended = await promise;
  clearTimeout(timer);
  reports.onChange(() => {});
  telling.end();
  return { answers: [...answers.values()], counts, ended };
}

function answerOf(
  { key, revision }: FollowParts,
  gateway: string,
  heard: Heard | null,
): GatewayAnswer {
  const layer = heard?.report.layers[key];
  const running = layer?.running ?? null;
  if (layer === undefined || layer.revision < revision) {
    return { gateway, state: 'silent', reason: null, running };
  }
  if (layer.revision > revision) {
    const reason = `revision ${layer.revision} is in its place`;
    return { gateway, state: 'newer', reason, running };
  }
  return { gateway, state: layer.state, reason: layer.reason, running };
}

function countsOf(answers: Iterable<GatewayAnswer>): Record<Answer, number> {
  const counts = {
    applied: 0,
    pending: 0,
    refused: 0,
    reverted: 0,
    spared: 0,
    newer: 0,
    silent: 0,
  };
  for (const { state } of answers) counts[state] += 1;
  return counts;
}

export function unanswered({ silent, pending }: Counts): number {
  return silent + pending;
}

export function failed({ refused, reverted }: Counts): number {
  return refused + reverted;
}

/** `3 applied, 1 refused`: of those that there are. */
export function showCounts(counts: Readonly<Record<string, number>>): string {
  const order: readonly string[] = [...answerOrder, 'behind', 'none'];
  const shown = order.filter((state) => (counts[state] ?? 0) > 0);
  return shown.map((state) => `${counts[state]} ${state}`).join(', ') || 'no gateway';
}

class Telling {
  readonly #parts: FollowParts;
  readonly #progress: Progress;
  readonly #total: number;
  #lines = 0;
  #toldMs = Number.NEGATIVE_INFINITY;
  #told = '';

  constructor(parts: FollowParts) {
    const { context, key, revision, gateways, quiet } = parts;
    this.#parts = parts;
    this.#total = gateways.length;
    const drawn = quiet ? 0 : this.#total;
    this.#progress = showProgress(context, `${key} revision ${revision}`, drawn);
  }

  at(counts: Counts): void {
    const { context, quiet } = this.#parts;
    if (quiet || counts.silent === this.#total) return;
    const shown = showCounts(counts);
    this.#progress.at(this.#total - unanswered(counts), shown);
    const nowMs = performance.now();
    if (context.isTerminal || nowMs - this.#toldMs < lineEveryMs || shown === this.#told) return;
    this.#toldMs = nowMs;
    this.#told = shown;
    this.#line(shown);
  }

  /** What was refused is worth a line at once. */
  answer({ gateway, state, reason }: GatewayAnswer): void {
    const { context, quiet } = this.#parts;
    if (quiet || context.isTerminal || (state !== 'refused' && state !== 'reverted')) return;
    this.#line(`${oneLine(gateway)} ${state}: ${oneLine(reason ?? 'no reason given')}`);
  }

  #line(text: string): void {
    this.#lines += 1;
    if (this.#lines > linesMost) return;
    const { context, key, revision } = this.#parts;
    context.err(`${key} revision ${revision}: ${text}\n`);
    if (this.#lines === linesMost) context.err('no more lines until the end\n');
  }

  end(): void {
    this.#progress.end();
  }
}
