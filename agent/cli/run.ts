/**
 * `tidegate run`: config → telemetry → HTTP port → agent, until a signal or a halt.
 *
 *   starting ──▶ running ──SIGTERM──▶ stopping ──▶ exit 0
 *      └──────────┴──halt──▶ stopping ──▶ exit code of the error
 *
 * SIGHUP reads the config file again: applied whole (`agent.ts` says to what), or refused whole
 * with every reason, and the old one runs on. One that comes while the agent is starting waits. The
 * HTTP port opens first, so that an agent that is still starting can be asked. Stopping is bounded
 * by stopWithin and a grace: what was acknowledged is on disk, so that an end at any moment is
 * safe, and what was not will be sent again.
 */
import type { Command } from 'commander';
import type { Chosen, Left } from '../config/load.ts';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { CliContext, JsonOption, Perform } from './context.ts';
import { Reloads } from './reloads.ts';
import { keptFleetKey, Running, tellWarnings } from './running.ts';
import { openService, type ServiceNotify } from './service-notify.ts';
import { version } from './version.ts';

interface RunFlags extends JsonOption {
  readonly config?: string;
}

export function addRun(program: Command, context: CliContext, perform: Perform): void {
  program
    .command('run')
    .description('the agent; without a config: MQTT on 127.0.0.1:1883, events to ./tidegate-out')
    .option('--config <file>', 'the config (YAML)')
    .option('--json', 'JSON log lines also on a terminal')
    .addHelpText(
      'after',
      `
SIGHUP: read the config again; what is the same stays connected.
SIGTERM or SIGINT: commit, acknowledge, close within stopWithin; a second one ends at once.
An invalid config is refused; then the last good one runs, which the buffer keeps.

Examples:
  $ tidegate run
  $ tidegate run --config /etc/tidegate/tidegate.yaml`,
    )
    .action((flags: RunFlags) => perform(() => run(flags, context)));
}

async function run(flags: RunFlags, context: CliContext): Promise<number> {
  const stop = context.stopSignal();
  const service = await openService(context.env);
  try {
    return await runServed(flags, context, stop, service);
  } catch (error) {
    service.halted(error);
    throw error;
  } finally {
    service.close();
  }
}

async function runServed(
  flags: RunFlags,
  context: CliContext,
  stop: AbortSignal,
  service: ServiceNotify,
): Promise<number> {
  const reloads = new Reloads();
  context.onReload(() => reloads.ask());
  const path = flags.config ?? null;
  const { chooseConfig } = await import('../config/load.ts');
  const chosen = await chooseConfig(path, context.env, readLeft);
  const { createTelemetry } = await import('../telemetry/telemetry.ts');
  const pretty = context.isTerminal && flags.json !== true;
  const telemetry = createTelemetry({ level: chosen.config.log.level, pretty });
  service.reportTo(telemetry.report);
  try {
    await tellConfig(chosen, telemetry, context);
    const running = new Running({ path, chosen, telemetry, env: context.env, service });
    return await runAgent(running, { telemetry, stop, reloads, service });
  } catch (error) {
    const code = error instanceof TidegateError ? error.code : 'internal';
    telemetry.report('agentHalted', { code, error: messageOf(error) });
    throw error;
  } finally {
    telemetry.close();
  }
}

/** What an earlier run has left in the buffer at this path. */
async function readLeft(bufferPath: string): Promise<Left> {
  const { readMeta } = await import('../buffer/meta.ts');
  const { lastGoodKey, lastLocalKey } = await import('../config/load.ts');
  const lastGood = readMeta(bufferPath, lastGoodKey);
  const lastLocal = readMeta(bufferPath, lastLocalKey);
  const kept = readMeta(bufferPath, keptFleetKey);
  if (kept === undefined) return { lastGood, lastLocal };
  const { keptLayersFor } = await import('../fleet/memory.ts');
  return { lastGood, lastLocal, layersFor: (alone) => keptLayersFor(kept, alone) };
}

async function tellConfig(
  chosen: Chosen,
  telemetry: Telemetry,
  context: CliContext,
): Promise<void> {
  const { config, refused, source, warnings } = chosen;
  const { report } = telemetry;
  report('agentStarting', { version: version(), node: process.versions.node, pid: process.pid });
  if (refused) {
    const { showProblem } = await import('../config/check.ts');
    const detail = refused.map(showProblem).join('\n');
    context.err(`${detail}\n`);
    telemetry.degraded = 'config';
    report('configRefused', { problems: refused.length, detail });
    report('configDegraded', { degraded: 'config', source });
  }
  tellWarnings(warnings, telemetry);
  const { gateway, routes, upstreams } = config;
  const counts = { routes: routes.length, upstreams: Object.keys(upstreams).length };
  report('configLoaded', { source, gateway, ...counts });
}

interface Run {
  readonly telemetry: Telemetry;
  readonly stop: AbortSignal;
  readonly reloads: Reloads;
  readonly service: ServiceNotify;
}

async function runAgent(running: Running, run: Run): Promise<number> {
  const { telemetry, stop, reloads, service } = run;
  try {
    const agent = await running.start();
    reloads.serve(() => running.reload());
    const halt = await Promise.race([aborted(stop), agent.halted]);
    reloads.close();
    if (halt) {
      telemetry.report('agentHalted', haltFields(halt));
      service.halted(halt);
    }
    await running.stop();
    return halt ? halt.exit : exitCodes.ok;
  } finally {
    await running.close();
  }
}

function haltFields(halt: TidegateError): { code: string; error: string; remedy: string } {
  return { code: halt.code, error: halt.message, remedy: halt.remedy };
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}
