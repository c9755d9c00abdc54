/**
 * Layers of one gateway, from wide to narrow, and which of them fit: the local file with all of
 * them is checked whole. When it is refused and more than one layer changed, each change is tried
 * on what runs, so that one bad layer does not take the others with it. Pure but for `check`.
 */
import { fleetReasonChars } from '../bounds.ts';
import type { CheckedLayers } from '../config/check.ts';
import type { Layer } from '../config/layers.ts';
import type { Version } from './history.ts';

/** By key, in the order of `keysOf`. */
export type Layers = ReadonlyMap<string, Version>;

export type CheckLayers = (layers: readonly Layer[]) => CheckedLayers;

export interface Fit {
  readonly checked: CheckedLayers;
  readonly faults: readonly { readonly key: string; readonly reason: string }[];
}

export function layersOf(layers: Layers): Layer[] {
  return [...layers].map(([key, { revision, config }]) => ({
    source: `${key}@${revision}`,
    text: config,
  }));
}

/** Keys under which another text runs. */
export function changedKeys(before: Layers, after: Layers): string[] {
  return [...new Set([...before.keys(), ...after.keys()])].filter(
    (key) => before.get(key)?.hash !== after.get(key)?.hash,
  );
}

export function isSame(one: Layers, other: Layers): boolean {
  const shown = (layers: Layers): string =>
    JSON.stringify([...layers].map(([key, { revision, hash }]) => [key, revision, hash]).sort());
  return shown(one) === shown(other);
}

/** @returns what the check says of `wanted`; with an error, which changed layers are at fault */
export function fit(running: Layers, wanted: Layers, check: CheckLayers): Fit {
  const checked = check(layersOf(wanted));
  if (checked.config !== null) return { checked, faults: [] };
  const changed = changedKeys(running, wanted);
  const all = changed.map((key) => ({ key, reason: reasonOf(checked) }));
  if (changed.length <= 1) return { checked, faults: all };
  let fits = running;
  const faults: { key: string; reason: string }[] = [];
  for (const key of changed) {
    const next = swapped(fits, wanted, key);
    const alone = check(layersOf(next));
    if (alone.config === null) faults.push({ key, reason: reasonOf(alone) });
    else fits = next;
  }
  return { checked, faults: faults.length === 0 ? all : faults };
}

/** `layers`, but under one key what `from` has there; the order is that of `from`. */
function swapped(layers: Layers, from: Layers, key: string): Layers {
  const keys = [...new Set([...from.keys(), ...layers.keys()])];
  const entries = keys.flatMap((one): [string, Version][] => {
    const version = (one === key ? from : layers).get(one);
    return version === undefined ? [] : [[one, version]];
  });
  return new Map(entries);
}

/** The first error, and how many there are. */
export function reasonOf({ problems }: CheckedLayers): string {
  const errors = problems.filter(({ severity }) => severity === 'error');
  const [first] = errors;
  if (first === undefined) return 'refused';
  const { source, line, key, message } = first;
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
  return shorten(`${source}:${line}: ${key === '' ? '' : `${key}: `}${message}${more}`);
}

export function shorten(reason: string): string {
  return reason.length <= fleetReasonChars ? reason : `${reason.slice(0, fleetReasonChars - 1)}…`;
}
