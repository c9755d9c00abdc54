/**
 * A nats-server of Debian's package, with JetStream, on a free port of 127.0.0.1 and a folder of
 * its own; stopped by its pid. It can be killed and started again on the same port and folder. A
 * client of the library stands at its far side: what devices and services of NATS would do.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectionOptions, connect, type NatsConnection } from 'nats';
import { accepts, eventually } from './agent.ts';
import { freePorts } from './ports.ts';

const startWithinMs = 10_000;
const systemPaths = '/usr/sbin:/usr/local/sbin';

export interface NatsServerOptions {
  readonly parent?: string;
  /** Lines of the config behind those of port and JetStream. */
  readonly lines?: readonly string[];
  readonly jetstream?: boolean;
  readonly port?: number;
  /** Also served on this port: `http://127.0.0.1:PORT/varz`, `/jsz` … */
  readonly monitor?: boolean;
}

export class NatsServer {
  readonly port: number;
  readonly monitorPort: number;
  readonly directory: string;
  readonly #options: NatsServerOptions;
  #child: ChildProcess | null = null;
  #exited: Promise<void> = Promise.resolve();

  constructor(port: number, monitorPort: number, directory: string, options: NatsServerOptions) {
    this.port = port;
    this.monitorPort = monitorPort;
    this.directory = directory;
    this.#options = options;
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get log(): string {
    return readFileSync(join(this.directory, 'nats.log'), 'utf8');
  }

  /** Again, after `kill`: on the same port, with what its streams kept. */
  async start(lines = this.#options.lines ?? []): Promise<void> {
    const config = join(this.directory, 'nats.conf');
    const { jetstream = true, monitor = false } = this.#options;
    const all = [
      `listen: 127.0.0.1:${this.port}`,
      `log_file: "${this.directory}/nats.log"`,
      ...(jetstream ? [`jetstream { store_dir: "${this.directory}/js" }`] : []),
      ...(monitor ? [`http: 127.0.0.1:${this.monitorPort}`] : []),
      ...lines,
    ];
    writeFileSync(config, `${all.join('\n')}\n`);
    const child = spawn('nats-server', ['-c', config], {
      stdio: 'ignore',
      env: { ...process.env, PATH: `${process.env.PATH}:${systemPaths}` },
    });
    this.#child = child;
    const follow = () => child.kill('SIGKILL');
    process.once('exit', follow);
    this.#exited = new Promise<void>((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
    void this.#exited.then(() => process.removeListener('exit', follow));
    try {
      await eventually('nats-server listens', startWithinMs, () => accepts(this.port));
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** As a client of it would connect. */
  connect(options: ConnectionOptions = {}): Promise<NatsConnection> {
    return connect({ servers: `127.0.0.1:${this.port}`, ...options });
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

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export async function startNats(options: NatsServerOptions = {}): Promise<NatsServer> {
  const directory = mkdtempSync(join(options.parent ?? tmpdir(), 'tidegate-nats-'));
  const [first = 0, monitorPort = 0] = await freePorts(2);
  const server = new NatsServer(options.port ?? first, monitorPort, directory, options);
  await server.start();
  return server;
}
