/**
 * How the fleet's tables look: what gateways and bucket say is made harmless and short first, and
 * on a terminal the last column ends where the line does.
 */
import type { CliContext } from './context.ts';
import { type Cell, table, visible } from './table.ts';

const columnsDefault = 80;
const reasonLeast = 16;
const textMost = 4_096;
const lineMost = 300;
const keyShown = 12;
const msPerSecond = 1_000;

/** Text of a gateway, on one line that ends. */
export function oneLine(text: string): string {
  return cut(visible(text.slice(0, textMost)).replaceAll(/\s+/g, ' ').trim(), lineMost);
}

/** A table whose last column is cut to the width of the terminal. */
export function fitted(rows: readonly (readonly Cell[])[], { isTerminal }: CliContext): string {
  if (!isTerminal) return table(rows);
  const width = process.stdout.columns ?? columnsDefault;
  const before = table(rows.map((row) => row.slice(0, -1)));
  const used = Math.max(...before.split('\n').map((line) => line.length));
  const left = Math.max(reasonLeast, width - used - 2);
  return table(rows.map((row) => [...row.slice(0, -1), cut(String(row.at(-1) ?? ''), left)]));
}

export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, width - 1)}…`;
}

/** Enough of a public nkey to tell two operators apart. */
export function shortKey(publicKey: string): string {
  return `${publicKey.slice(0, keyShown)}…`;
}

/** `2026-05-04 10:11:12Z` */
export function shortTime(time: string): string {
  return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(time)
    ? `${time.slice(0, 10)} ${time.slice(11, 19)}Z`
    : oneLine(time);
}

export function secondsSince(atMs: number, nowMs: number): number {
  return Math.max(0, Math.round((nowMs - atMs) / msPerSecond));
}
