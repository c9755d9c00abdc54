/**
 * The agent as the demo runs it: a child process on a config of its own, killed and started again
 * like a machine that loses power does it. Its output goes to a file beside its buffer.
 *
 * An exit that nobody asked for is a failure of the demo, told with the last lines of that file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TidegateError } from '../../errors.ts';

const startWithinMs = 20_000;
const pollMs = 50;
const logLinesShown = 12;
const extension = extname(fileURLToPath(import.meta.url));
const main = fileURLToPath(new URL(`../../main${extension}`, import.meta.url));

export class AgentChild {
  readonly logFile: string;
  readonly #config: string;
  readonly #port: number;
  #child: ChildProcess | null = null;
  #asked = false;
  #unasked: string | null = null;

  constructor(directory: string, config: string, port: number) {
    this.logFile = join(directory, 'agent.log');
    this.#config = config;
    this.#port = port;
  }

  get running(): boolean {
    return this.#child !== null;
  }

  /** Why it ended although nobody asked, or null. */
  get unasked(): string | null {
    return this.#unasked;
  }

  start(): void {
    const log = openSync(this.logFile, 'a');
    const child = spawn(
      process.execPath,
      [...process.execArgv, main, 'run', '--config', this.#config],
      {
        stdio: ['ignore', log, log],
      },
    );
    closeSync(log);
    this.#asked = false;
    this.#child = child;
    child.once('exit', (code, signal) => {
      if (this.#child === child) this.#child = null;
      if (!this.#asked) this.#unasked = `exit ${code ?? signal}\n${this.lastLines()}`;
    });
  }

  /** Resolves when its MQTT listener takes connections. */
  async ready(): Promise<void> {
    const deadline = performance.now() + startWithinMs;
    while (performance.now() < deadline && this.#unasked === null) {
      if (await accepts(this.#port)) return;
      await sleep(pollMs);
    }
    const why = this.#unasked ?? `no listener after ${startWithinMs} ms\n${this.lastLines()}`;
    throw new TidegateError('internal', `the demo's agent did not start: ${why}`);
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === null) return;
    this.#asked = true;
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill(signal);
    await exited;
  }

  lastLines(): string {
    return readFileSync(this.logFile, 'utf8')
      .trimEnd()
      .split('\n')
      .slice(-logLinesShown)
      .join('\n');
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string')
    throw new TidegateError('internal', 'no port');
  return address.port;
}
