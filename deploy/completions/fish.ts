/**
 * fish: one `complete` line for each command and option, on the condition that the words typed so
 * far have named the command it belongs to. Files are off unless a value or an argument is one.
 */
import type { Spoken } from '../package/commands.ts';
import { takesFiles, wantsFile } from './words.ts';

export function fishCompletion(commands: readonly Spoken[]): string {
  const lines = commands.flatMap((command) => linesOf(command, commands));
  return `# fish completion of tidegate, generated from its commands.
function __tidegate_words
  for word in (commandline -opc)[2..]
    string match -q -- '-*' $word; and break
    echo $word
  end
end
function __tidegate_at
  set -l words (__tidegate_words)
  test "$words" = "$argv"
end
function __tidegate_in
  set -l words (__tidegate_words)
  set -l last (count $argv)
  test (count $words) -ge $last; and test "$words[1..$last]" = "$argv"
end
complete -c tidegate -f
${lines.join('\n')}
`;
}

function linesOf(command: Spoken, all: readonly Spoken[]): string[] {
  const { path, flags, below, positionals } = command;
  const here = `complete -c tidegate -n ${quoted(conditionOf(path, below))}`;
  const commandLines = below.map((name) => {
    const prose = all.find((one) => one.path.join(' ') === [...path, name].join(' '))?.prose ?? '';
    return `${here} -a ${name} -d ${quoted(prose)}`;
  });
  const optionLines = flags.map(({ long, value, prose, choices }) => {
    const file = wantsFile(value) ? ' -rF' : ' -x';
    const known = choices.length > 0 ? ` -a ${quoted(choices.join(' '))}` : '';
    const takes = value === '' ? '' : `${file}${known}`;
    return `${here} -l ${long.slice(2)}${takes} -d ${quoted(prose)}`;
  });
  return [...commandLines, ...optionLines, ...(takesFiles(positionals) ? [`${here} -F`] : [])];
}

/**
 * Words up to the first option: exactly its path for what has commands below it, beginning with it
 * for the rest, so that `status` and `fleet status` are two commands.
 */
function conditionOf(path: readonly string[], below: readonly string[]): string {
  return [below.length > 0 ? '__tidegate_at' : '__tidegate_in', ...path].join(' ');
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
