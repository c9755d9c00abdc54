/**
 * One text, or the layers of a fleet → one config, or every problem it has at once:
 *
 *   parse (lines) → merge → references → keys (unknown, later) → schema (types, units) → relations
 *   → Config
 *
 * No stage hides the next one, except broken YAML. A value that was refused is not complained of
 * again for what follows from it. Pure but for `file:` references and the default gateway name.
 */
import * as v from 'valibot';
import { type Complain, isMap, mapOf, showPath, textOf } from './draft.ts';
import { wordIssue } from './issues.ts';
import { keyFaults, type SchemaNode } from './keys.ts';
import { type Layer, type Located, layerFaults, mergeLayers, type ParsedLayer } from './layers.ts';
import { normalise } from './normalise.ts';
import { configTextBytes, parseYaml, writeYaml } from './parse.ts';
import { type Filled, fillReferences } from './references.ts';
import { relate } from './relations.ts';
import { configSchema } from './schema.ts';
import type { Config, Environment, KeyPath, Problem } from './types.ts';

export const bufferPathDefault = './tidegate.db';

export interface Checked {
  /** null when there is an error among the problems. */
  readonly config: Config | null;
  /** In the order of the text. */
  readonly problems: readonly Problem[];
  /** buffer.path as far as it can be told: where a last good config would be. */
  readonly bufferPath: string;
}

export interface Origin {
  readonly key: string;
  readonly source: string;
  readonly line: number;
  /** As it was written: a reference, never the secret behind it. */
  readonly value: string;
}

export interface CheckedLayers extends Checked {
  /** The merged config, references not filled in: `checkText` makes the same of it. */
  readonly text: string;
  /** Where each of its values comes from. */
  readonly origins: () => readonly Origin[];
}

export function checkText(text: string, source: string, env: Environment): Checked {
  return checkLayers({ source, text }, [], env);
}

/** @param central from wide to narrow; they cannot say how this gateway is reached */
export function checkLayers(
  local: Layer,
  central: readonly Layer[],
  env: Environment,
): CheckedLayers {
  const layers: ParsedLayer[] = [local, ...central].map(({ source, text }) => ({
    source,
    parsed: parseYaml(text),
  }));
  const problems: Problem[] = layers.flatMap(({ source, parsed }) =>
    parsed.faults.map((fault) => ({ ...fault, source, key: '', severity: 'error' as const })),
  );
  if (layers.some(({ parsed }) => parsed.broken)) {
    const { bufferPath } = central.length > 0 ? checkText(local.text, local.source, env) : nowhere;
    return { config: null, bufferPath, text: local.text, problems, origins: () => [] };
  }
  const refused: string[] = [];
  const merged = mergeLayers(
    layers.map((layer, index) => checkLayer(layer, index > 0, layers.length, problems, refused)),
  );
  const complain = complainInto(problems, refused, merged);
  const text = central.length === 0 ? local.text : writeYaml(merged.tree);
  if (Buffer.byteLength(text) > configTextBytes) {
    complain([], `all layers together are more than ${configTextBytes} bytes`, 'Write less.');
  }
  const found = checkTree(merged, local.source, env, complain);
  const order = new Map(layers.map(({ source }, index) => [source, index]));
  const place = ({ source }: Problem): number => order.get(source) ?? 0;
  problems.sort((a, b) => place(a) - place(b) || a.line - b.line || a.column - b.column);
  const hasError = problems.some((problem) => problem.severity === 'error');
  const origins = () => originsOf(merged, merged.tree, []);
  return { ...found, config: hasError ? null : found.config(), problems, text, origins };
}

const nowhere = { bufferPath: bufferPathDefault };

/** What one layer says by itself: its keys, and what only the local file may say. */
function checkLayer(
  layer: ParsedLayer,
  isCentral: boolean,
  layers: number,
  problems: Problem[],
  refused: string[],
): ParsedLayer {
  const own: string[] = layers === 1 ? refused : [];
  const complain = complainInto(problems, own, mergeLayers([layer]));
  const { faults, rest } = isCentral ? layerFaults(layer) : { faults: [], rest: layer };
  for (const { path, message, remedy } of faults) complain(path, message, remedy, { part: 'key' });
  const tree = mapOf(rest.parsed.tree);
  for (const fault of keyFaults(configSchema as SchemaNode, tree)) {
    complain(fault.path, fault.message, fault.remedy, { part: fault.part });
  }
  if (!isCentral && layers > 1 && tree.buffer !== undefined && !isMap(tree.buffer)) {
    complain(['buffer'], 'is not a map', 'Write keys of the buffer, as in buffer: { path: FILE }.');
  }
  // The places of routes are others once layers are merged.
  if (layers > 1) refused.push(...own.filter((key) => !key.startsWith('routes')));
  return rest;
}

function checkTree(
  merged: Located,
  source: string,
  env: Environment,
  complainAloud: Complain,
): { config: () => Config | null; bufferPath: string } {
  const filled = fillReferences(merged.tree, source, env);
  const complain = withoutSecrets(complainAloud, filled.secrets);
  for (const { path, message, remedy } of filled.faults) complain(path, message, remedy);
  const written = withLater(filled.tree ?? {});
  const outcome = v.safeParse(configSchema, withoutUnknown(configSchema as SchemaNode, written));
  for (const issue of outcome.issues ?? []) {
    const worded = wordIssue(issue, (path) => merged.shown(path));
    if (worded) complain(worded.path, worded.message, worded.remedy);
  }
  relate(mapOf(written), mapOf(outcome.output), complain);
  const bufferPath = textOf(mapOf(mapOf(written).buffer).path) || bufferPathDefault;
  return { config: () => (outcome.success ? normalise(outcome.output) : null), bufferPath };
}

/** A problem may quote a value: one that was filled in is quoted as it was written. */
function withoutSecrets(complain: Complain, secrets: Filled['secrets']): Complain {
  const hide = (text: string): string =>
    secrets.reduce((hidden, [value, written]) => hidden.replaceAll(value, () => written), text);
  return (path, message, remedy, how) => complain(path, hide(message), hide(remedy), how);
}

/** With a fleet, routes and upstreams may come later. */
function withLater(tree: unknown): unknown {
  if (mapOf(tree).fleet === undefined) return tree;
  return { routes: [], upstreams: {}, ...mapOf(tree) };
}

const secretKeys = new Set(['password', 'token']);

function originsOf(merged: Located, value: unknown, path: KeyPath): Origin[] {
  const inner =
    Array.isArray(value) && value.some((item) => typeof item === 'object')
      ? [...value.entries()]
      : Object.entries(mapOf(value));
  if (inner.length > 0) {
    return inner.flatMap(([step, item]) => originsOf(merged, item, [...path, step]));
  }
  const { source, line } = merged.at(path, 'value');
  const written = Array.isArray(value) ? JSON.stringify(value) : merged.shown(path);
  const isSecret = secretKeys.has(String(path.at(-1))) && !/^['"]?(?:file:|\$\{)/.test(written);
  return [{ key: showPath(path), source, line, value: isSecret ? '(not shown)' : written }];
}

/** One problem a place and what lies below it: the first one named stands. */
function complainInto(problems: Problem[], refused: string[], merged: Located): Complain {
  return (path, message, remedy, how = {}) => {
    const { severity = 'error', part = 'value' } = how;
    const key = showPath(path);
    if (refused.some((other) => isAtOrBelow(key, other))) return;
    if (severity === 'error') refused.push(key);
    const { path: own, ...place } = merged.at(path, part);
    problems.push({ ...place, key: showPath(own), message, remedy, severity });
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
