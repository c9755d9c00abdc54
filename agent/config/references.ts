/**
 * References in string values, for what should not stand in the file itself:
 *
 *   ${NAME}      the environment variable NAME, anywhere in a string; `$${` writes a plain `${`
 *   file:PATH    the whole string: the contents of that file, without its last line break; PATH may
 *                hold variables, as in file:${CREDENTIALS_DIRECTORY}/kafka (systemd's credentials)
 *
 * Filled in once, after parsing: what is filled in is never parsed as YAML and never filled in
 * again. A reference that leads nowhere is a problem; its value is never quoted.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { MIB } from '../bounds.ts';
import type { Environment, KeyPath } from './types.ts';

export interface ReferenceFault {
  readonly path: KeyPath;
  readonly message: string;
  readonly remedy: string;
}

const reference = /\$\$\{|\$\{([^}]*)\}?/g;
const variableName = /^[A-Za-z_][A-Za-z0-9_]*$/;
const filePrefix = 'file:';
const fileBytesMax = MIB;
/** A shorter one stands in every sentence by chance. */
const secretCharsLeast = 4;

export interface Filled {
  readonly tree: unknown;
  readonly faults: ReferenceFault[];
  /** What was filled in, as a whole value, and what stands for it: the longest first. */
  readonly secrets: readonly (readonly [value: string, written: string])[];
}

/** @param source relative `file:` paths start from the folder of this file */
export function fillReferences(tree: unknown, source: string, env: Environment): Filled {
  const faults: ReferenceFault[] = [];
  const secrets = new Map<string, string>();
  const walk = (value: unknown, path: KeyPath): unknown => {
    const fault = (message: string, remedy: string) => faults.push({ path, message, remedy });
    if (typeof value === 'string') {
      const filled = fillText(value, source, env, fault);
      if (filled !== value && filled.length >= secretCharsLeast) secrets.set(filled, value);
      return filled;
    }
    if (Array.isArray(value)) return value.map((item, index) => walk(item, [...path, index]));
    if (value === null || typeof value !== 'object') return value;
    const entries = Object.entries(value).map(([key, item]) => [key, walk(item, [...path, key])]);
    return Object.fromEntries(entries);
  };
  const filled = walk(tree, []);
  const longest = [...secrets].sort(([one], [other]) => other.length - one.length);
  return { tree: filled, faults, secrets: longest };
}

type Complain = (message: string, remedy: string) => void;

function fillText(text: string, source: string, env: Environment, fault: Complain): string {
  if (!text.startsWith(filePrefix)) return expand(text, env, fault);
  let known = true;
  const path = expand(text.slice(filePrefix.length), env, (message, remedy) => {
    known = false;
    fault(message, remedy);
  });
  return known ? fileText(resolve(dirname(source), path), fault) : '';
}

function expand(text: string, env: Environment, fault: Complain): string {
  return text.replaceAll(reference, (written: string, name: string | undefined) => {
    if (written === '$${') return '${';
    if (name === undefined || !written.endsWith('}') || !variableName.test(name)) {
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is shown as it is to be written
      fault(`${written} is not a reference`, 'Write ${NAME}; for a plain ${ write $${.');
      return '';
    }
    const value = env[name];
    if (value === undefined) {
      fault(`the environment variable ${name} is not set`, `Set ${name} where the agent starts.`);
      return '';
    }
    return value;
  });
}

function fileText(path: string, fault: Complain): string {
  try {
    const bytes = readFileSync(path);
    if (bytes.length > fileBytesMax) {
      fault(`${path} is larger than ${fileBytesMax} bytes`, 'Name the file that holds the value.');
      return '';
    }
    return bytes.toString('utf8').replace(/\r?\n$/, '');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    fault(`${path} cannot be read (${code})`, 'Name a file that the agent may read.');
    return '';
  }
}
