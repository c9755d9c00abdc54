/**
 * The agent as a package runs it: the same JavaScript (`deploy/package/bundle.ts`), the same Node
 * and flags, the environment of the systemd unit. Started, asked what it takes, stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { arenasMost, heapFlags } from '../../agent/heap-flags.ts';
import { bundle } from '../../deploy/package/bundle.ts';
import { peakRssKib, rssKib } from '../support/process.ts';

const root = join(import.meta.dirname, '..', '..');
const readyWithinMs = 60_000;
const stopWithinMs = 15_000;
const kibPerMib = 1_024;

/** @returns where its entry is */
export async function buildPackaged(directory: string): Promise<string> {
  const tree = join(directory, 'tree');
  await bundle(tree);
  symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'));
  return join(tree, 'agent', 'main.js');
}

export interface PackagedOptions {
  readonly main: string;
  /** A folder of its own is made in it. */
  readonly directory: string;
  /** YAML or JSON; where it says DIR the folder is put. */
  readonly config: string;
  /** In front of the command line. */
  readonly prefix?: readonly string[];
}

export class Packaged {
  readonly #child: ChildProcess;
  readonly mqttPort: number;
  /** From the start of the process until devices may come. */
  readonly readyMs: number;

  private constructor(child: ChildProcess, mqttPort: number, readyMs: number) {
    this.#child = child;
    this.mqttPort = mqttPort;
    this.readyMs = readyMs;
  }

  static async start({ main, directory, config, prefix = [] }: PackagedOptions): Promise<Packaged> {
    const folder = mkdtempSync(join(directory, 'gateway-'));
    mkdirSync(join(folder, 'out'));
    const path = join(folder, 'tidegate.yaml');
    writeFileSync(path, config.replaceAll('DIR', folder));
    const line = [
      ...prefix,
      process.execPath,
      ...heapFlags,

      main,
      'run',
      '--config',
      path,
    ];
    const began = performance.now();
    const [command = '', ...args] = line;
    const env = { ...process.env, MALLOC_ARENA_MAX: String(arenasMost) };
    const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const log = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const port = await new Promise<number>((resolve, reject) => {
      let bound = 0;
      const late = setTimeout(() => reject(new Error('it did not get ready')), readyWithinMs);
      child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
      log.on('line', (text) => {
        const { event, protocol, port } = JSON.parse(text) as Record<string, unknown>;
        if (event === 'listenerBound' && protocol === 'mqtt') bound = Number(port);
        if (event !== 'agentReady') return;
        clearTimeout(late);
        resolve(bound);
      });
    });
    return new Packaged(child, port, performance.now() - began);
  }

  get pid(): number {
    return Number(this.#child.pid);
  }

  get rssMib(): number {
    return rssKib(this.pid) / kibPerMib;
  }

  get peakMib(): number {
    return peakRssKib(this.pid) / kibPerMib;
  }

  /** The peak counts anew. */
  forgetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5');
  }

  async stop(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), stopWithinMs);
    await gone;
    clearTimeout(timer);
  }
}
