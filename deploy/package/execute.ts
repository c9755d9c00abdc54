/**
 * Runs a program of this machine (npm, tar, dpkg-deb, git) and gives back what it printed.
 *
 * Its environment is ours less what changes bytes behind our back: options for tar and xz, the
 * locale and the time zone. A program that fails is a refusal that carries its last words.
 */
import { spawn } from 'node:child_process';
import { exitUnavailable, Refusal } from './refusal.ts';

const lastWordsMost = 2_000;
const steady = { LC_ALL: 'C.UTF-8', TZ: 'UTC' };
const unwanted = new Set([
  'TAR_OPTIONS',
  'XZ_OPT',
  'XZ_DEFAULTS',
  'GZIP',
  'DPKG_DEB_COMPRESSOR_TYPE',
]);

export interface Surroundings {
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Said when the program is not on this machine. */
  readonly remedy: string;
}

export function execute(
  command: string,
  args: readonly string[],
  { cwd, env, remedy }: Surroundings,
): Promise<string> {
  const inherited = Object.entries(process.env).filter(([name]) => !unwanted.has(name));
  const child = spawn(command, args, {
    cwd,
    env: { ...Object.fromEntries(inherited), ...steady, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text;
  });
  return new Promise((resolve, reject) => {
    child.once('error', (error) => {
      reject(new Refusal(`${command} cannot be run: ${error.message}`, remedy, exitUnavailable));
    });
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(said.out);
      const words = `${said.err}${said.out}`.trim().slice(-lastWordsMost);
      const line = `${command} ${args.join(' ')}`;
      reject(new Refusal(`${line} ended with ${code ?? signal}:\n${words}`, remedy));
    });
  });
}
