/**
 * `tidegate demo`: its options.
 * The demo itself (devices, stand-in, view) is loaded when it runs, and never with the agent.
 */
import type { Command } from 'commander';
import { jsonFlag, type Perform } from './context.ts';

interface DemoFlags {
  kafka?: string;
  seconds?: string;
  json?: boolean;
  plain?: boolean;
}

export function addDemo(program: Command, perform: Perform): void {
  program
    .command('demo')
    .description('simulated devices, an outage, the drain, the proof that nothing was lost')
    .option('--kafka <host:port>', 'a real Kafka in the place of the stand-in')
    .option('--seconds <n>', 'length of the load; the drain comes on top')
    .option('--plain', 'plain lines also on a terminal')
    .option(...jsonFlag)
    .addHelpText(
      'after',
      `
Exit 0 only when the ledger holds: every acknowledged message arrived.

Examples:
  $ tidegate demo
  $ tidegate demo --kafka 127.0.0.1:9092 --seconds 60`,
    )
    .action((flags: DemoFlags) =>
      perform(async () => {
        const { runDemo } = await import('./demo.ts');
        return runDemo(flags);
      }),
    );
}
