/**
 * The command line: one file per command, put together here. Usage errors are exit 64, and every
 * refusal is two lines on standard error, what is wrong and the remedy (one JSON object with
 * --json). Commands load what they need when they run: `check` loads no SQLite and no Kafka.
 */
import { Command, CommanderError } from 'commander';
import { exitCodes, remedyOf, TidegateError } from '../errors.ts';
import { addBuffer } from './buffer.ts';
import { addCheck } from './check.ts';
import type { CliContext, Perform } from './context.ts';
import { addDead } from './dead.ts';
import { addDemo } from './demo-command.ts';
import { addFleet } from './fleet.ts';
import { addPassword } from './password.ts';
import { addRun } from './run.ts';
import { addSize } from './size.ts';
import { addStatus } from './status.ts';
import { addUpstream } from './upstream.ts';
import { version } from './version.ts';

export async function runProgram(args: readonly string[], context: CliContext): Promise<number> {
  let code: number = exitCodes.ok;
  const perform: Perform = async (work) => {
    code = await work();
  };
  const program = buildProgram(context, perform);
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCodes.usage;
    return tell(error, args.includes('--json'), context);
  }
}

export function buildProgram(context: CliContext, perform: Perform): Command {
  const program = new Command('tidegate')
    .description('Event-mesh agent for edge gateways: a PUBACK means on disk.')
    .version(version(), '--version', 'the version')
    .helpOption('--help', 'this help')
    .helpCommand(false)
    .showHelpAfterError('Try --help.')
    .exitOverride()
    .configureOutput({ writeOut: context.out, writeErr: context.err })
    .addHelpText(
      'after',
      `
Examples:
  $ tidegate run                                MQTT on 127.0.0.1:1883, events to ./tidegate-out
  $ tidegate check tidegate.yaml                every problem with its line and remedy
  $ tidegate run --config tidegate.yaml
  $ tidegate demo                               an outage, the drain, and the proof
  $ tidegate fleet push plant.yaml --key SEED   config of many gateways over NATS

Exit codes: 0 ok, 64 usage, 65 bad data, 69 unavailable, 70 our fault, 73 cannot create,
74 input/output error, 75 try later, 78 config.`,
    );
  addRun(program, context, perform);
  addCheck(program, context, perform);
  addDemo(program, perform);
  addBuffer(program, context, perform);
  addStatus(program, context, perform);
  addSize(program, context, perform);
  addUpstream(program, context, perform);
  addPassword(program, context, perform);
  addDead(program, context, perform);
  addFleet(program, context, perform);
  return program;
}

function tell(error: unknown, asJson: boolean, context: CliContext): number {
  const isOurs = error instanceof TidegateError;
  const code = isOurs ? error.code : 'internal';
  const message = error instanceof Error ? error.message : String(error);
  if (asJson) {
    const problems = 'problems' in Object(error) ? { problems: Object(error).problems } : {};
    const shown = { error: { code, message, remedy: remedyOf(code), ...problems } };
    context.err(`${JSON.stringify(shown)}\n`);
  } else {
    const detail = !isOurs && error instanceof Error ? (error.stack ?? message) : message;
    context.err(`tidegate: ${detail}\n    ${remedyOf(code)}\n`);
  }
  return isOurs ? error.exit : exitCodes.ourFault;
}
