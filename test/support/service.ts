/**
 * The service manager's side of sd_notify(3): a real AF_UNIX datagram socket, which keeps every
 * message with the time it came. Node has none, so libc's is opened through koffi and read from as
 * a file; what `koffi` is to the agent is not shared with this.
 */
import { closeSync, mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import koffi from 'koffi';
import { eventually } from './agent.ts';

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK_CLOEXEC = 2 | 0o4_000 | 0o2_000_000;
const lookEveryMs = 5;
const messageBytes = 65_536;
const withinMs = 30_000;

const libc = koffi.load(null);
const openSocket = libc.func('int socket(int domain, int type, int protocol)');
const bindSocket = libc.func('int bind(int fd, const uint8_t *address, uint32_t length)');

export interface Told {
  readonly text: string;
  /** `performance.now()`. */
  readonly atMs: number;
}

export class NotifiedService {
  /** As NOTIFY_SOCKET says it. */
  readonly name: string;
  readonly told: Told[] = [];
  readonly #folder: string | null;
  readonly #descriptor: number;
  #looking: NodeJS.Timeout | null = null;
  #closed = false;

  private constructor(name: string, folder: string | null) {
    this.name = name;
    this.#folder = folder;
    this.#descriptor = openSocket(AF_UNIX, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0) as number;
    const path = name.startsWith('@') ? `\0${name.slice(1)}` : `${name}\0`;
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), Buffer.from(path)]);
    const bound = bindSocket(this.#descriptor, address, address.length) as number;
    if (bound !== 0) throw new Error(`bind ${name}: errno ${koffi.errno()}`);
    this.listen();
  }

  /** With a path of its own. */
  static atPath(): NotifiedService {
    const folder = mkdtempSync(join(tmpdir(), 'tidegate-notify-'));
    return new NotifiedService(join(folder, 'notify'), folder);
  }

  /** In the abstract name space. */
  static abstract(): NotifiedService {
    return new NotifiedService(`@tidegate-test-${process.pid}-${Date.now()}`, null);
  }

  /** For the agent; with a watchdog that wants to hear of it within this. */
  environment(watchdogMs?: number): Record<string, string> {
    const watchdog = watchdogMs === undefined ? {} : { WATCHDOG_USEC: `${watchdogMs * 1_000}` };
    return { NOTIFY_SOCKET: this.name, ...watchdog };
  }

  /** Reads what comes, until `deafen`. */
  listen(): void {
    this.#looking ??= setInterval(() => this.read(), lookEveryMs);
  }

  /** As a manager that hangs: what comes is not taken. */
  deafen(): void {
    if (this.#looking) clearInterval(this.#looking);
    this.#looking = null;
  }

  read(): void {
    const bytes = Buffer.alloc(messageBytes);
    for (;;) {
      try {
        const length = readSync(this.#descriptor, bytes);
        this.told.push({ text: bytes.toString('utf8', 0, length), atMs: performance.now() });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return;
        throw error;
      }
    }
  }

  /** Messages that have this line (`READY=1`) or a line that begins so (`STATUS=`). */
  with(line: string): Told[] {
    return this.told.filter(({ text }) => {
      return text
        .split('\n')
        .some((each) => (line.endsWith('=') ? each.startsWith(line) : each === line));
    });
  }

  /** The states, without sentences and without the watchdog: `READY`, `RELOADING`, … */
  get states(): string[] {
    return this.told.flatMap(({ text }) => /^(READY|RELOADING|STOPPING)=1$/m.exec(text)?.[1] ?? []);
  }

  /** The last sentence. */
  get status(): string {
    return /^STATUS=(.*)$/m.exec(this.with('STATUS=').at(-1)?.text ?? '')?.[1] ?? '';
  }

  async until(what: string, met: (manager: this) => boolean): Promise<void> {
    await eventually(`${what} (told: ${this.states.join(' ')}; ${this.status})`, withinMs, () =>
      met(this),
    );
  }

  [Symbol.dispose](): void {
    this.close();
  }

  close(): void {
    this.deafen();
    if (this.#closed) return;
    this.#closed = true;
    closeSync(this.#descriptor);
    if (this.#folder !== null) rmSync(this.#folder, { recursive: true, force: true });
  }
}
