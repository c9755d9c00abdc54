/**
 * Where a config comes from. `loadConfig`: the file, or without one the built-in default, or a
 * refusal with all problems. `chooseConfig`, at the start of an agent (promise 7):
 *
 *   file valid ──▶ the file
 *   file refused or unreadable ──▶ the last good config, degraded ──▶ none: refusal, exit 78
 *
 * The last good text is kept in the buffer by the running agent; reading it is handed in, since
 * this room knows no SQLite.
 */
import { readFileSync } from 'node:fs';
import { TidegateError } from '../errors.ts';
import { bufferPathDefault, type Checked, checkText, showProblem } from './check.ts';
import type { Environment, Loaded, Problem } from './types.ts';

/** Key of the last good config in the buffer's meta table. */
export const lastGoodKey = 'config';

/** What runs without a config file; a file that says the same may grow from it. */
export const defaultText = `mqtt: { listeners: [{ bind: 127.0.0.1:1883 }] }
routes:
  - { name: all, from: '#', to: { upstream: out } }
upstreams:
  out: { file: { directory: ./tidegate-out } }
buffer: { path: ./tidegate.db }
http: { bind: 127.0.0.1:8080 }
`;
export const defaultSource = 'built-in default';

export class ConfigRefused extends TidegateError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super('configInvalid', problems.map(showProblem).join('\n'));
    this.problems = problems;
  }
}

interface Read extends Checked {
  readonly text: string;
}

function readAndCheck(path: string | null, env: Environment): Read {
  if (path === null) {
    return { ...checkText(defaultText, defaultSource, env), text: defaultText };
  }
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    const problem: Problem = {
      source: path,
      line: 1,
      column: 1,
      key: '',
      message: `the file cannot be read (${code})`,
      remedy: 'Name a readable file with --config.',
      severity: 'error',
    };
    return { config: null, problems: [problem], bufferPath: bufferPathDefault, text: '' };
  }
  return { ...checkText(text, path, env), text };
}

/** @throws ConfigRefused with every problem, warnings included */
export function loadConfig(path: string | null, env: Environment): Loaded {
  const { config, problems, text } = readAndCheck(path, env);
  if (config === null) throw new ConfigRefused(problems);
  return { config, warnings: problems, text };
}

export interface Chosen extends Loaded {
  /** Problems of the file that was refused; null when the file itself runs. */
  readonly refused: readonly Problem[] | null;
  readonly source: string;
}

/**
 * @param lastGood reads the kept text from the buffer at this path; undefined when there is none
 * @throws ConfigRefused when neither the file nor a last good config is valid
 */
export async function chooseConfig(
  path: string | null,
  env: Environment,
  lastGood: (bufferPath: string) => Promise<string | undefined>,
): Promise<Chosen> {
  const read = readAndCheck(path, env);
  const source = path ?? defaultSource;
  if (read.config !== null) {
    return { config: read.config, warnings: read.problems, text: read.text, refused: null, source };
  }
  const text = await lastGood(read.bufferPath);
  const kept = text === undefined ? null : checkText(text, 'last good config', env);
  if (text === undefined || !kept?.config) throw new ConfigRefused(read.problems);
  const { config, problems: warnings } = kept;
  return { config, warnings, text, refused: read.problems, source: 'last good config' };
}
