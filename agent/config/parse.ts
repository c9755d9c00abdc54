/**
 * YAML text → a tree of plain values, with the way back: `at(path)` says in which line and column a
 * key or value stands, `shown(path)` quotes it as it was written (a reference, never the secret
 * behind it).
 *
 * Syntax errors end the check, since what follows them is guesswork; a key written twice does not.
 * The text is bounded in size, aliases in number.
 */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  stringify,
} from 'yaml';
import { MIB } from '../bounds.ts';
import type { KeyPath } from './types.ts';

export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface SyntaxFault extends Position {
  readonly message: string;
  readonly remedy: string;
}

export interface Parsed {
  readonly tree: unknown;
  readonly faults: readonly SyntaxFault[];
  /** No use in looking further: the tree is not what was meant. */
  readonly broken: boolean;
  at(path: KeyPath, part: 'key' | 'value'): Position;
  shown(path: KeyPath): string;
}

export const configTextBytes = MIB;
const aliasesMax = 100;
const shownLength = 60;
const syntaxRemedy = 'Mend the YAML; indent with spaces and quote values that hold ": " or " #".';
const duplicateRemedy = 'Keep one of the two.';

export function parseYaml(text: string): Parsed {
  if (Buffer.byteLength(text) > configTextBytes) return tooLong();
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const faults: SyntaxFault[] = document.errors.map((error) => ({
    ...position(error.pos[0]),
    message: error.code === 'DUPLICATE_KEY' ? 'this key is written twice' : error.message,
    remedy: error.code === 'DUPLICATE_KEY' ? duplicateRemedy : syntaxRemedy,
  }));
  const broken = document.errors.some((error) => error.code !== 'DUPLICATE_KEY');
  const tree = broken ? null : treeOf(document, faults);
  return {
    tree: tree ?? null,
    faults,
    broken: broken || tree === undefined,
    at: (path, part) => position(find(document, path)[part]),
    shown: (path) => shown(text, find(document, path)),
  };
}

/** What `parseYaml` reads back as the same tree. */
export function writeYaml(tree: unknown): string {
  return stringify(tree ?? {}, { aliasDuplicateObjects: false, lineWidth: 0 });
}

function treeOf(document: Document, faults: SyntaxFault[]): unknown {
  try {
    return document.toJS({ maxAliasCount: aliasesMax }) ?? null;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    faults.push({ line: 1, column: 1, message, remedy: 'Use fewer aliases.' });
    return undefined;
  }
}

function tooLong(): Parsed {
  const remedy = `Write less than ${configTextBytes} bytes.`;
  return {
    tree: null,
    faults: [{ line: 1, column: 1, message: 'the text is too long for a config', remedy }],
    broken: true,
    at: () => ({ line: 1, column: 1 }),
    shown: () => '',
  };
}

/** Offsets of the deepest step that exists; `end` of its value, or null when that has none. */
interface Found {
  readonly key: number;
  readonly value: number;
  readonly end: number | null;
  readonly isScalar: boolean;
}

function find(document: Document, path: KeyPath): Found {
  let node: unknown = document.contents;
  let found = foundAt(node, 0, 0);
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find((item) => keyText(item.key) === String(step));
      if (!pair) return found;
      const key = isNode(pair.key) ? (pair.key.range?.[0] ?? found.value) : found.value;
      node = pair.value;
      found = foundAt(node, key, key);
    } else if (isSeq(node)) {
      if (typeof step !== 'number' || step >= node.items.length) return found;
      node = node.items[step];
      found = foundAt(node, found.value, found.value);
      found = { ...found, key: found.value };
    } else return found;
  }
  return found;
}

function foundAt(node: unknown, key: number, otherwise: number): Found {
  const range = isNode(node) ? node.range : null;
  // An empty value stands where its key does: its own place is often on the next line.
  const isEmpty = !range || range[0] === range[1];
  return {
    key,
    value: isEmpty ? otherwise : range[0],
    end: isEmpty ? null : range[1],
    isScalar: isScalar(node),
  };
}

function keyText(key: unknown): string {
  return String(isScalar(key) ? key.value : key);
}

function shown(text: string, found: Found): string {
  if (found.end === null) return 'nothing';
  if (!found.isScalar)
    return text[found.value] === '[' || text[found.value] === '-' ? 'a list' : 'a map';
  const written = text.slice(found.value, found.end).trim();
  const flat = written.replaceAll(/\s+/g, ' ');
  return flat.length > shownLength ? `${flat.slice(0, shownLength)}…` : flat;
}
