/**
 * A bar on standard error while something long runs, only on a terminal: results stay clean, and a
 * log of a script shows no bars.
 */
import type { CliContext } from './context.ts';

const barCells = 24;
const columnsDefault = 80;
const redrawEveryMs = 100;
const full = 100;
const clearLine = '\r\x1b[K';

export interface Progress {
  /** @param note behind the bar */
  at(done: number, note?: string): void;
  /** Takes the bar away. */
  end(): void;
}

export function showProgress(context: CliContext, what: string, total: number): Progress {
  if (!context.isTerminal || total <= 0) return { at: () => {}, end: () => {} };
  let drawnMs = Number.NEGATIVE_INFINITY;
  return {
    at(done, note = '') {
      const nowMs = performance.now();
      if (nowMs - drawnMs < redrawEveryMs) return;
      drawnMs = nowMs;
      context.err(clearLine + bar(what, Math.min(done, total), total, note));
    },
    end: () => context.err(clearLine),
  };
}

function bar(what: string, done: number, total: number, note: string): string {
  const cells = Math.floor((done / total) * barCells);
  const drawn = '█'.repeat(cells) + '░'.repeat(barCells - cells);
  const percent = String(Math.floor((done / total) * full)).padStart(3);
  const tail = note === '' ? '' : `  ${note}`;
  const line = `${what} ${drawn} ${percent} %  ${done} of ${total}${tail}`;
  // A line that wraps is not taken away again.
  return line.slice(0, (process.stderr.columns ?? columnsDefault) - 1);
}
