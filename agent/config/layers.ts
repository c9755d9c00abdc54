/**
 * Layers of a config → one tree, and for each place in it the layer that it comes from:
 *
 *   local file ◀ fleet.default ◀ groups in order ◀ gateway        wide to narrow, narrow wins
 *
 *   maps         by key, as deep as they go; null in a narrower layer takes the key out
 *   routes       by name: a narrower one stands in the place of the wider of its name, whole;
 *                those of the narrower layer come first, since the first match wins
 *   other lists  the narrower one instead of the wider
 *
 * A place is found by its longest known beginning: a list knows its layer, what is in it does too.
 * What only the local file may say (how this gateway is reached, and by whom it is told what to do)
 * is refused of the others, and so are references below `routes`: what stands there leaves the
 * gateway with the events, and a secret must not. Nor does one travel: log-ins are references.
 */
import { isMap, mapOf } from './draft.ts';
import type { Parsed, Position } from './parse.ts';
import type { KeyPath } from './types.ts';

/** One text of a config, and what it is called. */
export interface Layer {
  readonly source: string;
  readonly text: string;
}

export interface ParsedLayer {
  readonly source: string;
  readonly parsed: Parsed;
}

export interface Place extends Position {
  readonly source: string;
  /** In the layer. */
  readonly path: KeyPath;
}

/** A tree whose places can be told. */
export interface Located {
  readonly tree: unknown;
  at(path: KeyPath, part: 'key' | 'value'): Place;
  shown(path: KeyPath): string;
}

export interface LayerFault {
  readonly layer: ParsedLayer;
  readonly path: KeyPath;
  readonly message: string;
  readonly remedy: string;
}

interface Origin {
  readonly layer: ParsedLayer;
  readonly path: KeyPath;
}

const localOnly: readonly KeyPath[] = [['gateway'], ['fleet'], ['http'], ['buffer', 'path']];

/** @param layers from wide to narrow; at least one */
export function mergeLayers(layers: readonly ParsedLayer[]): Located {
  const merge = new Merge();
  for (const layer of layers) merge.add(layer);
  return merge;
}

class Merge implements Located {
  tree: unknown = null;
  readonly #origins = new Map<string, Origin>();
  #first: ParsedLayer | null = null;

  add(layer: ParsedLayer): void {
    const { tree } = layer.parsed;
    this.#first ??= layer;
    if (tree !== null || this.#origins.size === 0)
      this.tree = this.#merged(this.tree, tree, [], layer);
  }

  #merged(wide: unknown, narrow: unknown, path: KeyPath, layer: ParsedLayer): unknown {
    if (isMap(wide) && isMap(narrow)) {
      // What is in it already stays where it came from.
      for (const key of Object.keys(wide)) {
        this.#origins.set(keyOf([...path, key]), this.#originOf([...path, key]));
      }
      this.#origins.set(keyOf(path), { layer, path });
      const merged = new Map(Object.entries(wide));
      for (const [key, value] of Object.entries(narrow)) {
        const here = [...path, key];
        if (value !== null) merged.set(key, this.#merged(merged.get(key), value, here, layer));
        else {
          this.#forget(here);
          merged.delete(key);
        }
      }
      return Object.fromEntries(merged);
    }
    if (path.length === 1 && path[0] === 'routes' && Array.isArray(wide) && Array.isArray(narrow)) {
      return this.#routes(wide, narrow, layer);
    }
    this.#forget(path);
    this.#origins.set(keyOf(path), { layer, path });
    return this.#first === layer ? narrow : withoutNulls(narrow);
  }

  #routes(wide: readonly unknown[], narrow: readonly unknown[], layer: ParsedLayer): unknown[] {
    const names = new Set<unknown>(narrow.map(nameOf).filter((name) => name !== undefined));
    const placed = [
      ...narrow.map((route, index) => ({ route, origin: { layer, path: ['routes', index] } })),
      ...wide
        .map((route, index) => ({ route, origin: this.#originOf(['routes', index]) }))
        .filter(({ route }) => !names.has(nameOf(route))),
    ];
    this.#forget(['routes']);
    this.#origins.set(keyOf(['routes']), { layer, path: ['routes'] });
    for (const [index, { origin }] of placed.entries()) {
      this.#origins.set(keyOf(['routes', index]), origin);
    }
    return placed.map(({ route }) => route);
  }

  #forget(path: KeyPath): void {
    const own = keyOf(path);
    for (const key of this.#origins.keys()) {
      if (key === own || key.startsWith(`${own.slice(0, -1)},`)) this.#origins.delete(key);
    }
  }

  #originOf(path: KeyPath): Origin {
    for (let length = path.length; length >= 0; length--) {
      const found = this.#origins.get(keyOf(path.slice(0, length)));
      if (found) return { layer: found.layer, path: [...found.path, ...path.slice(length)] };
    }
    throw new TypeError('the root of a merged tree has an origin');
  }

  at(path: KeyPath, part: 'key' | 'value'): Place {
    const { layer, path: own } = this.#originOf(path);
    return { ...layer.parsed.at(own, part), source: layer.source, path: own };
  }

  shown(path: KeyPath): string {
    const origin = this.#originOf(path);
    return origin.layer.parsed.shown(origin.path);
  }
}

/** There was nothing to take out. */
function withoutNulls(value: unknown): unknown {
  if (!isMap(value)) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null);
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutNulls(item)]));
}

/** Of a path; that of what lies below it begins the same way. */
function keyOf(path: KeyPath): string {
  return JSON.stringify(path);
}

function nameOf(route: unknown): unknown {
  return mapOf(route).name;
}

/** What a layer that comes over the network may not say, and the layer without it. */
export function layerFaults(layer: ParsedLayer): { faults: LayerFault[]; rest: ParsedLayer } {
  const tree = mapOf(layer.parsed.tree);
  const faults: LayerFault[] = [];
  const { gateway: _, fleet: __, http: ___, buffer, ...others } = tree;
  const { path: ____, ...ofBuffer } = mapOf(buffer);
  for (const path of localOnly) {
    const parent = path.length === 1 ? tree : mapOf(buffer);
    if (!Object.hasOwn(parent, String(path.at(-1)))) continue;
    const message = `${path.join('.')} can only stand in the local file of a gateway`;
    faults.push({ layer, path, message, remedy: 'Take it out of the central config.' });
  }
  if (buffer !== undefined && !isMap(buffer)) {
    const message = 'a central config cannot take the buffer of a gateway away';
    faults.push({ layer, path: ['buffer'], message, remedy: 'Write keys of the buffer, or none.' });
  }
  for (const path of referencesIn(mapOf(tree).routes, ['routes'])) {
    const message = 'a reference in a route would send a secret along with the events';
    faults.push({ layer, path, message, remedy: 'Write the value itself.' });
  }
  for (const path of secretsIn(tree, [])) {
    const message = 'a secret does not travel: everybody who reads the bucket would have it';
    faults.push({ layer, path, message, remedy: 'Write a reference, as in file:PATH, to it.' });
  }
  const rest = isMap(buffer) ? { ...others, buffer: ofBuffer } : others;
  const isTree = isMap(layer.parsed.tree);
  return { faults, rest: isTree ? { ...layer, parsed: { ...layer.parsed, tree: rest } } : layer };
}

const secretKeys = new Set(['password', 'token']);
const wholeReference = /^(?:file:.|\$\{[A-Za-z_]\w*\}$)/;

/** Log-ins written out, where only a reference may stand. */
function secretsIn(value: unknown, path: KeyPath): KeyPath[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => secretsIn(item, [...path, index]));
  }
  return Object.entries(mapOf(value)).flatMap(([key, item]) => {
    const here = [...path, key];
    const isWritten =
      typeof item === 'string' ? !wholeReference.test(item) : typeof item === 'number';
    return secretKeys.has(key) && isWritten ? [here] : secretsIn(item, here);
  });
}

function referencesIn(value: unknown, path: KeyPath): KeyPath[] {
  if (typeof value === 'string') {
    return value.startsWith('file:') || /(?:^|[^$])\$\{/.test(value) ? [path] : [];
  }
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => referencesIn(item, [...path, index]));
  }
  return Object.entries(mapOf(value)).flatMap(([key, item]) => referencesIn(item, [...path, key]));
}
