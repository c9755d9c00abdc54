/**
 * A tool of the system (mount, debootstrap, dpkg-deb), run to its end for what it does. What goes
 * wrong is told in its own last words.
 */
import { spawnSync } from 'node:child_process';

/** Runs it to its end. @throws Error with the last of what it said */
export function runTool(command: string, args: readonly string[], withinMs: number): string {
  const ended = spawnSync(command, args, {
    encoding: 'utf8',
    timeout: withinMs,
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, LC_ALL: 'C.UTF-8' },
    maxBuffer: 64 * 1024 * 1024,
  });
  if (ended.status === 0) return ended.stdout;
  const said = `${ended.stdout ?? ''}${ended.stderr ?? ''}`.trimEnd().split('\n').slice(-20);
  const why = ended.error?.message ?? `exit ${ended.status ?? ended.signal}`;
  throw new Error(`${command} ${args[0] ?? ''}: ${why}\n${said.join('\n')}`);
}
