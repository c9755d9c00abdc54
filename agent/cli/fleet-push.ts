/**
 * `tidegate fleet push FILE`: validated here, signed, written behind the revision that was looked
 * at, and followed until the gateways have answered. What is not valid is not written.
 */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { messageOf, TidegateError } from '../errors.ts';
import type { CliContext, Perform } from './context.ts';
import { plural } from './figures.ts';
import type { CanaryFlags } from './fleet-canary.ts';
import { checkFleet, type FleetChecked } from './fleet-check.ts';
import { placeFlags, placeOf } from './fleet-place.ts';
import { Pusher, signerOf, type TargetFlags, targetOf } from './fleet-pusher.ts';
import { durationOf, followFlag, targetFlags, withFleet } from './fleet-session.ts';
import { followToEnd } from './fleet-summary.ts';
import { oneLine } from './fleet-view.ts';

export interface PushFlags extends TargetFlags, CanaryFlags {
  readonly base?: string;
  readonly follow: string;
}

export function addPush(fleet: Command, context: CliContext, perform: Perform): void {
  const command = fleet
    .command('push')
    .description('sign a config, put it into the bucket, and follow who applies it')
    .argument('<file>', 'the layer: for all gateways, unless --group or --gateway says for whom')
    .option('--canary <share>', 'first to this share of the gateways, as 5%')
    .option('--wait <time>', 'how long the canary may take to confirm (default 2m)')
    .option('--base <file>', 'a local file to validate it over, where upstreams stand in those')
    .option('--yes', 'push to all when --canary would reach nobody');
  placeFlags(followFlag(targetFlags(command)))
    .addHelpText(
      'after',
      `
Nothing is written unless the config is valid as the gateways will run it: with the wider layers in
the bucket, and with every narrower one. A canary that refuses, reverts or stays silent is taken
back.

Exit 0: all applied it; 65: some refused or reverted; 69: some did not answer in time; 75: somebody
else pushed meanwhile, or it was interrupted; 78: the config is not valid.

Examples:
  $ tidegate fleet push plant.yaml --config operator.yaml --key operator.seed
  $ tidegate fleet push line-a.yaml --group line-a --servers tls://nats.plant:4222 \\
      --creds operator.creds --key operator.seed
  $ tidegate fleet push plant.yaml --key operator.seed --canary 5% --wait 3m`,
    )
    .action((file: string, flags: PushFlags) => perform(() => push(file, flags, context)));
}

async function push(file: string, flags: PushFlags, context: CliContext): Promise<number> {
  const key = targetOf(flags);
  const { canaryOf, pushByCanary } = await import('./fleet-canary.ts');
  const canary = await canaryOf(flags);
  const followMs = await durationOf('--follow', flags.follow);
  const pushed = { source: file, text: read(file) };
  const base = flags.base === undefined ? null : { source: flags.base, text: read(flags.base) };
  const place = await placeOf(flags, context);
  const signer = await signerOf(flags, place, context);
  return await withFleet({ place, own: signer }, async ({ link, bucket, reports }) => {
    const latest = await bucket.latest();
    const { env } = context;
    const looked = { key, pushed, base, latest, reports, signer: signer.publicKey, env };
    const checked = await checkFleet(looked);
    const history = await bucket.history(key);
    const reported = (most: number) => reports.highestSeen(key, most);
    const pusher = new Pusher({ bucket, key, signer, history, reported });
    if (!flags.json) await tellChecked(checked, pushed.source, key, context);
    const stop = context.stopSignal();
    const json = flags.json === true;
    const operation = { context, json, key, place, link, reports, pusher, followMs, stop };
    if (canary !== null) {
      return await pushByCanary({ ...operation, canary, history, config: pushed.text });
    }
    await pusher.push(pushed.text, null);
    const { combinations, checked: count } = checked;
    return await followToEnd(operation, { checked: count, combinations });
  });
}

const warningsShown = 20;

async function tellChecked(
  { checked, combinations, warnings, passedOver }: FleetChecked,
  source: string,
  key: string,
  context: CliContext,
): Promise<void> {
  const { showProblem } = await import('../config/check.ts');
  for (const warning of warnings.slice(0, warningsShown)) context.err(`${showProblem(warning)}\n`);
  for (const one of passedOver.slice(0, warningsShown)) {
    context.err(`warning: in the bucket, and passed over by every gateway: ${oneLine(one)}\n`);
  }
  const all = plural(checked, 'combination');
  const of = combinations > checked ? `the first ${all} of ${combinations}` : all;
  context.out(`${source}: valid as ${key}, checked in ${of} of layers\n`);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new TidegateError('configMissing', messageOf(error), { cause: error });
  }
}
