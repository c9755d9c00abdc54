/**
 * The command line as the man page and the completions need it: read from commander's own objects,
 * the very ones that parse it, so that neither can say what the program does not.
 *
 * What stands after a command's options (`addHelpText`) is what it writes when its help is asked
 * for, less what commander writes itself. Hidden commands and options stay hidden.
 */
import type { Argument, Command, Option } from 'commander';
import { buildProgram } from '../../agent/cli/program.ts';

export interface Flag {
  /** `--config`; short ones are not in use. */
  readonly long: string;
  /** `<file>`, or empty for a switch. */
  readonly value: string;
  readonly prose: string;
  readonly choices: readonly string[];
}

export interface Positional {
  readonly name: string;
  /** `<file>`, `[id...]`. */
  readonly shown: string;
  readonly prose: string;
  readonly choices: readonly string[];
}

export interface Spoken {
  /** Words that lead to it, without the program's name. */
  readonly path: readonly string[];
  readonly prose: string;
  readonly flags: readonly Flag[];
  readonly positionals: readonly Positional[];
  /** Names of the commands below it. */
  readonly below: readonly string[];
  /** What help says after the options. */
  readonly after: string;
}

/** The program itself first, then every command below it in the order of its help. */
export function spokenCommands(): Spoken[] {
  const refuse = () => {
    throw new Error('nothing is run while a package is made');
  };
  const silent = { env: {}, isTerminal: false, out: () => {}, err: () => {}, onReload: () => {} };
  const program = buildProgram({ ...silent, stopSignal: refuse }, async () => refuse());
  return walk(program, []);
}

function walk(command: Command, path: readonly string[]): Spoken[] {
  const help = command.createHelp();
  const below = command.commands.filter((one) => help.visibleCommands(command).includes(one));
  const own: Spoken = {
    path,
    prose: command.description(),
    flags: help.visibleOptions(command).map(flagOf),
    positionals: command.registeredArguments.map(positionalOf),
    below: below.map((one) => one.name()),
    after: textAfter(command),
  };
  return [own, ...below.flatMap((one) => walk(one, [...path, one.name()]))];
}

function flagOf(option: Option): Flag {
  const { flags, defaultValue } = option;
  const [long = flags, value = ''] = flags.split(' ');
  const isTold = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  const prose = `${option.description}${isTold ? ` (default ${defaultValue})` : ''}`;
  return { long, value, prose, choices: option.argChoices ?? [] };
}

function positionalOf(argument: Argument): Positional {
  const name = argument.name();
  const inner = `${name}${argument.variadic ? '...' : ''}`;
  const shown = argument.required ? `<${inner}>` : `[${inner}]`;
  return { name, shown, prose: argument.description, choices: argument.argChoices ?? [] };
}

function textAfter(command: Command): string {
  let written = '';
  const write = (text: string) => {
    written += text;
  };
  const output = command.configureOutput();
  command.configureOutput({ ...output, writeOut: write });
  command.outputHelp();
  command.configureOutput(output);
  return written.slice(command.helpInformation().length).trim();
}
