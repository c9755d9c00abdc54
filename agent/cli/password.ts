/**
 * `tidegate password FILE NAME`: adds a user to a password file or changes the password, takes one
 * out, or tells whether a password is right. Comments, order and owner of the file stay.
 *
 * The file is replaced whole (written beside, synced, renamed), so that a running agent sees the
 * old users or the new ones and a power cut leaves one of the two. Mode 0600: only its owner reads.
 */
import {
  closeSync,
  existsSync,
  fchownSync,
  fsyncSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Command } from 'commander';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import { type CliContext, type JsonOption, jsonFlag, type Perform } from './context.ts';
import { readSecret } from './secret.ts';

interface PasswordFlags extends JsonOption {
  readonly delete?: boolean;
  readonly verify?: boolean;
}

const onlyOwner = 0o600;

export function addPassword(program: Command, context: CliContext, perform: Perform): void {
  program
    .command('password')
    .description('users of a listener: add one, change its password, take it out')
    .argument('<file>', 'the password file that users: of a listener names; it is made')
    .argument('<name>', 'the User Name')
    .option('--delete', 'take the user out')
    .option('--verify', 'tell whether a password is right: exit 0, or 65')
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
The password is asked for twice on a terminal; otherwise it is the first line of standard input.
A running agent takes the changed file within seconds. It has to be able to read it: a new file
belongs to whoever makes it, one that is there keeps its owner.

Examples:
  $ tidegate password /etc/tidegate/users pump-7
  $ head -c 24 /dev/urandom | base64 | tee pump-7.secret | tidegate password ./users pump-7
  $ tidegate password ./users pump-7 --verify < pump-7.secret
  $ tidegate password ./users pump-7 --delete`,
    )
    .action((file: string, name: string, flags: PasswordFlags) =>
      perform(() => password(file, name, flags, context)),
    );
}

async function password(
  file: string,
  name: string,
  flags: PasswordFlags,
  context: CliContext,
): Promise<number> {
  const { nameFault } = await import('../ingress/password-file.ts');
  const fault = nameFault(name);
  if (fault !== null) throw new TidegateError('usage', fault);
  if (flags.delete && flags.verify) {
    throw new TidegateError('usage', '--delete and --verify exclude each other');
  }
  const action = flags.delete ? remove : flags.verify ? verify : set;
  const done = await action(file, name, context);
  const shown = flags.json ? JSON.stringify({ file, name, done }) : `${name} ${done}`;
  context.out(`${shown}\n`);
  return exitCodes.ok;
}

async function set(file: string, name: string, context: CliContext): Promise<string> {
  const { nameOf, writeUser } = await import('../ingress/password-file.ts');
  const lines = await linesOf(file, true);
  const line = await writeUser(name, await readSecret(context, true));
  const at = lines.findIndex((each) => nameOf(each) === name);
  if (at < 0) lines.push(line);
  else lines[at] = line;
  const isNew = !existsSync(file);
  replace(file, lines);
  if (isNew && process.geteuid?.() === 0) {
    context.err(`${file} is new, and root’s alone: give it to the user that the agent runs as\n`);
  }
  return at < 0 ? 'added' : 'changed';
}

async function remove(file: string, name: string): Promise<string> {
  const { nameOf } = await import('../ingress/password-file.ts');
  const lines = await linesOf(file, false);
  const kept = lines.filter((each) => nameOf(each) !== name);
  if (kept.length === lines.length) throw unknownUser(file, name);
  replace(file, kept);
  return 'deleted';
}

async function verify(file: string, name: string, context: CliContext): Promise<string> {
  const { readUsers } = await import('../ingress/password-file.ts');
  const { PasswordCheck } = await import('../ingress/password-check.ts');
  const users = readUsers((await linesOf(file, false)).join('\n'), file);
  if (!users.has(name)) throw unknownUser(file, name);
  const answer = await new PasswordCheck().answer(users, name, await readSecret(context, false));
  if (answer === 'right') return 'verified';
  throw new TidegateError('passwordWrong', `it is not the password of ${name} in ${file}`);
}

function unknownUser(file: string, name: string): TidegateError {
  return new TidegateError('userUnknown', `${file} has no user ${name}`);
}

/** The lines of a good file; a bad one is not written over. */
async function linesOf(file: string, mayBeNew: boolean): Promise<string[]> {
  const { readUsers } = await import('../ingress/password-file.ts');
  const { readUserText } = await import('../ingress/user-file.ts');
  if (mayBeNew && !existsSync(file)) return [];
  const text = readUserText(file);
  readUsers(text, file);
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** @throws TidegateError passwordFileFailed: nothing was changed */
function replace(file: string, lines: readonly string[]): void {
  let partial: string | null = null;
  try {
    const before = statSync(file, { throwIfNoEntry: false });
    // A symbolic link stays one.
    const target = before ? realpathSync(file) : file;
    const folder = dirname(target);
    partial = join(folder, `.${basename(target)}.${process.pid}`);
    const written = openSync(partial, 'wx', onlyOwner);
    try {
      const isOthers =
        before && (before.uid !== process.getuid?.() || before.gid !== process.getgid?.());
      if (before && isOthers) fchownSync(written, before.uid, before.gid);
      writeFileSync(written, lines.map((line) => `${line}\n`).join(''));
      fsyncSync(written);
    } finally {
      closeSync(written);
    }
    renameSync(partial, target);
    partial = null;
    const opened = openSync(folder, 'r');
    fsyncSync(opened);
    closeSync(opened);
  } catch (error) {
    if (partial !== null) rmSync(partial, { force: true });
    throw new TidegateError('passwordFileFailed', `${file}: ${messageOf(error)}`, { cause: error });
  }
}
