/**
 * A walk over the schema beside the written tree: unknown keys (all of them, each with the nearest
 * known one), keys of versions to come, and maps where lists belong or the other way round. valibot
 * names only the first unknown key of an object and takes a list for a map, hence this walk.
 */
import { comesLater } from './later.ts';
import { nearest } from './nearest.ts';
import type { KeyPath } from './types.ts';

/** What this walk reads of a valibot schema. */
export interface SchemaNode {
  readonly type: string;
  readonly entries?: Readonly<Record<string, SchemaNode>>;
  readonly wrapped?: SchemaNode;
  readonly item?: SchemaNode;
  readonly value?: SchemaNode;
  readonly getter?: (input: unknown) => SchemaNode;
}

export interface KeyFault {
  readonly path: KeyPath;
  readonly part: 'key' | 'value';
  readonly message: string;
  readonly remedy: string;
}

export function keyFaults(schema: SchemaNode, tree: unknown): KeyFault[] {
  const faults: KeyFault[] = [];
  visit(schema, tree, [], faults);
  return faults;
}

function visit(schema: SchemaNode, value: unknown, path: KeyPath, faults: KeyFault[]): void {
  const inner = schema.wrapped ?? (value === undefined ? undefined : schema.getter?.(value));
  if (inner) {
    visit(inner, value, path, faults);
    return;
  }
  if (schema.type === 'array' && schema.item) {
    if (!Array.isArray(value)) return;
    for (const [index, item] of value.entries()) visit(schema.item, item, [...path, index], faults);
    return;
  }
  const isMapping = schema.type === 'strict_object' || schema.type === 'record';
  if (!isMapping || typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    const remedy = 'Write keys with values, one a line, without dashes.';
    faults.push({ path, part: 'value', message: 'is a list where a map belongs', remedy });
    return;
  }
  for (const [key, item] of Object.entries(value)) {
    const here = [...path, key];
    const next = schema.entries
      ? Object.hasOwn(schema.entries, key) && schema.entries[key]
      : schema.value;
    if (next) visit(next, item, here, faults);
    else faults.push(unknownKey(here, key, Object.keys(schema.entries ?? {})));
  }
}

function unknownKey(path: KeyPath, key: string, known: readonly string[]): KeyFault {
  if (comesLater(path)) {
    const remedy = 'Take the key out; the changelog says which version brings it.';
    return { path, part: 'key', message: `${key} does not exist yet in this version`, remedy };
  }
  const near = nearest(key, known);
  const list = `Known here are ${known.join(', ')}.`;
  const remedy = near === null ? list : `Did you mean ${near}? ${list}`;
  return { path, part: 'key', message: `unknown key ${key}`, remedy };
}
