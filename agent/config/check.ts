/**
 * One text → one config, or every problem it has at once:
 *
 *   parse (lines) → references → keys (unknown, later) → schema (types, units) → relations → Config
 *
 * No stage hides the next one, except broken YAML. A value that was refused is not complained of
 * again for what follows from it. Pure but for `file:` references and the default gateway name.
 */
import * as v from 'valibot';
import { type Complain, mapOf, showPath, textOf } from './draft.ts';
import { wordIssue } from './issues.ts';
import { keyFaults, type SchemaNode } from './keys.ts';
import { normalise } from './normalise.ts';
import { type Parsed, parseYaml } from './parse.ts';
import { fillReferences } from './references.ts';
import { relate } from './relations.ts';
import { configSchema } from './schema.ts';
import type { Config, Environment, Problem } from './types.ts';

export const bufferPathDefault = './tidegate.db';

export interface Checked {
  /** null when there is an error among the problems. */
  readonly config: Config | null;
  /** In the order of the text. */
  readonly problems: readonly Problem[];
  /** buffer.path as far as it can be told: where a last good config would be. */
  readonly bufferPath: string;
}

export function checkText(text: string, source: string, env: Environment): Checked {
  const parsed = parseYaml(text);
  const problems: Problem[] = parsed.faults.map((fault) => ({
    ...fault,
    source,
    key: '',
    severity: 'error' as const,
  }));
  if (parsed.broken) return { config: null, problems, bufferPath: bufferPathDefault };

  const refused: string[] = [];
  const complain = complainInto(problems, refused, parsed, source);
  const filled = fillReferences(parsed.tree, source, env);
  for (const { path, message, remedy } of filled.faults) complain(path, message, remedy);

  const written = filled.tree ?? {};
  for (const fault of keyFaults(configSchema as SchemaNode, written)) {
    complain(fault.path, fault.message, fault.remedy, { part: fault.part });
  }
  const outcome = v.safeParse(configSchema, withoutUnknown(configSchema as SchemaNode, written));
  for (const issue of outcome.issues ?? []) {
    const worded = wordIssue(issue, parsed.shown);
    if (worded) complain(worded.path, worded.message, worded.remedy);
  }
  relate(mapOf(written), mapOf(outcome.output), complain);

  problems.sort((a, b) => a.line - b.line || a.column - b.column);
  const bufferPath = textOf(mapOf(mapOf(written).buffer).path) || bufferPathDefault;
  const hasError = problems.some((problem) => problem.severity === 'error');
  const config = hasError || !outcome.success ? null : normalise(outcome.output);
  return { config, problems, bufferPath };
}

/** One problem a place and what lies below it: the first one named stands. */
function complainInto(
  problems: Problem[],
  refused: string[],
  parsed: Parsed,
  source: string,
): Complain {
  return (path, message, remedy, how = {}) => {
    const { severity = 'error', part = 'value' } = how;
    const key = showPath(path);
    if (refused.some((other) => isAtOrBelow(key, other))) return;
    if (severity === 'error') refused.push(key);
    problems.push({ source, ...parsed.at(path, part), key, message, remedy, severity });
  };
}

function isAtOrBelow(key: string, other: string): boolean {
  if (other === '') return false;
  return key === other || key.startsWith(`${other}.`) || key.startsWith(`${other}[`);
}

/** The tree less the keys that keys.ts has named: the rest is judged as if they were not there. */
function withoutUnknown(schema: SchemaNode, value: unknown): unknown {
  if (schema.wrapped) return withoutUnknown(schema.wrapped, value);
  if (schema.getter) return withoutUnknown(schema.getter(value), value);
  if (Array.isArray(value)) {
    const { item } = schema;
    return item ? value.map((each) => withoutUnknown(item, each)) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  const { entries, value: each } = schema;
  const kept: [string, unknown][] = [];
  for (const [key, inner] of Object.entries(value)) {
    const next = entries ? Object.hasOwn(entries, key) && entries[key] : each;
    if (next) kept.push([key, withoutUnknown(next, inner)]);
  }
  return Object.fromEntries(kept);
}

/** `FILE:LINE:COLUMN: error: key: what is wrong` and the remedy on the next line. */
export function showProblem(problem: Problem): string {
  const { source, line, column, severity, key, message, remedy } = problem;
  const where = key === '' ? '' : `${key}: `;
  return `${source}:${line}:${column}: ${severity}: ${where}${message}\n    ${remedy}`;
}
