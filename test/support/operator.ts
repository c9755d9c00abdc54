/**
 * An operator of a fleet: a folder with a key of their own and the files they push, and the command
 * line as a process, on one NATS server.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNkey, type Nkey, nkeyFromSeed } from '../../agent/nats-client.ts';
import { eventually } from './agent.ts';
import type { NatsServer } from './nats.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const saysWithinMs = 10_000;

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Started {
  readonly child: ChildProcess;
  readonly said: { out: string; err: string };
  readonly ended: Promise<Ended>;
  /** Resolves when it has said so, on either stream. */
  says(pattern: RegExp): Promise<void>;
}

export class Operator {
  readonly directory: string;
  readonly key: Nkey;
  readonly #server: NatsServer;

  constructor(server: NatsServer, key = createNkey()) {
    this.#server = server;
    this.directory = mkdtempSync(join(tmpdir(), 'tidegate-operator-'));
    this.key = nkeyFromSeed(key.seed ?? '');
    this.write('operator.seed', `${key.seed}\n`);
  }

  write(name: string, text: string): string {
    const path = join(this.directory, name);
    writeFileSync(path, text);
    return path;
  }

  read(name: string): string {
    return readFileSync(join(this.directory, name), 'utf8');
  }

  start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Started {
    const own = { TIDEGATE_FLEET_SERVERS: this.#server.url, TIDEGATE_FLEET_KEY: 'operator.seed' };
    const child = spawn(process.execPath, [main, 'fleet', ...args], {
      cwd: this.directory,
      env: { ...process.env, ...own, ...env },
    });
    const said = { out: '', err: '' };
    child.stdout.on('data', (chunk) => (said.out += String(chunk)));
    child.stderr.on('data', (chunk) => (said.err += String(chunk)));
    const ended = new Promise<Ended>((resolve) => {
      child.once('close', (code) => resolve({ code, ...said }));
    });
    const says = (pattern: RegExp) =>
      eventually(`it says ${pattern}`, saysWithinMs, () => pattern.test(said.out + said.err));
    return { child, said, ended, says };
  }

  /** `tidegate fleet …` to its end. */
  run(...args: readonly string[]): Promise<Ended> {
    return this.start(args).ended;
  }

  [Symbol.dispose](): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** A layer that is valid by itself; another mark makes another text of it. */
export function layer(mark: string): string {
  return `# ${mark}
routes:
  - { name: all, from: '#', to: { upstream: out } }
upstreams:
  out: { file: { directory: ./out } }
`;
}
