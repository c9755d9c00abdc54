/**
 * Whether a password is right, at a price that a flood of log-ins cannot raise.
 *
 *   remembered ──▶ right, at once
 *   else ──▶ runs (at most `loginsComputing`) | waits (at most `loginsWaiting`) | busy
 *
 * scrypt runs in the thread pool, not on the path; the bounds keep it from taking every core and
 * tens of MiB a device. A name that nobody has costs the same run as one that exists, so that
 * neither answer nor time says which names there are. What is remembered is an HMAC under a key of
 * this process over name, password and the line of the file: nothing of it is worth stealing, and a
 * changed line is another key.
 */
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { loginRememberedMs, loginsComputing, loginsRemembered, loginsWaiting } from '../bounds.ts';
import { defaultCost, type PasswordHash, runScrypt, type Users } from './password-file.ts';

export type PasswordAnswer = 'right' | 'wrong' | 'busy';

export interface CheckBounds {
  readonly computing: number;
  readonly waiting: number;
  readonly remembered: number;
  readonly rememberedMs: number;
}

const bounds: CheckBounds = {
  computing: loginsComputing,
  waiting: loginsWaiting,
  remembered: loginsRemembered,
  rememberedMs: loginRememberedMs,
};
const keyBytes = 32;
const nobodyBytes = 32;

export class PasswordCheck {
  readonly #bounds: CheckBounds;
  readonly #key = randomBytes(keyBytes);
  /** Until when, ms of the monotonic clock, oldest first. */
  readonly #remembered = new Map<string, number>();
  readonly #waiting: (() => void)[] = [];
  readonly #nobodySalt = randomBytes(nobodyBytes);
  #computing = 0;

  constructor(given: CheckBounds = bounds) {
    this.#bounds = given;
  }

  /** At once when nothing has to be computed. */
  answer(
    users: Users,
    name: string,
    password: Uint8Array,
  ): PasswordAnswer | Promise<PasswordAnswer> {
    const user = users.get(name);
    const mark = user ? this.#markOf(name, password, user) : null;
    if (mark !== null && this.#isRemembered(mark)) return 'right';
    if (this.#computing >= this.#bounds.computing) {
      if (this.#waiting.length >= this.#bounds.waiting) return 'busy';
    }
    return this.#compute(user ?? this.#nobody(users), password).then((matches) => {
      if (!matches || mark === null) return 'wrong';
      this.#remember(mark);
      return 'right';
    });
  }

  async #compute(user: PasswordHash, password: Uint8Array): Promise<boolean> {
    // The caller's bytes are a part of a chunk that is used again.
    const kept = Uint8Array.from(password);
    if (this.#computing >= this.#bounds.computing) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#computing += 1;
    try {
      const hash = await runScrypt(kept, user.salt, user.hash.length, user);
      return timingSafeEqual(hash, user.hash);
    } finally {
      // Whoever waits takes the place over.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#computing -= 1;
    }
  }

  /** What a name that nobody has is measured against: the cost of the file's first user. */
  #nobody(users: Users): PasswordHash {
    const [first] = users.values();
    const { ln, r, p } = first ?? defaultCost;
    return { ln, r, p, salt: this.#nobodySalt, hash: Buffer.alloc(nobodyBytes), written: '' };
  }

  #markOf(name: string, password: Uint8Array, user: PasswordHash): string {
    const hmac = createHmac('sha256', this.#key);
    // Lengths first: no two different triples are the same bytes.
    hmac.update(`${Buffer.byteLength(name)} ${password.length} ${name}${user.written}`);
    return hmac.update(password).digest('base64');
  }

  #isRemembered(mark: string): boolean {
    const untilMs = this.#remembered.get(mark);
    if (untilMs === undefined) return false;
    if (untilMs > performance.now()) return true;
    this.#remembered.delete(mark);
    return false;
  }

  #remember(mark: string): void {
    this.#remembered.delete(mark);
    this.#remembered.set(mark, performance.now() + this.#bounds.rememberedMs);
    if (this.#remembered.size <= this.#bounds.remembered) return;
    const [oldest] = this.#remembered.keys();
    if (oldest !== undefined) this.#remembered.delete(oldest);
  }
}
