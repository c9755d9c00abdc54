/**
 * `tidegate upstream pause|resume NAME`: asks the running agent over its local HTTP port. A pause
 * lasts until resume or a restart; events wait in the buffer meanwhile.
 */
import type { Command } from 'commander';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import { type CliContext, jsonFlag, type Perform } from './context.ts';
import { agentUrl, configFlag, httpFlag, type LocateFlags } from './locate.ts';

const answerWithinMs = 5_000;
const statusNotFound = 404;

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
  const answer = await post(`${url}/upstreams/${encodeURIComponent(name)}/${action}`);
  const body = (await answer.json().catch(() => ({}))) as { error?: string };
  const error = body.error ?? `HTTP ${answer.status}`;
  if (answer.status === statusNotFound) throw new TidegateError('usage', error);
  if (!answer.ok) throw new TidegateError('notRunning', `${url} refused: ${error}`);
  const done = `${name} ${action === 'pause' ? 'paused' : 'resumed'}`;
  context.out(flags.json ? `${JSON.stringify(body)}\n` : `${done}\n`);
  return exitCodes.ok;
}

async function post(url: string): Promise<Response> {
  try {
    return await fetch(url, { method: 'POST', signal: AbortSignal.timeout(answerWithinMs) });
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    const detail = `no agent answers at ${new URL(url).origin}: ${messageOf(cause)}`;
    throw new TidegateError('notRunning', detail, { cause: error });
  }
}
