/**
 * bash: one function that walks the words typed so far to the command they name, then offers what
 * fits there. It needs nothing of the bash-completion package but to be loaded by it.
 */
import type { Spoken } from '../package/commands.ts';
import { takesFiles, wantsFile, withValue } from './words.ts';

export function bashCompletion(commands: readonly Spoken[]): string {
  const paths = commands.map(({ path }) => path.join(' ')).filter((path) => path !== '');
  return `# bash completion of tidegate, generated from its commands.
_tidegate() {
  local word command='' at previous
  word=\${COMP_WORDS[COMP_CWORD]}
  previous=\${COMP_WORDS[COMP_CWORD - 1]}
  for ((at = 1; at < COMP_CWORD; at++)); do
    case "\${command:+$command }\${COMP_WORDS[at]}" in
      ${paths.map((path) => `'${path}'`).join(' | ')})
        command="\${command:+$command }\${COMP_WORDS[at]}" ;;
    esac
  done
  case "$command $previous" in
${commands.map(valueCases).join('')}  esac
  local words='' files=''
  case "$command" in
${commands.map(wordCase).join('')}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  if [[ -n $files && $word != -* ]]; then
    compopt -o filenames
    mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$word")
  fi
}
complete -F _tidegate tidegate
`;
}

function valueCases({ path, flags }: Spoken): string {
  const at = (long: string) => `'${path.join(' ')} ${long}'`;
  const valued = withValue(flags);
  const some = (of: typeof valued, reply: string) =>
    of.length === 0
      ? ''
      : `    ${of.map(({ long }) => at(long)).join(' | ')})\n      ${reply}\n      return ;;\n`;
  const asFiles = valued.filter(({ value }) => wantsFile(value));
  const asChoices = valued.filter(({ choices }) => choices.length > 0);
  const free = valued.filter((flag) => !asFiles.includes(flag) && !asChoices.includes(flag));
  return [
    some(asFiles, 'compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$word")'),
    ...asChoices.map((flag) =>
      some([flag], `mapfile -t COMPREPLY < <(compgen -W '${flag.choices.join(' ')}' -- "$word")`),
    ),
    some(free, 'COMPREPLY=()'),
  ].join('');
}

function wordCase({ path, flags, below, positionals }: Spoken): string {
  const choices = positionals.flatMap((one) => one.choices);
  const words = [...below, ...choices, ...flags.map(({ long }) => long)].join(' ');
  const files = takesFiles(positionals) ? ' files=yes' : '';
  return `    '${path.join(' ')}') words='${words}'${files} ;;\n`;
}
