/**
 * The password file on the disk, read again when it changes. Users are taken whole or not at all:
 * with one bad line, or while the file cannot be read, the old ones stay and the reason is said.
 */
import { readFileSync, statSync } from 'node:fs';
import { filesCheckEveryMs, passwordFileBytes } from '../bounds.ts';
import { messageOf, TidegateError } from '../errors.ts';
import type { Report } from '../events.ts';
import { readUsers, type Users } from './password-file.ts';

/** The users of a file, read again when it changes. */
export class UserFile {
  readonly #file: string;
  readonly #report: Report;
  readonly #timer: NodeJS.Timeout;
  #users: Users;
  #judged: string;
  #last: string;

  /** @throws TidegateError usersUnreadable, usersInvalid */
  constructor(file: string, report: Report, everyMs: number = filesCheckEveryMs) {
    this.#file = file;
    this.#report = report;
    // Before it is read, so that no change falls in between.
    this.#judged = signature(file);
    this.#last = this.#judged;
    this.#users = load(file);
    this.#timer = setInterval(() => this.#look(), everyMs);
    this.#timer.unref();
  }

  get users(): Users {
    return this.#users;
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const now = signature(this.#file);
    // Half of a file that is being written may be a good one with fewer users.
    const stoodStill = now === this.#last;
    this.#last = now;
    if (now === this.#judged || !stoodStill) return;
    this.#judged = now;
    try {
      this.#users = load(this.#file);
      this.#report('usersReloaded', { file: this.#file, users: this.#users.size });
    } catch (error) {
      if (!(error instanceof TidegateError)) throw error;
      const { code, message, remedy } = error;
      this.#report('usersRefused', { code, reason: message, remedy });
    }
  }
}

function load(file: string): Users {
  return readUsers(readUserText(file), file);
}

/** @throws TidegateError usersUnreadable */
export function readUserText(file: string): string {
  const unreadable = (reason: string, cause?: unknown) =>
    new TidegateError('usersUnreadable', `users: ${file} cannot be read (${reason})`, { cause });
  let size: number;
  let text: string;
  try {
    size = statSync(file).size;
    text = size > passwordFileBytes ? '' : readFileSync(file, 'utf8');
  } catch (error) {
    throw unreadable((error as NodeJS.ErrnoException).code ?? messageOf(error), error);
  }
  if (size > passwordFileBytes) throw unreadable(`${size} bytes are too many`);
  return text;
}

/** What changes when the file, or what its name leads to, does. */
function signature(file: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${dev} ${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch (error) {
    return String((error as NodeJS.ErrnoException).code);
  }
}
