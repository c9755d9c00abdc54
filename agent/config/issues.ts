/**
 * valibot's issues in our words: what stands there is quoted as it was written, what belongs there
 * is named, and what to do follows. Leaves of our own (scalars.ts) bring both sentences with them.
 */
import type { BaseIssue } from 'valibot';
import { splitComplaint } from './scalars.ts';
import type { KeyPath } from './types.ts';

export interface Worded {
  readonly path: KeyPath;
  readonly message: string;
  readonly remedy: string;
}

const wanted: Readonly<Record<string, { what: string; remedy: string }>> = {
  string: {
    what: 'a text',
    remedy: 'Write a text; quote it where YAML would read a number or a list.',
  },
  boolean: { what: 'true or false', remedy: 'Write true or false.' },
  number: { what: 'a number', remedy: 'Write a number without unit and quotes.' },
  array: { what: 'a list', remedy: 'Write a list: each item on a line behind "- ", or in [ ].' },
  strict_object: { what: 'a map', remedy: 'Write keys with values, one a line.' },
  record: { what: 'a map', remedy: 'Write names with values, one a line.' },
  literal: { what: 'off or a map', remedy: 'Write off, or keys with values.' },
};

/** @param shown how the value at a path was written */
export function wordIssue(
  issue: BaseIssue<unknown>,
  shown: (path: KeyPath) => string,
): Worded | null {
  const path = (issue.path ?? []).map((item) => item.key as string | number);
  const isKey = issue.type === 'strict_object' && issue.path !== undefined && path.length > 0;
  // Unknown keys are named by keys.ts.
  if (isKey && issue.expected === 'never') return null;
  if (isKey && issue.expected?.startsWith('"') && issue.input === undefined) {
    return {
      path,
      message: `${String(path.at(-1))} is missing`,
      remedy: `Add the key ${String(path.at(-1))}.`,
    };
  }
  const own = splitComplaint(issue.message);
  if (own) return { path, message: `${shown(path)} ${own.wrong}`, remedy: own.remedy };
  const kind = wanted[issue.type];
  if (!kind) return { path, message: issue.message, remedy: 'See the JSON Schema.' };
  const message =
    issue.input === null
      ? `is empty where ${kind.what} belongs`
      : `${shown(path)} is not ${kind.what}`;
  return { path, message, remedy: kind.remedy };
}
