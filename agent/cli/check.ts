/**
 * `tidegate check FILE`: every problem of a config with its line, key and remedy, and exit 78 when
 * one of them is an error. `--schema` prints the JSON Schema for editors instead.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import { type CliContext, type JsonOption, jsonFlag, type Perform } from './context.ts';
import { plural } from './figures.ts';

interface CheckFlags extends JsonOption {
  readonly schema?: boolean;
  readonly effective?: boolean;
  readonly layer: readonly string[];
}

export function addCheck(program: Command, context: CliContext, perform: Perform): void {
  program
    .command('check')
    .description('validate a config: every problem with its line, key and remedy')
    .argument('[file]', 'the config; - reads standard input')
    .option('--schema', 'print the JSON Schema of the config')
    .option('--effective', 'with the layers of its fleet, and where each value comes from')
    .option(
      '--layer <key=file>',
      'with --effective: this file as fleet.default, group.NAME or gateway.NAME (repeatable);' +
        ' without: the layers that the gateway keeps',
      (one: string, before: readonly string[]) => [...before, one],
      [] as readonly string[],
    )
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Examples:
  $ tidegate check tidegate.yaml
  $ tidegate check --json tidegate.yaml
  $ tidegate check --effective tidegate.yaml
  $ tidegate check --effective --layer fleet.default=fleet.yaml tidegate.yaml
  $ tidegate check --schema > tidegate.schema.json`,
    )
    .action((file: string | undefined, flags: CheckFlags) =>
      perform(() => check(file, flags, context)),
    );
}

async function check(
  file: string | undefined,
  flags: CheckFlags,
  context: CliContext,
): Promise<number> {
  if (flags.schema) {
    const { jsonSchemaText } = await import('../config/json-schema.ts');
    context.out(jsonSchemaText());
    return exitCodes.ok;
  }
  if (file === undefined) throw new TidegateError('usage', 'check needs the name of a file');
  const source = file === '-' ? 'standard input' : file;
  if (flags.effective) {
    const { checkEffective } = await import('./check-effective.ts');
    const { layer, json = false } = flags;
    return await checkEffective({ source, text: read(file) }, { layer, json }, context);
  }
  const { checkText, showProblem } = await import('../config/check.ts');
  if (flags.layer.length > 0) throw new TidegateError('usage', '--layer needs --effective');
  const { config, problems } = checkText(read(file), source, context.env);
  if (flags.json) {
    context.out(`${JSON.stringify({ valid: config !== null, problems }, null, 2)}\n`);
  } else {
    for (const problem of problems) context.out(`${showProblem(problem)}\n`);
    const count = { error: 0, warning: 0 };
    for (const { severity } of problems) count[severity] += 1;
    const verdict = config ? 'valid' : 'refused';
    const counts = `${plural(count.error, 'error')}, ${plural(count.warning, 'warning')}`;
    context.out(`${source}: ${verdict}: ${counts}\n`);
  }
  return config ? exitCodes.ok : exitCodes.config;
}

const standardInput = 0;

function read(file: string): string {
  try {
    return readFileSync(file === '-' ? standardInput : file, 'utf8');
  } catch (error) {
    throw new TidegateError('configMissing', messageOf(error), { cause: error });
  }
}
