/**
 * The guest's system, as an operator sees it: commands, the unit's properties, the journal, the
 * agent's local HTTP port. Everything is asynchronous, since the devices of the same process go on
 * publishing meanwhile, and everything has a limit.
 */
import { spawn } from 'node:child_process';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export const unit = 'tidegate.service';
const commandWithinMs = 240_000;
const answerWithinMs = 10_000;
const pollMs = 100;
const httpPort = 8080;

export interface Ended {
  readonly code: number | null;
  /** Standard output, then standard error. */
  readonly said: string;
  readonly out: string;
}

export async function run(command: string, ...args: readonly string[]): Promise<Ended> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' };
  const child = spawn(command, args, { env, timeout: commandWithinMs, killSignal: 'SIGKILL' });
  const said = { out: '', err: '' };
  child.stdin.end();
  child.stdout.on('data', (chunk) => {
    said.out += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    said.err += String(chunk);
  });
  return await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, said: said.out + said.err, out: said.out }));
  });
}

/** @throws Error when it does not exit 0, with what it said */
export async function must(command: string, ...args: readonly string[]): Promise<string> {
  const ended = await run(command, ...args);
  if (ended.code === 0) return ended.out;
  throw new Error(`${command} ${args.join(' ')}: exit ${ended.code}\n${ended.said}`);
}

export type Properties = Readonly<Record<string, string>>;

export async function show(...names: readonly string[]): Promise<Properties> {
  const text = await must('systemctl', 'show', unit, `--property=${names.join(',')}`);
  const lines = text.trimEnd().split('\n');
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}

export async function mainPid(): Promise<number> {
  return Number((await show('MainPID')).MainPID);
}

/** Waits until it is so, and gives what `met` found. @throws Error with `what` */
export async function until<T>(
  what: string,
  withinMs: number,
  met: () => Promise<T | undefined | false | null>,
): Promise<T> {
  const started = performance.now();
  for (;;) {
    const found = await met();
    if (found !== undefined && found !== false && found !== null) return found;
    if (performance.now() - started > withinMs) {
      const { said } = await run('journalctl', '-u', unit, '-n', '25', '--no-pager', '-o', 'cat');
      throw new Error(`not within ${withinMs} ms: ${what}; the journal ends with\n${said}`);
    }
    await sleep(pollMs);
  }
}

export async function untilActive(withinMs: number): Promise<Properties> {
  return await until('the unit is active', withinMs, async () => {
    const found = await show('ActiveState', 'SubState', 'MainPID', 'NRestarts', 'Result');
    return found.ActiveState === 'active' && found;
  });
}

/** Lines of the journal since a cursor; all of this boot's without one. */
export async function journal(since: string | null, ...more: readonly string[]): Promise<string> {
  const from = since === null ? ['-b'] : [`--after-cursor=${since}`];
  return await must('journalctl', '--no-pager', '-o', 'cat', ...from, ...more);
}

/** Where the journal ends now. */
export async function journalEnd(): Promise<string> {
  await must('journalctl', '--sync');
  const said = await must('journalctl', '-n', '0', '--show-cursor', '--no-pager');
  const [, cursor] = /^-- cursor: (.+)$/m.exec(said) ?? [];
  if (cursor === undefined) throw new Error(`the journal tells no cursor: ${said}`);
  return cursor;
}

/** The body of an answer of the agent's HTTP port; null when nobody answers with 200. */
export function ask(path: string): Promise<string | null> {
  return new Promise((resolve) => {
    const options = { host: '127.0.0.1', port: httpPort, path, agent: false } as const;
    const request = get(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        body += chunk;
      });
      response.on('end', () => resolve(response.statusCode === 200 ? body : null));
    });
    request.setTimeout(answerWithinMs, () => request.destroy());
    request.once('error', () => resolve(null));
  });
}
