/**
 * The agent as a child process, as its users run it: `node agent/main.ts run --config FILE` on a
 * config, ports and a folder of its own. Tests see it through its sockets, its /metrics, its log
 * and /proc, never through its modules.
 *
 * The config is written as JSON, which is YAML. Everything started is stopped by its pid.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { heapFlags } from '../../agent/heap-flags.ts';
import { parseMetrics, type Samples } from './metrics.ts';
import { patient } from './patience.ts';
import { freePorts } from './ports.ts';

const main = fileURLToPath(new URL('../../agent/main.ts', import.meta.url));
const readyWithinMs = patient(30_000);
const stopWithinMs = patient(15_000);
const reloadWithinMs = 15_000;
const pollMs = 40;
const logLinesShown = 30;

export interface AgentSetup {
  readonly routes: readonly object[];
  readonly upstreams: Readonly<Record<string, object>>;
  /** Further top-level keys of the config. */
  readonly extra?: Readonly<Record<string, unknown>>;
  readonly listener?: Readonly<Record<string, unknown>>;
  readonly http?: Readonly<Record<string, unknown>>;
  readonly sources?: readonly Readonly<Record<string, unknown>>[];
  /** Where its folder is made; the system's temporary folder unless given. */
  readonly parent?: string;
  /** Put in front of the command, e.g. strace and its arguments. */
  readonly wrap?: readonly string[];
  /** Beside the variables of the test. */
  readonly env?: Readonly<Record<string, string>>;
}

/** The config as it is written; tests change what they like of it. */
export interface WrittenConfig {
  mqtt: { listeners: Record<string, unknown>[]; sources: Record<string, unknown>[] };
  routes: Record<string, unknown>[];
  upstreams: Record<string, Record<string, unknown>>;
  [key: string]: unknown;
}

export interface LogLine {
  readonly event: string;
  readonly level: string;
  readonly [field: string]: unknown;
}

export class AgentUnderTest {
  readonly directory: string;
  readonly mqttPort: number;
  httpPort: number;
  readonly #setup: AgentSetup;
  #config: WrittenConfig;
  #child: ChildProcess | null = null;
  #exit: Promise<number | null> = Promise.resolve(null);

  private constructor(setup: AgentSetup, mqttPort: number, httpPort: number) {
    this.#setup = setup;
    this.mqttPort = mqttPort;
    this.httpPort = httpPort;
    this.directory = mkdtempSync(join(setup.parent ?? tmpdir(), 'tidegate-test-'));
    const written = {
      gateway: 'test-gw',
      mqtt: {
        listeners: [{ bind: `127.0.0.1:${mqttPort}`, broker: 'embedded', ...setup.listener }],
        sources: setup.sources ?? [],
      },
      routes: setup.routes,
      upstreams: setup.upstreams,
      buffer: { path: join(this.directory, 'tidegate.db'), bytes: '1GiB' },
      http: { bind: `127.0.0.1:${httpPort}`, ...setup.http },
      log: { level: 'info' },
      ...setup.extra,
    };
    this.#config = JSON.parse(JSON.stringify(written)) as WrittenConfig;
    this.writeConfig(JSON.stringify(written));
  }

  get configPath(): string {
    return join(this.directory, 'tidegate.yaml');
  }

  writeConfig(text: string): void {
    // At once: an agent that is reading just now sees the one or the other.
    const next = `${this.configPath}.next`;
    writeFileSync(next, text);
    renameSync(next, this.configPath);
  }

  /** Changes the file; what runs is not told. */
  edit(change: (config: WrittenConfig) => void): void {
    const next = structuredClone(this.#config);
    change(next);
    this.#config = next;
    this.writeConfig(JSON.stringify(next));
  }

  hangUp(): void {
    process.kill(this.pid, 'SIGHUP');
  }

  /** SIGHUP on a changed file (or on the file as it is), and what came of it. */
  async reload(change?: (config: WrittenConfig) => void): Promise<LogLine> {
    const before = this.#config;
    if (change !== undefined) this.edit(change);
    const told = this.events('configReloaded', 'configRefused').length;
    this.hangUp();
    let found: LogLine | undefined;
    await eventually('the reload is told', reloadWithinMs, () => {
      found = this.events('configReloaded', 'configRefused')[told];
      return found !== undefined;
    });
    const last = found as LogLine;
    // What was refused is taken out of the way of the next change.
    if (last.event === 'configRefused') this.#config = before;
    return last;
  }

  /** Lines of the log with one of these events, in order. */
  events(...names: readonly string[]): LogLine[] {
    const lines = this.log().filter((line) => /^{.*}$/.test(line));
    return lines.map((line) => JSON.parse(line) as LogLine).filter((l) => names.includes(l.event));
  }

  /** Not started yet. */
  static async prepare(setup: AgentSetup): Promise<AgentUnderTest> {
    const [mqttPort, httpPort] = await freePorts(2);
    if (mqttPort === undefined || httpPort === undefined) throw new Error('no free ports');
    return new AgentUnderTest(setup, mqttPort, httpPort);
  }

  static async start(setup: AgentSetup): Promise<AgentUnderTest> {
    const agent = await AgentUnderTest.prepare(setup);
    await agent.start();
    return agent;
  }

  /** Resolves when the listener takes connections and /readyz says so. */
  async start(): Promise<void> {
    const [command, ...before] = [...(this.#setup.wrap ?? []), process.execPath];
    const log = openSync(join(this.directory, 'agent.log'), 'a');
    const child = spawn(
      command,
      [...before, ...heapFlags, main, 'run', '--config', this.configPath],
      {
        stdio: ['ignore', log, log],
        cwd: this.directory,
        env: { ...process.env, ...this.#setup.env },
      },
    );
    closeSync(log);
    this.#child = child;
    // The agent must not outlive the test, whatever ends that.
    const follow = () => child.kill('SIGKILL');
    process.once('exit', follow);
    child.once('exit', () => process.removeListener('exit', follow));
    this.#exit = new Promise((resolve) => {
      child.once('error', () => resolve(null));
      child.once('exit', (code) => resolve(code));
    });
    const deadline = performance.now() + readyWithinMs;
    while (performance.now() < deadline && child.exitCode === null && child.signalCode === null) {
      if ((await this.#isReady()) && (await accepts(this.mqttPort))) return;
      await sleep(pollMs);
    }
    await this.kill();
    throw new Error(`the agent did not get ready (exit ${child.exitCode}):\n${this.logTail()}`);
  }

  async #isReady(): Promise<boolean> {
    try {
      return (await fetch(`http://127.0.0.1:${this.httpPort}/readyz`)).ok;
    } catch {
      return false;
    }
  }

  get running(): boolean {
    const child = this.#child;
    return child !== null && child.exitCode === null && child.signalCode === null;
  }

  /** The agent's own pid, also when it runs under a wrapper. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('the agent is not running');
    if (this.#setup.wrap === undefined) return pid;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    // A wrapper that the command took the place of has none.
    return Number(children.trim().split(' ')[0] || pid);
  }

  async kill(): Promise<void> {
    if (this.running) process.kill(this.pid, 'SIGKILL');
    await this.#exit;
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | null> {
    if (this.running) process.kill(this.pid, 'SIGTERM');
    const late = sleep(stopWithinMs, 'late' as const, { ref: false });
    if ((await Promise.race([this.#exit, late])) !== 'late') return this.#exit;
    await this.kill();
    throw new Error(`the agent did not stop within ${stopWithinMs} ms:\n${this.logTail()}`);
  }

  /** Stops what still runs and removes the folder. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async metrics(): Promise<Samples> {
    const response = await fetch(`http://127.0.0.1:${this.httpPort}/metrics`);
    return parseMetrics(await response.text());
  }

  log(): string[] {
    return readFileSync(join(this.directory, 'agent.log'), 'utf8').trimEnd().split('\n');
  }

  logTail(): string {
    return this.log().slice(-logLinesShown).join('\n');
  }
}

export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Waits until `met`, polling; throws with `what` when it was not within the patience for it. */
export async function eventually(
  what: string,
  withinMs: number,
  met: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + patient(withinMs);
  while (!(await met())) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await sleep(pollMs);
  }
}
