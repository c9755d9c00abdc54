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
import type { Agent } from '../agent.ts';
import type { Chosen } from '../config/load.ts';
import type { Config, Loaded, Problem } from '../config/types.ts';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import { type Change, Kept } from '../kept.ts';
import type { HttpSources } from '../telemetry/http.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { CliContext, JsonOption, Perform } from './context.ts';
import type { HttpPart } from './http-part.ts';
import { Reloads, reportRefused } from './reloads.ts';
import { version } from './version.ts';

interface RunFlags extends JsonOption {
  readonly config?: string;
}

const stopGraceMs = 2_000;

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
  const reloads = new Reloads();
  context.onReload(() => reloads.ask());
  const { chooseConfig, lastGoodKey } = await import('../config/load.ts');
  const chosen = await chooseConfig(flags.config ?? null, context.env, async (bufferPath) => {
    const { readMeta } = await import('../buffer/meta.ts');
    return readMeta(bufferPath, lastGoodKey);
  });
  const { createTelemetry } = await import('../telemetry/telemetry.ts');
  const pretty = context.isTerminal && flags.json !== true;
  const telemetry = createTelemetry({ level: chosen.config.log.level, pretty });
  try {
    await tellConfig(chosen, telemetry, context);
    const { loadConfig } = await import('../config/load.ts');
    const load = () => loadConfig(flags.config ?? null, context.env);
    return await runAgent(chosen, telemetry, stop, load, reloads);
  } catch (error) {
    const code = error instanceof TidegateError ? error.code : 'internal';
    telemetry.report('agentHalted', { code, error: messageOf(error) });
    throw error;
  } finally {
    telemetry.close();
  }
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

function tellWarnings(warnings: readonly Problem[], { report }: Telemetry): void {
  for (const { key, message, line, remedy } of warnings) {
    report('configWarning', { key, line, warning: message, remedy });
  }
}

async function runAgent(
  chosen: Chosen,
  telemetry: Telemetry,
  stop: AbortSignal,
  load: () => Loaded,
  reloads: Reloads,
): Promise<number> {
  const { config, text } = chosen;
  let agent: Agent | null = null;
  let present = config;
  const ports = new Kept<HttpPart>();
  const prepareHttp = (next: Config) => prepareHttpPort(ports, next, telemetry, () => agent);
  try {
    await changeTo(await prepareHttp(config));
    const { startAgent } = await import('../agent.ts');
    const running = await startAgent(config, text, telemetry.report, telemetry);
    agent = running;
    reloads.serve(async () => {
      try {
        const { config: next, text: read, warnings } = load();
        const http = await prepareHttp(next);
        await running.reload(next, read).catch(async (error) => {
          await http.undo();
          throw error;
        });
        present = next;
        telemetry.level = next.log.level;
        telemetry.degraded = null;
        await changeTo(http);
        tellWarnings(warnings, telemetry);
        telemetry.report('configReloaded', { routes: next.routes.length });
      } catch (error) {
        reportRefused(error, telemetry);
      }
    });
    const halt = await Promise.race([aborted(stop), agent.halted]);
    reloads.close();
    if (halt) telemetry.report('agentHalted', haltFields(halt));
    await stopAgent(agent, present.stopWithinMs, telemetry);
    return halt ? halt.exit : exitCodes.ok;
  } finally {
    await ports.close();
  }
}

async function changeTo(change: Change): Promise<void> {
  change.stop();
  change.begin();
  await change.closed();
}

function haltFields(halt: TidegateError): { code: string; error: string; remedy: string } {
  return { code: halt.code, error: halt.message, remedy: halt.remedy };
}

async function prepareHttpPort(
  ports: Kept<HttpPart>,
  { http, gateway }: Config,
  telemetry: Telemetry,
  agent: () => Agent | null,
): Promise<Change> {
  if (!http) return await ports.prepare(new Map());
  const { HttpPart } = await import('./http-part.ts');
  const sources: HttpSources = {
    telemetry,
    gateway,
    version: version(),
    command(action, upstream) {
      const running = agent();
      if (!running) return 'starting';
      return running[action](upstream) ? 'done' : 'unknown';
    },
    dead: () => agent()?.dead ?? null,
  };
  const make = async () => new HttpPart(http.bind, sources);
  return await ports.prepare(new Map([[JSON.stringify(http), make]]));
}

function aborted(signal: AbortSignal): Promise<null> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve(null);
    signal.addEventListener('abort', () => resolve(null), { once: true });
  });
}

async function stopAgent(agent: Agent, withinMs: number, telemetry: Telemetry): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<'late'>((resolve) => {
    timer = setTimeout(() => resolve('late'), withinMs + stopGraceMs);
  });
  const outcome = await Promise.race([agent.stop(), late]);
  clearTimeout(timer);
  if (outcome === 'late') {
    telemetry.report('unexpected', { where: 'stop', error: `not done within ${withinMs} ms` });
  }
}
