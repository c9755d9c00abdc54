/**
 * `tidegate run`: config → telemetry → HTTP port → agent, until a signal or a halt.
 *
 *   starting ──▶ running ──SIGTERM──▶ stopping ──▶ exit 0
 *      └──────────┴──halt──▶ stopping ──▶ exit code of the error
 *
 * SIGHUP reads the config file again: applied whole (`agent.ts` says to what), or refused whole
 * with every reason, and the old one runs on. The HTTP port opens first, so that an agent that is
 * still starting can be asked. Stopping is bounded by stopWithin and a grace: what was
 * acknowledged is on disk, so that an end at any moment is safe, and what was not will be sent
 * again.
 */
import type { Command } from 'commander';
import type { Agent } from '../agent.ts';
import type { Chosen } from '../config/load.ts';
import type { Config, Environment } from '../config/types.ts';
import { exitCodes, messageOf, TidegateError } from '../errors.ts';
import type { HttpPort } from '../telemetry/http.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { CliContext, JsonOption, Perform } from './context.ts';
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
    return await runAgent(chosen, telemetry, stop, (reload) => {
      context.onReload(() => reload(flags.config ?? null, context.env));
    });
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
  for (const { key, message, line, remedy } of warnings) {
    report('configWarning', { key, line, warning: message, remedy });
  }
  const { gateway, routes, upstreams } = config;
  const counts = { routes: routes.length, upstreams: Object.keys(upstreams).length };
  report('configLoaded', { source, gateway, ...counts });
}

type Reload = (path: string | null, env: Environment) => void;

async function runAgent(
  chosen: Chosen,
  telemetry: Telemetry,
  stop: AbortSignal,
  onReload: (reload: Reload) => void,
): Promise<number> {
  const { config, text } = chosen;
  let agent: Agent | null = null;
  let http = await openHttpPort(config, telemetry, () => agent);
  try {
    const { startAgent } = await import('../agent.ts');
    const running = await startAgent(config, text, telemetry.report, telemetry);
    agent = running;
    let present = config;
    const reload = async (path: string | null, env: Environment): Promise<void> => {
      const { loadConfig } = await import('../config/load.ts');
      const loaded = loadConfig(path, env);
      const next = loaded.config;
      await running.reload(next, loaded.text);
      if (JSON.stringify(next.http) !== JSON.stringify(present.http)) {
        await http?.close();
        http = await openHttpPort(next, telemetry, () => agent);
      }
      telemetry.level = next.log.level;
      telemetry.degraded = null;
      present = next;
      telemetry.report('configReloaded', { routes: next.routes.length });
    };
    onReload(oneAtATime(reload, telemetry));
    const halt = await Promise.race([aborted(stop), agent.halted]);
    if (halt) telemetry.report('agentHalted', haltFields(halt));
    await stopAgent(agent, present.stopWithinMs, telemetry);
    return halt ? halt.exit : exitCodes.ok;
  } finally {
    await http?.close();
  }
}

/** A refused config is reported, and what runs goes on. */
function oneAtATime(
  reload: (path: string | null, env: Environment) => Promise<void>,
  telemetry: Telemetry,
): Reload {
  let before: Promise<void> = Promise.resolve();
  return (path, env) => {
    before = before
      .then(() => reload(path, env))
      .catch((error) => {
        const remedy = error instanceof TidegateError ? error.remedy : '';
        telemetry.report('configRefused', { detail: messageOf(error), remedy });
      });
  };
}

function haltFields(halt: TidegateError): { code: string; error: string; remedy: string } {
  return { code: halt.code, error: halt.message, remedy: halt.remedy };
}

async function openHttpPort(
  { http, gateway }: Config,
  telemetry: Telemetry,
  agent: () => Agent | null,
): Promise<HttpPort | null> {
  if (!http) return null;
  const { openHttp } = await import('../telemetry/http.ts');
  return openHttp(http.bind, {
    telemetry,
    gateway,
    version: version(),
    command(action, upstream) {
      const running = agent();
      if (!running) return 'starting';
      return running[action](upstream) ? 'done' : 'unknown';
    },
    dead: () => agent()?.dead ?? null,
  });
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
