/**
 * Where the fleet is: NATS servers, login, buckets and whose signature counts, from the `fleet`
 * part of a config, or from options. Options are put into the shape of that part and judged by the
 * config's own schema, so that both take the same values and refuse the same ones.
 */
import type { Command } from 'commander';
import type { NatsClientConfig } from '../config/types-nats.ts';
import { TidegateError } from '../errors.ts';
import { type CliContext, type JsonOption, jsonFlag } from './context.ts';

export interface FleetFlags extends JsonOption {
  readonly config?: string;
  readonly servers?: string;
  readonly creds?: string;
  readonly nkey?: string;
  readonly token?: string;
  readonly username?: string;
  readonly password?: string;
  readonly tlsCa?: string;
  readonly insecure?: boolean;
  readonly bucket?: string;
  readonly statusBucket?: string;
}

export interface FleetPlace {
  readonly client: NatsClientConfig;
  readonly bucket: string;
  readonly statusBucket: string;
  /** Public nkeys; null: nobody said. */
  readonly trust: readonly string[] | null;
  /** The config that said so. */
  readonly config: string | null;
}

const serversVariable = 'TIDEGATE_FLEET_SERVERS';
const serversDefault = 'nats://127.0.0.1:4222';

export function placeFlags(command: Command): Command {
  return command
    .option('--config <file>', 'a config whose fleet part says where, who we are and whom to trust')
    .option('--servers <urls>', `NATS servers, with commas (or ${serversVariable})`)
    .option('--creds <file>', 'log in with a .creds file')
    .option('--nkey <file>', 'log in with an nkey seed')
    .option('--token <value>', 'log in with a token; file:PATH keeps it off the command line')
    .option('--username <name>', 'log in as this user')
    .option('--password <value>', 'and its password; file:PATH keeps it off the command line')
    .option('--tls-ca <file>', 'the CA that signed the server of tls://')
    .option('--insecure', 'plain text to a server that is not on this machine')
    .option('--bucket <name>', 'bucket of the configs (default tidegate-config)')
    .option('--status-bucket <name>', 'bucket of the reports (default tidegate-status)')
    .option(...jsonFlag);
}

/** @throws TidegateError usage, ConfigRefused */
export async function placeOf(flags: FleetFlags, context: CliContext): Promise<FleetPlace> {
  const place =
    flags.config === undefined ? await said(flags, context) : await read(flags, context);
  const { bucket = place.bucket, statusBucket = place.statusBucket } = flags;
  const name = /^[a-zA-Z0-9_-]{1,200}$/;
  for (const each of [bucket, statusBucket]) {
    if (!name.test(each)) throw new TidegateError('usage', `${each} is not the name of a bucket`);
  }
  return { ...place, bucket, statusBucket };
}

const exclusive = ['servers', 'creds', 'nkey', 'token', 'username', 'tlsCa', 'insecure'] as const;

async function read(flags: FleetFlags, context: CliContext): Promise<FleetPlace> {
  const path = flags.config as string;
  const both = exclusive.find((key) => flags[key] !== undefined);
  if (both) throw new TidegateError('usage', `--config and ${flagOf(both)} exclude each other`);
  const { loadConfig } = await import('../config/load.ts');
  const { fleet } = loadConfig(path, context.env).config;
  if (fleet === null) throw new TidegateError('usage', `${path} has no fleet part`);
  const { trust, bucket, statusBucket, ...client } = fleet;
  return { client: { ...client, name: clientName }, bucket, statusBucket, trust, config: path };
}

const clientName = 'tidegate-fleet-cli';
/** A key of nobody: the schema wants one, and nothing is verified with it. */
const nobody = 'UAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABET7';

async function said(flags: FleetFlags, context: CliContext): Promise<FleetPlace> {
  const { checkText } = await import('../config/check.ts');
  const { creds, nkey, token, username, password, tlsCa, insecure } = flags;
  const servers = (flags.servers ?? context.env[serversVariable] ?? serversDefault).split(',');
  const tls = tlsCa === undefined ? undefined : { ca: tlsCa };
  const login = { creds, nkey, token, username, password };
  const fleet = { servers, ...login, tls, insecure, trust: [nobody] };
  // JSON is YAML; what is undefined is not written.
  const { config, problems } = checkText(
    JSON.stringify({ ...bare, fleet }),
    'options',
    context.env,
  );
  const wrong = problems.find(({ severity }) => severity === 'error');
  if (wrong) {
    const { key, message } = wrong;
    const remedy = wrong.remedy.replace('say insecure: true', 'give --insecure');
    throw new TidegateError('usage', `${flagOf(key)}: ${message}. ${remedy}`);
  }
  if (!config?.fleet) throw new TidegateError('internal', 'options make no fleet part');
  const { bucket, statusBucket, ...client } = config.fleet;
  const named = { ...client, name: clientName };
  return { client: named, bucket, statusBucket, trust: null, config: null };
}

const bare = { gateway: 'cli', routes: [], upstreams: {} };

/** `fleet.servers[0]` → `--servers`. */
function flagOf(key: string): string {
  const part = /^(?:fleet\.)?(\w+)/.exec(key)?.[1] ?? key;
  const flags: Readonly<Record<string, string>> = { tls: '--tls-ca', tlsCa: '--tls-ca' };
  return flags[part] ?? `--${part}`;
}
