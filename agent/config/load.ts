/**
 * Where a config comes from. `loadConfig`: the file, or without one the built-in default, or a
 * refusal with all problems. `chooseConfig`, at the start of an agent (promise 7):
 *
 *   file valid ──▶ the file
 *   file refused or unreadable ──▶ the last good config, degraded ──▶ none: refusal, exit 78
 *
 * A file with `fleet` has layers over it: those that were confirmed, kept in the buffer as the last
 * good config is. It is judged with them; what is wrong with the file alone leaves the last good
 * file with the layers, what is wrong with both together the last good whole. Reading what is kept
 * is handed in, since this room knows no SQLite and no signatures.
 */
import { readFileSync } from 'node:fs';
import { TidegateError } from '../errors.ts';
import { bufferPathDefault, type Checked, checkLayers, checkText, showProblem } from './check.ts';
import type { Layer } from './layers.ts';
import type { Config, Environment, Loaded, Problem } from './types.ts';

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
/** Key of the last good local file, which later layers are put over. */
export const lastLocalKey = 'local';
const lastGoodSource = 'last good config';
export const defaultSource = 'built-in default';

export class ConfigRefused extends TidegateError {
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super('configInvalid', problems.map(showProblem).join('\n'));
    this.problems = problems;
  }
}

/**
 * The layers of the fleet that this gateway runs.
 * @param alone the file by itself; null when it is not valid so
 */
export type LayersFor = (alone: Config | null) => readonly Layer[];

interface Read extends Checked {
  readonly local: Layer;
  /** With layers over it; as read where there are none. */
  readonly text: string;
}

const noLayers: LayersFor = () => [];

function readFile(path: string | null): Layer | Problem {
  if (path === null) return { source: defaultSource, text: defaultText };
  try {
    return { source: path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return {
      source: path,
      line: 1,
      column: 1,
      key: '',
      message: `the file cannot be read (${code})`,
      remedy: 'Name a readable file with --config.',
      severity: 'error',
    };
  }
}

function readAndCheck(path: string | null, env: Environment, layersFor: LayersFor): Read {
  const read = readFile(path);
  if ('text' in read) return checkLocal(read, env, layersFor);
  const local = { source: read.source, text: '' };
  return { config: null, problems: [read], bufferPath: bufferPathDefault, local, text: '' };
}

/** A file that is valid only with its layers is valid. */
function checkLocal(local: Layer, env: Environment, layersFor: LayersFor): Read {
  const alone = { ...checkText(local.text, local.source, env), local, text: local.text };
  const { config } = alone;
  if (config !== null && config.fleet === null) return alone;
  const layers = layersFor(config);
  if (layers.length === 0) return alone;
  const merged = checkLayers(local, layers, env);
  // Without a fleet of its own the file has no layers: they are of a time before.
  if (merged.config !== null && merged.config.fleet === null) return alone;
  return { ...merged, local };
}

/** @throws ConfigRefused with every problem, warnings included */
export function loadConfig(
  path: string | null,
  env: Environment,
  layersFor: LayersFor = noLayers,
): Loaded & { readonly local: Layer } {
  const { config, problems, text, local } = readAndCheck(path, env, layersFor);
  if (config === null) throw new ConfigRefused(problems);
  return { config, warnings: problems, text, local };
}

export interface Chosen extends Loaded {
  /** Problems of the file that was refused; null when the file itself runs. */
  readonly refused: readonly Problem[] | null;
  readonly source: string;
  /** What the layers of the fleet are put over. */
  readonly local: Layer;
}

/** What an agent that ran before has left in its buffer. */
export interface Left {
  readonly lastGood: string | undefined;
  readonly lastLocal?: string | undefined;
  readonly layersFor?: LayersFor;
}

/**
 * @param leftIn reads what is left in the buffer at this path
 * @throws ConfigRefused when neither the file nor a last good config is valid
 */
export async function chooseConfig(
  path: string | null,
  env: Environment,
  leftIn: (bufferPath: string) => Promise<Left>,
): Promise<Chosen> {
  const alone = readAndCheck(path, env, noLayers);
  if (alone.config !== null && alone.config.fleet === null) return chosen(alone, null);
  const { lastGood, lastLocal, layersFor = noLayers } = await leftIn(alone.bufferPath);
  const read = readAndCheck(path, env, layersFor);
  if (read.config !== null) return chosen(read, null);
  const again = [lastLocal, lastGood].flatMap((text, index) =>
    text === undefined ? [] : [{ text, layersFor: index === 0 ? layersFor : noLayers }],
  );
  for (const { text, layersFor: over } of again) {
    const kept = checkLocal({ source: lastGoodSource, text }, env, over);
    if (kept.config === null) continue;
    // A file that is valid by itself is what later layers are put over.
    const local = alone.config === null ? kept.local : read.local;
    return { ...chosen(kept, read.problems), local };
  }
  throw new ConfigRefused(read.problems);
}

function chosen(read: Read, refused: readonly Problem[] | null): Chosen {
  const { config, problems: warnings, text, local } = read;
  if (config === null) throw new ConfigRefused(warnings);
  return { config, warnings, text, refused, local, source: local.source };
}
