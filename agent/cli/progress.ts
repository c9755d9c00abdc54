/**
 * A bar on standard error while something long runs, only on a terminal: results stay clean, and a
 * log of a script shows no bars.
 */
import type { CliContext } from './context.ts';

const barCells = 24;
const redrawEveryMs = 100;
const full = 100;
const clearLine = '\r\x1b[K';

export interface Progress {
  at(done: number): void;
  /** Takes the bar away. */
  end(): void;
}

export function showProgress(context: CliContext, what: string, total: number): Progress {
  if (!context.isTerminal || total <= 0) return { at: () => {}, end: () => {} };
  let drawnMs = Number.NEGATIVE_INFINITY;
  return {
    at(done) {
      const nowMs = performance.now();
      if (nowMs - drawnMs < redrawEveryMs) return;
      drawnMs = nowMs;
      context.err(clearLine + bar(what, Math.min(done, total), total));
    },
    end: () => context.err(clearLine),
  };
}

function bar(what: string, done: number, total: number): string {
  const cells = Math.floor((done / total) * barCells);
  const drawn = '█'.repeat(cells) + '░'.repeat(barCells - cells);
  const percent = String(Math.floor((done / total) * full)).padStart(3);
  return `${what} ${drawn} ${percent} %  ${done} of ${total}`;
}
