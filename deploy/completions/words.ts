/**
 * What the three shells' scripts share: whether a value is a file, and how text is quoted so that
 * a shell takes it as it stands.
 */
import type { Flag, Positional } from '../package/commands.ts';

/** `<file>`, `[file]`; not `<key=file>`, which begins with something else. */
export function wantsFile(shown: string): boolean {
  return /^[<[]file(\.\.\.)?[>\]]$/.test(shown);
}

export function takesFiles(positionals: readonly Positional[]): boolean {
  return positionals.some(({ shown }) => wantsFile(shown));
}

export function withValue(flags: readonly Flag[]): Flag[] {
  return flags.filter(({ value }) => value !== '');
}

/** In single quotes, for sh, bash and zsh. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
