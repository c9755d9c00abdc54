/**
 * `tidegate upstream pause|resume NAME`: asks the running agent over its local HTTP port. A pause
 * lasts until resume or a restart; events wait in the buffer meanwhile.
 */
import type { Command } from 'commander';
import { exitCodes } from '../errors.ts';
import { askAgent } from './ask.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { agentUrl, configFlag, httpFlag, type LocateFlags } from './locate.ts';

const prose = {
  pause: 'stop forwarding to it; events wait in the buffer',
  resume: 'forward again, also after it was halted',
} as const;

export function addUpstream(program: Command, context: CliContext, perform: Perform): void {
  const upstream = program.command('upstream').description('forwarding of a running agent');
  for (const action of ['pause', 'resume'] as const) {
    upstream
      .command(action)
      .description(prose[action])
      .argument('<name>', 'a name under upstreams')
      .option(...configFlag)
      .option(...httpFlag)
      .option(...jsonFlag)
      .addHelpText(
        'after',
        `
Examples:
  $ tidegate upstream ${action} cloud
  $ tidegate upstream ${action} cloud --http 127.0.0.1:8080`,
      )
      .action((name: string, flags: LocateFlags) =>
        perform(() => command(action, name, flags, context)),
      );
  }
}

async function command(
  action: 'pause' | 'resume',
  name: string,
  flags: LocateFlags,
  context: CliContext,
): Promise<number> {
  const url = await agentUrl(flags, context);
  const asked = `${url}/upstreams/${encodeURIComponent(name)}/${action}`;
  const body = await askAgent(asked, { method: 'POST' });
  const done = `${name} ${action === 'pause' ? 'paused' : 'resumed'}`;
  context.out(flags.json ? `${JSON.stringify(body)}\n` : `${done}\n`);
  return exitCodes.ok;
}
