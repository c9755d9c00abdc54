/**
 * The version of this tidegate: the one place that says it.
 * It is read from package.json, so that a release changes one line.
 */
import { readFileSync } from 'node:fs';

export function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return String((JSON.parse(text) as { version: string }).version);
}
