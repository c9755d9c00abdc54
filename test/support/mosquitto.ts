/**
 * A Mosquitto of Debian's package on a free port of 127.0.0.1, with a folder of its own; stopped by
 * its pid. Persistence is on unless a test says otherwise, everything else as the package has it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accepts, eventually } from './agent.ts';
import { freePorts } from './ports.ts';

const startWithinMs = 10_000;
const systemPaths = '/usr/sbin:/usr/local/sbin';

export interface MosquittoOptions {
  readonly persistence?: boolean;
  readonly parent?: string;
  /** Further lines of mosquitto.conf. */
  readonly lines?: readonly string[];
}

export interface Mosquitto {
  readonly port: number;
  readonly pid: number;
  stop(): Promise<void>;
}

export async function startMosquitto(options: MosquittoOptions = {}): Promise<Mosquitto> {
  const directory = mkdtempSync(join(options.parent ?? tmpdir(), 'tidegate-mosquitto-'));
  const [port] = await freePorts(1);
  if (port === undefined) throw new Error('no free port');
  const config = join(directory, 'mosquitto.conf');
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    `persistence ${(options.persistence ?? true) ? 'true' : 'false'}`,
    `persistence_location ${directory}/`,
    'log_dest stderr',
    'log_type error',
    ...(process.getuid?.() === 0 ? ['user root'] : []),
    ...(options.lines ?? []),
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const child = spawn('mosquitto', ['-c', config], {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env.PATH}:${systemPaths}` },
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const stop = () => end(child, exited, directory);
  try {
    await eventually('mosquitto listens', startWithinMs, () => accepts(port));
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, pid: child.pid ?? 0, stop };
}

async function end(child: ChildProcess, exited: Promise<void>, directory: string): Promise<void> {
  if (child.pid !== undefined && child.exitCode === null) child.kill('SIGKILL');
  await exited;
  rmSync(directory, { recursive: true, force: true });
}
