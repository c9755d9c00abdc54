/**
 * What runs by now, and everything that changes with its config: the agent, the HTTP port, the log
 * level, and the fleet, where more config comes from. There is one road to another config,
 * `#apply`, and whoever takes it has its turn (`reloads.ts`).
 *
 *   SIGHUP   file ▶ with the layers that run over it ▶ apply ▶ the fleet goes on, or begins anew
 *   fleet    file as it was read last ▶ with other layers ▶ apply ▶ confirmed, or taken back
 */
import type { Agent } from '../agent.ts';
import type { Publish } from '../bridge/bridge.ts';
import type { CheckedLayers } from '../config/check.ts';
import type { Layer } from '../config/layers.ts';
import type { Chosen } from '../config/load.ts';
import type { BridgeConfig, Config, Environment, Problem } from '../config/types.ts';
import type { FleetPart } from '../fleet-part.ts';
import { type Change, Kept } from '../kept.ts';
import type { HttpSources } from '../telemetry/http.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { HttpPart } from './http-part.ts';
import { reportRefused, Turns } from './reloads.ts';
import type { ServiceNotify } from './service-notify.ts';
import { version } from './version.ts';

export interface RunningParts {
  /** Of the config file; null: the built-in default. */
  readonly path: string | null;
  readonly chosen: Chosen;
  readonly telemetry: Telemetry;
  readonly env: Environment;
  readonly service: ServiceNotify;
}

/** Key of what a gateway remembers of its fleet in the buffer's meta table. */
export const keptFleetKey = 'fleet';
const stopGraceMs = 2_000;

export class Running {
  readonly #parts: RunningParts;
  readonly #turns = new Turns();
  readonly #ports = new Kept<HttpPart>();
  #agent: Agent | null = null;
  #fleet: FleetPart | null = null;
  #publish: Publish | null = null;
  /** As kept last; undefined: not since the start. */
  #keptFleet: string | undefined;
  #config: Config;
  /** What layers are put over. */
  #local: Layer;
  /** It is what the file says. */
  #localIsFile: boolean;

  constructor(parts: RunningParts) {
    this.#parts = parts;
    const { config, local, refused, source } = parts.chosen;
    this.#config = config;
    this.#local = local;
    this.#localIsFile = refused === null || local.source !== source;
  }

  async start(): Promise<Agent> {
    const { chosen, telemetry, service } = this.#parts;
    service.opening(this.#config.buffer.path);
    await changeTo(await this.#prepareHttp(this.#config));
    const { startAgent } = await import('../agent.ts');
    const { lastLocalKey } = await import('../config/load.ts');
    const agent = await startAgent(this.#config, chosen.text, telemetry.report, telemetry);
    this.#agent = agent;
    const listeners = () => this.#config.mqtt.listeners.length;
    service.ready({ telemetry, listeners, turns: () => agent.turns() });
    agent.keep(lastLocalKey, this.#local.text);
    await this.#openFleet(chosen.text);
    return agent;
  }

  /** SIGHUP: applied whole, or refused whole with every reason, which is reported. */
  reload(): Promise<void> {
    const { telemetry, service } = this.#parts;
    const work = async (): Promise<void> => {
      try {
        await this.#reloadFile();
        this.#localIsFile = true;
        telemetry.degraded = null;
        telemetry.report('configReloaded', { routes: this.#config.routes.length });
      } catch (error) {
        this.#localIsFile = false;
        reportRefused(error, telemetry);
      }
    };
    return this.#turns.take(() => service.reloading(work));
  }

  async #reloadFile(): Promise<void> {
    const { path, env, telemetry } = this.#parts;
    const { lastGoodKey, lastLocalKey, loadConfig } = await import('../config/load.ts');
    const keptLayersFor = await this.#layersKept();
    const { fleet } = this.#config;
    const stays = (next: Config | null): boolean =>
      next === null || JSON.stringify(next.fleet) === JSON.stringify(fleet);
    const layersFor = (alone: Config | null): readonly Layer[] =>
      this.#fleet !== null && stays(alone) ? this.#fleet.layers : keptLayersFor(alone);
    const { config, text, local, warnings } = loadConfig(path, env, layersFor);
    await this.#apply(config);
    this.#local = local;
    tellWarnings(warnings, telemetry);
    this.#agent?.keep(lastLocalKey, local.text);
    if (stays(config)) this.#fleet?.localChanged(text);
    else {
      this.#fleet?.close();
      this.#fleet = null;
      await this.#openFleet(text);
    }
    // What may be taken back is not what an agent starts with.
    if (this.#fleet?.onTrial !== true) this.#agent?.keep(lastGoodKey, text);
  }

  async #layersKept(): Promise<(alone: Config | null) => readonly Layer[]> {
    const { readMeta } = await import('../buffer/meta.ts');
    const kept = this.#keptFleet ?? readMeta(this.#config.buffer.path, keptFleetKey);
    if (kept === undefined) return () => [];
    const { keptLayersFor } = await import('../fleet/memory.ts');
    return (alone) => keptLayersFor(kept, alone);
  }

  /** @throws it is refused whole, the old one runs on */
  async #apply(next: Config): Promise<void> {
    const http = await this.#prepareHttp(next);
    try {
      await this.#agent?.reload(next);
    } catch (error) {
      await http.undo();
      throw error;
    }
    this.#config = next;
    this.#parts.telemetry.level = next.log.level;
    await changeTo(http);
  }

  /** @param text of the whole that runs */
  async #openFleet(text: string): Promise<void> {
    const { fleet, gateway } = this.#config;
    if (fleet === null) return;
    const { env, telemetry, service } = this.#parts;
    const { FleetPart } = await import('../fleet-part.ts');
    const { checkLayers, checkText } = await import('../config/check.ts');
    const { readKept } = await import('../fleet/kept-layers.ts');
    const { readMeta } = await import('../buffer/meta.ts');
    const { lastGoodKey } = await import('../config/load.ts');
    const check = (layers: readonly Layer[]): CheckedLayers =>
      checkLayers(this.#local, layers, env);
    this.#fleet = new FleetPart({
      ...{ config: fleet, gateway, version: version(), telemetry, text, check },
      kept: readKept(this.#keptFleet ?? readMeta(this.#config.buffer.path, keptFleetKey)),
      present: () => this.#config,
      checkWhole: (whole) => checkText(whole, 'last good config', env).config,
      apply: async (config) => {
        await service.reloading(() => this.#apply(config));
        if (this.#localIsFile) telemetry.degraded = null;
      },
      confirmed: (whole) => this.#agent?.keep(lastGoodKey, whole),
      keep: (kept) => {
        this.#keptFleet = kept;
        this.#agent?.keep(keptFleetKey, kept);
      },
      turn: (work) => this.#turns.take(work),
    });
    this.#fleet.open();
  }

  async #prepareHttp({ http, gateway }: Config): Promise<Change> {
    if (!http) return await this.#ports.prepare(new Map());
    const { HttpPart } = await import('./http-part.ts');
    const sources: HttpSources = {
      telemetry: this.#parts.telemetry,
      gateway,
      version: version(),
      command: (action, upstream) => {
        if (!this.#agent) return 'starting';
        return this.#agent[action](upstream) ? 'done' : 'unknown';
      },
      dead: () => this.#agent?.dead ?? null,
      bridge: await this.#bridge(http.bridge),
    };
    const make = async () => new HttpPart(http.bind, sources);
    return await this.#ports.prepare(new Map([[JSON.stringify(http), make]]));
  }

  async #bridge(config: BridgeConfig | null): Promise<HttpSources['bridge']> {
    if (config === null) return () => null;
    const { Bridge, isBridgePath } = await import('../bridge/bridge.ts');
    const { publisherOn } = await import('../bridge-part.ts');
    const bridge = new Bridge(config, this.#parts.telemetry.report, () => {
      const agent = this.#agent;
      if (agent === null) return null;
      // One for as long as the agent runs: it knows the keys of requests.
      this.#publish ??= publisherOn(agent.behindBridge);
      return { publish: this.#publish, holding: agent.holding() };
    });
    return (path) => {
      if (!isBridgePath(path)) return null;
      const { isOpen } = bridge;
      return { isOpen, serve: (request, response) => bridge.serve(request, response, path) };
    };
  }

  /** Bounded: what was acknowledged is on disk. */
  async stop(): Promise<void> {
    const { telemetry, service } = this.#parts;
    const withinMs = this.#config.stopWithinMs;
    service.stopping(withinMs + stopGraceMs);
    this.#fleet?.close();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), withinMs + stopGraceMs);
    });
    const outcome = await Promise.race([this.#agent?.stop(), late]);
    clearTimeout(timer);
    if (outcome === 'late') {
      telemetry.report('unexpected', { where: 'stop', error: `not done within ${withinMs} ms` });
    }
  }

  async close(): Promise<void> {
    await this.#ports.close();
  }
}

async function changeTo(change: Change): Promise<void> {
  change.stop();
  change.begin();
  await change.closed();
}

export function tellWarnings(warnings: readonly Problem[], { report }: Telemetry): void {
  for (const { key, message, line, remedy } of warnings) {
    report('configWarning', { key, line, warning: message, remedy });
  }
}
