/**
 * `tidegate fleet keygen FILE`: who may configure the fleet is who has the seed. It goes into a
 * file of its owner alone and is never written over another one; the public key, alone on standard
 * output, is what gateways trust.
 */
import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import { type CliContext, type JsonOption, jsonFlag, type Perform } from './context.ts';

const onlyOwner = 0o600;

export function addKeygen(fleet: Command, context: CliContext, perform: Perform): void {
  fleet
    .command('keygen')
    .description('a new pair of keys: the seed into FILE, the public key printed')
    .argument('<file>', 'made with mode 0600; one that is there already is left alone')
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
The public key goes under fleet.trust of every gateway, the seed is what --key of push names.

Examples:
  $ tidegate fleet keygen operator.seed
  $ TRUST=$(tidegate fleet keygen operator.seed)`,
    )
    .action((file: string, flags: JsonOption) => perform(() => keygen(file, flags, context)));
}

async function keygen(file: string, flags: JsonOption, context: CliContext): Promise<number> {
  const { createNkey } = await import('../nats-client.ts');
  const { publicKey, seed } = createNkey();
  write(file, `${seed}\n`);
  if (flags.json) {
    context.out(`${JSON.stringify({ file, publicKey })}\n`);
    return exitCodes.ok;
  }
  context.out(`${publicKey}\n`);
  context.err(`the seed is in ${file}: keep it secret, and name it with --key of fleet push\n`);
  context.err(`the line above is its public key: put it under fleet.trust of each gateway\n`);
  return exitCodes.ok;
}

/** @throws TidegateError cannotWrite */
function write(file: string, text: string): void {
  try {
    const opened = openSync(file, 'wx', onlyOwner);
    try {
      writeFileSync(opened, text);
      fsyncSync(opened);
    } finally {
      closeSync(opened);
    }
  } catch (error) {
    throw new TidegateError('cannotWrite', messageOf(error), { cause: error });
  }
}
