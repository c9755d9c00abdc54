/**
 * zsh: a function a command, each with its options by _arguments; a command with others below it
 * describes these and hands on. Descriptions are the help's own.
 */
import type { Flag, Positional, Spoken } from '../package/commands.ts';
import { quoted, wantsFile } from './words.ts';

export function zshCompletion(commands: readonly Spoken[]): string {
  return `#compdef tidegate
# zsh completion of tidegate, generated from its commands.

${commands.map((command) => functionOf(command, commands)).join('\n')}
_tidegate "$@"
`;
}

const nameOf = (path: readonly string[]) => ['_tidegate', ...path].join('_');

function functionOf(command: Spoken, all: readonly Spoken[]): string {
  const { path, flags, below, positionals } = command;
  const options = flags.map((flag) => quoted(optionSpec(flag)));
  if (below.length === 0) {
    const specs = [...options, ...positionals.map((one) => quoted(positionalSpec(one)))];
    return `${nameOf(path)}() {\n  _arguments ${specs.join(' \\\n    ')}\n}\n`;
  }
  const described = below.map((name) => {
    const prose = all.find((one) => one.path.join(' ') === [...path, name].join(' '))?.prose ?? '';
    return `    ${quoted(`${plain(name)}:${prose}`)}`;
  });
  return `${nameOf(path)}() {
  local line state
  local -a commands=(
${described.join('\n')}
  )
  _arguments -C ${[...options, "'1: :->command'", "'*:: :->rest'"].join(' \\\n    ')}
  case $state in
    command) _describe command commands ;;
    rest) case $line[1] in
${below.map((name) => `      ${name}) ${nameOf([...path, name])} ;;`).join('\n')}
    esac ;;
  esac
}
`;
}

function optionSpec({ long, value, prose, choices }: Flag): string {
  const shown = `${long}[${bracketed(prose)}]`;
  return value === '' ? shown : `${shown}:${plain(value)}:${completerOf(value, choices)}`;
}

function positionalSpec({ name, shown, choices }: Positional): string {
  const at = shown.includes('...') ? '*' : '';
  const optional = shown.startsWith('[') && at === '' ? ':' : '';
  return `${at}:${optional}${plain(name)}:${completerOf(shown, choices)}`;
}

function completerOf(shown: string, choices: readonly string[]): string {
  if (choices.length > 0) return `(${choices.join(' ')})`;
  return wantsFile(shown) ? '_files' : ' ';
}

/** What stands between colons. */
function plain(text: string): string {
  return text.replaceAll(/[:\\]/g, (mark) => `\\${mark}`);
}

/** What stands between brackets. */
function bracketed(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, (mark) => `\\${mark}`);
}
