/**
 * `tidegate fleet`: the config of many gateways over NATS, from the operator's side. Each command
 * has a file of its own; what they load (NATS, signing, the schema) they load when they run.
 */
import type { Command } from 'commander';
import type { CliContext, Perform } from './context.ts';
import { addKeygen } from './fleet-keygen.ts';
import { addPush } from './fleet-push.ts';
import { addRollback } from './fleet-rollback.ts';
import { addFleetStatus } from './fleet-status.ts';
import { addWatch } from './fleet-watch.ts';

export function addFleet(program: Command, context: CliContext, perform: Perform): void {
  const fleet = program
    .command('fleet')
    .description('config of many gateways over NATS: push, status, rollback, watch')
    .addHelpText(
      'after',
      `
A config stands in the bucket for all gateways, for a group, or for one; the narrower one wins. It
is signed: gateways take what a key under their fleet.trust has signed.

Examples:
  $ tidegate fleet keygen operator.seed
  $ tidegate fleet push plant.yaml --config operator.yaml --key operator.seed --canary 5%
  $ tidegate fleet status --config operator.yaml
  $ tidegate fleet rollback --config operator.yaml --key operator.seed`,
    );
  addPush(fleet, context, perform);
  addFleetStatus(fleet, context, perform);
  addRollback(fleet, context, perform);
  addWatch(fleet, context, perform);
  addKeygen(fleet, context, perform);
}
