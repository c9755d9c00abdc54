/**
 * `tidegate check --effective FILE`: the config as it runs with the layers of its fleet over it,
 * and for each value the layer and line that it comes from. The layers are plain files (`--layer
 * KEY=FILE`), or those that the gateway keeps in its buffer: NATS is not asked, so that what is
 * shown is what would run if this gateway started now.
 */
import { readFileSync } from 'node:fs';
import type { CheckedLayers, Origin } from '../config/check.ts';
import type { Layer } from '../config/layers.ts';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import type { CliContext } from './context.ts';
import { visible } from './table.ts';

const widthMost = 56;

export interface EffectiveFlags {
  readonly layer: readonly string[];
  readonly json: boolean;
}

export async function checkEffective(
  local: Layer,
  { layer, json }: EffectiveFlags,
  context: CliContext,
): Promise<number> {
  const { checkLayers, checkText, showProblem } = await import('../config/check.ts');
  const given = layer.map(readLayer);
  const layers =
    given.length > 0
      ? await ordered(given, local)
      : await kept(checkText(local.text, local.source, context.env));
  const found = checkLayers(local, layers, context.env);
  const origins = found.config === null ? [] : found.origins();
  if (json) {
    const { config, problems, text } = found;
    const shown = { valid: config !== null, problems, effective: text, origins };
    context.out(`${JSON.stringify(shown, null, 2)}\n`);
  } else {
    for (const problem of found.problems) context.out(`${showProblem(problem)}\n`);
    context.out(origins.map(lineOf).join(''));
    context.out(`${verdict(found, [local, ...layers])}\n`);
  }
  return found.config ? exitCodes.ok : exitCodes.config;
}

function lineOf({ key, value, source, line }: Origin): string {
  return `${visible(`${key}: ${value}`).padEnd(widthMost)}  # ${source}:${line}\n`;
}

function verdict({ config }: CheckedLayers, layers: readonly Layer[]): string {
  const names = layers.map(({ source }) => source).join(' ← ');
  return `${names}: ${config ? 'valid' : 'refused'}`;
}

interface Given {
  readonly key: string;
  readonly layer: Layer;
}

function readLayer(written: string): Given {
  const at = written.indexOf('=');
  const [key, file] = [written.slice(0, at), written.slice(at + 1)];
  if (at <= 0 || file === '') {
    throw new TidegateError(
      'usage',
      `--layer ${written}: write KEY=FILE, as in group.line-a=a.yaml`,
    );
  }
  try {
    return { key, layer: { source: key, text: readFileSync(file, 'utf8') } };
  } catch (error) {
    throw new TidegateError('configMissing', messageOf(error), { cause: error });
  }
}

/** From wide to narrow, whatever their order on the command line. */
async function ordered(given: readonly Given[], local: Layer): Promise<Layer[]> {
  const { parseYaml } = await import('../config/parse.ts');
  const { listOf, mapOf, textOf } = await import('../config/draft.ts');
  const { gatewayDefault } = await import('../config/gateway.ts');
  const { keysOf } = await import('../fleet/report.ts');
  // A file that is valid only with its layers still says whose they are.
  const tree = mapOf(parseYaml(local.text).tree);
  if (tree.fleet === undefined) {
    throw new TidegateError('usage', '--layer: this config has no fleet part');
  }
  const groups = listOf(mapOf(tree.fleet).groups).map(String);
  const keys = keysOf(textOf(tree.gateway) ?? gatewayDefault(), groups);
  const stranger = given.find(({ key }) => !keys.includes(key));
  if (stranger) {
    throw new TidegateError(
      'usage',
      `--layer ${stranger.key}: the layers of this gateway are ${keys.join(', ')}`,
    );
  }
  return keys.flatMap((key) => given.filter((one) => one.key === key).map(({ layer }) => layer));
}

async function kept({
  config,
  bufferPath,
}: {
  config: CheckedLayers['config'];
  bufferPath: string;
}): Promise<Layer[]> {
  if (config?.fleet === null) return [];
  const { readMeta } = await import('../buffer/meta.ts');
  const { keptFleetKey } = await import('./running.ts');
  const text = readMeta(config?.buffer.path ?? bufferPath, keptFleetKey);
  if (text === undefined) return [];
  const { keptLayersFor } = await import('../fleet/memory.ts');
  return keptLayersFor(text, config);
}
