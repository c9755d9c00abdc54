/**
 * Where a command finds the buffer file or the running agent: said outright, else by the config,
 * else where an agent without a config has them.
 */
import type { Config } from '../config/types.ts';
import { TidegateError } from '../errors.ts';
import type { CliContext, JsonOption } from './context.ts';

export interface LocateFlags extends JsonOption {
  readonly config?: string;
  readonly buffer?: string;
  readonly http?: string;
}

export const configFlag = ['--config <file>', 'the config of the agent'] as const;
export const bufferFlag = ['--buffer <file>', 'the buffer file (default ./tidegate.db)'] as const;
export const httpFlag = ['--http <host:port>', 'HTTP address of the agent'] as const;

export async function configOf(flags: LocateFlags, context: CliContext): Promise<Config> {
  const { loadConfig } = await import('../config/load.ts');
  return loadConfig(flags.config ?? null, context.env).config;
}

export async function bufferPathOf(flags: LocateFlags, context: CliContext): Promise<string> {
  if (flags.buffer !== undefined) return flags.buffer;
  return (await configOf(flags, context)).buffer.path;
}

const everyAddress: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' };

/** `http://host:port` */
export async function agentUrl(flags: LocateFlags, context: CliContext): Promise<string> {
  const { readAddress, showAddress } = await import('../config/units.ts');
  if (flags.http !== undefined) {
    const read = readAddress(flags.http);
    if ('wrong' in read) throw new TidegateError('usage', `--http ${flags.http} ${read.wrong}`);
    return `http://${showAddress(read.value)}`;
  }
  const { http } = await configOf(flags, context);
  if (!http) throw new TidegateError('notRunning', 'the config says http: off');
  const host = everyAddress[http.bind.host] ?? http.bind.host;
  return `http://${showAddress({ host, port: http.bind.port })}`;
}
