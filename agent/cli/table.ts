/**
 * Columns for people: the first row is the heading, columns of numbers stand right.
 * Machines are given `--json` instead, so nothing here is a format to be parsed.
 */
import { stripVTControlCharacters } from 'node:util';

export type Cell = string | number;

export function table(rows: readonly (readonly Cell[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [column, cell] of row.entries()) {
      widths[column] = Math.max(widths[column] ?? 0, String(cell).length);
    }
  }
  const isNumeric = widths.map((_, column) => typeof rows.at(-1)?.[column] === 'number');
  const lines = rows.map((row) =>
    row
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return isNumeric[column] ? String(cell).padStart(width) : String(cell).padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
  return `${lines.join('\n')}\n`;
}

/** Text of devices, shown: it must not move the cursor or colour the terminal. */
export function visible(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/[^\P{Cc}\n\t]/gu, '�');
}
