/**
 * Reads what a file upstream wrote: JSON lines `{topic, key, headers, value | valueBase64}`, all
 * files of the folder in the order of their names. A last line without its end is still being
 * written, and not read.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Line {
  readonly topic: string;
  readonly key: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly value: Buffer;
}

export function readLines(directory: string): Line[] {
  if (!existsSync(directory)) return [];
  const lines: Line[] = [];
  for (const name of readdirSync(directory).sort()) {
    const whole = readFileSync(join(directory, name), 'utf8').split('\n').slice(0, -1);
    lines.push(...whole.map(parse));
  }
  return lines;
}

function parse(line: string): Line {
  const { topic, key, headers, value, valueBase64 } = JSON.parse(line) as Record<string, unknown>;
  const bytes =
    typeof valueBase64 === 'string'
      ? Buffer.from(valueBase64, 'base64')
      : Buffer.from(typeof value === 'string' ? value : JSON.stringify(value ?? null));
  return {
    topic: String(topic),
    key: typeof key === 'string' ? key : null,
    headers: (headers ?? {}) as Record<string, string>,
    value: bytes,
  };
}
