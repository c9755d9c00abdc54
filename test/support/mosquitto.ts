/**
 * A Mosquitto of Debian's package on a free port of 127.0.0.1, with a folder of its own; stopped by
 * its pid. Persistence is on unless a test says otherwise, everything else as the package has it.
 * It can be killed and started again on the same port and folder, and its log can be read.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accepts, eventually } from './agent.ts';
import { freePorts } from './ports.ts';

const startWithinMs = 10_000;
const systemPaths = '/usr/sbin:/usr/local/sbin';

export interface MosquittoOptions {
  readonly persistence?: boolean;
  readonly parent?: string;
  /** Of the first listener; 0 or left out: a free one. */
  readonly port?: number;
  /** Further lines of mosquitto.conf; those of the first listener stand first. */
  readonly lines?: readonly string[];
  /** False: who connects needs what `lines` say. */
  readonly anonymous?: boolean;
}

export class Mosquitto {
  readonly port: number;
  /** For the files that `lines` of a later start name. */
  readonly directory: string;
  readonly #options: MosquittoOptions;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  constructor(port: number, directory: string, options: MosquittoOptions) {
    this.port = port;
    this.directory = directory;
    this.#options = options;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    return readFileSync(join(this.directory, 'mosquitto.log'), 'utf8');
  }

  /** Again, after `kill`: on the same port, with what it kept. */
  async start(lines = this.#options.lines ?? []): Promise<void> {
    const config = join(this.directory, 'mosquitto.conf');
    const { persistence = true, anonymous = true } = this.#options;
    const all = [
      `allow_anonymous ${anonymous}`,
      `persistence ${persistence}`,
      `persistence_location ${this.directory}/`,
      `log_dest file ${this.directory}/mosquitto.log`,
      'log_type all',
      ...(process.getuid?.() === 0 ? ['user root'] : []),
      `listener ${this.port} 127.0.0.1`,
      ...lines,
    ];
    writeFileSync(config, `${all.join('\n')}\n`);
    const child = spawn('mosquitto', ['-c', config], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env.PATH}:${systemPaths}` },
    });
    this.#child = child;
    this.#exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    try {
      await eventually('mosquitto listens', startWithinMs, () => accepts(this.port));
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child?.pid !== undefined && child.exitCode === null) child.kill(signal);
    await this.#exited;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const directory = mkdtempSync(join(options.parent ?? tmpdir(), 'tidegate-mosquitto-'));
  const port = options.port || (await freePorts(1))[0];
  if (port === undefined) throw new Error('no free port');
  const server = new Mosquitto(port, directory, options);
  await server.start();
  return server;
}
