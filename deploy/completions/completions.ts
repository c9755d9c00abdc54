/**
 * Completions of bash, zsh and fish, written from the commands themselves. All three know commands,
 * options and choices; where a value is a file they give files, elsewhere nothing, since a wrong
 * guess is worse than none.
 */
import { type Spoken, spokenCommands } from '../package/commands.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

/** Where each shell looks, below /, and what it finds there. */
export function completions(): [path: string, script: string][] {
  const commands: readonly Spoken[] = spokenCommands();
  return [
    ['usr/share/bash-completion/completions/tidegate', bashCompletion(commands)],
    ['usr/share/zsh/vendor-completions/_tidegate', zshCompletion(commands)],
    ['usr/share/fish/vendor_completions.d/tidegate.fish', fishCompletion(commands)],
  ];
}
