/**
 * Defensive reads of a config that may be wrong in places: relations are judged on whatever part of
 * it holds, so that all problems are named at once and not only those of the first kind.
 */
import type { KeyPath } from './types.ts';

export type Complain = (
  path: KeyPath,
  message: string,
  remedy: string,
  how?: { severity?: 'error' | 'warning'; part?: 'key' | 'value' },
) => void;

export type DraftMap = Readonly<Record<string, unknown>>;

export function isMap(value: unknown): value is DraftMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function mapOf(value: unknown): DraftMap {
  return isMap(value) ? value : {};
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

export function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}

/** `to` of a route: one target or a list of them, each with its path. */
export function targetsOf(route: DraftMap, path: KeyPath): { target: DraftMap; path: KeyPath }[] {
  const here = [...path, 'to'];
  if (!Array.isArray(route.to)) return [{ target: mapOf(route.to), path: here }];
  return route.to.map((target, index) => ({ target: mapOf(target), path: [...here, index] }));
}

export function showPath(path: KeyPath): string {
  let shown = '';
  for (const step of path) {
    if (typeof step === 'number') shown += `[${step}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(step)) shown += shown === '' ? step : `.${step}`;
    else shown += `[${JSON.stringify(step)}]`;
  }
  return shown;
}
