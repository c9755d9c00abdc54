/**
 * The changes of a fleet on standard output, a line each, and on a terminal one line below them, on
 * standard error, that is drawn again and again: how many gateways are in which state.
 */
import type { CliContext } from './context.ts';
import { plural } from './figures.ts';
import { type Change, FleetChanges } from './fleet-changes.ts';
import { showCounts } from './fleet-follow.ts';
import { totalsOf } from './fleet-state.ts';
import { cut, oneLine } from './fleet-view.ts';

const clearLine = '\r\x1b[K';
const columnsDefault = 80;

export class WatchView {
  readonly changes = new FleetChanges();
  readonly #context: CliContext;
  readonly #json: boolean;
  #isFirst = true;
  #drawn = '';

  constructor(context: CliContext, json: boolean) {
    this.#context = context;
    this.#json = json;
  }

  /** The first connection: what stands there is not news. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  begin(server: string, gateways: number): void {
    const what = this.#isFirst ? 'watching' : 'connected again:';
    this.#isFirst = false;
    this.note(`${what} ${server}, ${plural(gateways, 'gateway')}`);
  }

  /** For people beside the output: not a change. */
  note(text: string): void {
    if (!this.#json) this.#context.err(`${this.#clear}${text}\n`);
    this.#draw(true);
  }

  tell(changes: readonly Change[]): void {
    if (changes.length === 0) return;
    const at = new Date().toISOString();
    if (this.#clear !== '') this.#context.err(this.#clear);
    for (const change of changes) {
      const line = this.#json ? JSON.stringify({ at, ...change }) : `${at} ${shown(change)}`;
      this.#context.out(`${line}\n`);
    }
    this.#draw(true);
  }

  /** Time has passed. */
  look(): void {
    this.tell(this.changes.missed(Date.now()));
    this.#draw(false);
  }

  end(): void {
    if (this.#clear !== '') this.#context.err(this.#clear);
  }

  get #clear(): string {
    return this.#context.isTerminal && !this.#json ? clearLine : '';
  }

  #draw(isNow: boolean): void {
    if (this.#clear === '') return;
    const states = this.changes.states();
    const totals = states.length > 0 ? `: ${showCounts(totalsOf(states))}` : '';
    const line = `${plural(states.length, 'gateway')}${totals}`;
    // One that wraps is not taken away again.
    const width = (process.stderr.columns ?? columnsDefault) - 1;
    if (!isNow && line === this.#drawn) return;
    this.#drawn = line;
    this.#context.err(this.#clear + cut(line, width));
  }
}

/** `gw-1 fleet.default@8 refused: the reason` */
function shown({ gateway, key, revision, what, reason }: Change): string {
  const layer = key === null ? null : revision === null ? key : `${key}@${revision}`;
  const parts = [gateway, layer, what].filter((part) => part !== null);
  const head = oneLine(parts.join(' '));
  return reason === null || reason === '' ? head : `${head}: ${oneLine(reason)}`;
}
