/**
 * The fleet of a config, put together: the link to NATS, the watch on this gateway's keys, what
 * decides and applies (`fleet/fleet.ts`), and the reports. It waits for nothing: what memory calls
 * good runs already when it opens (promise 5).
 *
 *   link up ▶ all keys read ▶ consider ▶ … ▶ each change ▶ consider
 *   a tick every second or less ▶ how is it, what became of the trial
 */
import {
  fleetGatherMs,
  fleetLookEveryMs,
  fleetReadAgainMs,
  fleetSettleWithinMs,
  fleetTicksPerTrial,
} from './bounds.ts';
import type { BufferGauges } from './buffer/protocol.ts';
import { lanesOf } from './config/derive.ts';
import type { Config } from './config/types.ts';
import type { FleetConfig } from './config/types-nats.ts';
import { messageOf, type TidegateError } from './errors.ts';
import { Choices } from './fleet/choices.ts';
import { Fleet } from './fleet/fleet.ts';
import { type Health, HealthMemory, isSettled } from './fleet/health.ts';
import type { KeptFleet } from './fleet/kept-layers.ts';
import { type CheckLayers, layersOf } from './fleet/layers.ts';
import { Memory } from './fleet/memory.ts';
import { type GatewayReport, keysOf } from './fleet/report.ts';
import { Reporter } from './fleet/reporter.ts';
import { type Counted, composeReport } from './fleet/shown.ts';
import { BucketWatch } from './fleet/watch.ts';
import { connectNats, type NatsConnection, nkeyFromPublic } from './nats-client.ts';
import { NatsLink } from './nats-link.ts';
import type { Telemetry } from './telemetry/telemetry.ts';

export interface FleetNeeds {
  readonly config: FleetConfig;
  readonly gateway: string;
  readonly version: string;
  readonly telemetry: Telemetry;
  readonly kept: KeptFleet;
  /** What runs: the local file with the kept layers. */
  readonly text: string;
  /** What runs by now. */
  readonly present: () => Config;
  readonly check: CheckLayers;
  readonly checkWhole: (text: string) => Config | null;
  readonly apply: (config: Config, text: string) => Promise<void>;
  readonly confirmed: (text: string) => void;
  readonly keep: (text: string) => void;
  readonly turn: (work: () => Promise<void>) => Promise<void>;
}

const settlePollMs = 50;

export class FleetPart {
  readonly #needs: FleetNeeds;
  readonly #fleet: Fleet;
  readonly #link: NatsLink;
  readonly #reporter: Reporter;
  readonly #keys: readonly string[];
  #connection: NatsConnection | null = null;
  #watch: BucketWatch | null = null;
  #counted: Counted | null = null;
  #gather: NodeJS.Timeout | undefined;
  #tick: NodeJS.Timeout | undefined;
  #state: 'away' | 'reading' | 'following' | 'closed' = 'away';

  constructor(needs: FleetNeeds) {
    this.#needs = needs;
    const { config, gateway, telemetry, kept, keep, text } = needs;
    const { report } = telemetry;
    this.#keys = keysOf(gateway, config.groups);
    const memory = new Memory(kept, this.#keys, keep);
    const trusted = new Map(config.trust.map((key) => [key, nkeyFromPublic(key)]));
    const { check, checkWhole, apply, confirmed, turn } = needs;
    const { confirmWithinMs, revertWhen } = config;
    const parts = {
      choices: new Choices({ gateway, keys: this.#keys, trusted, memory, report }),
      ...{ memory, check, checkWhole, apply, confirmed, turn, report },
      health: new HealthMemory(),
      tolerance: { confirmWithinMs, ...revertWhen },
      look: () => this.#look(),
      settled: () => this.#settled(),
      more: (missing: readonly string[]) => this.#watch?.readAll(missing),
      changed: () => this.#reporter.soon(),
    };
    this.#reporter = new Reporter({
      bucket: config.statusBucket,
      everyMs: config.reportEveryMs,
      random: Math.random,
      report,
      compose: () => this.#compose(),
    });
    this.#fleet = new Fleet(parts, text);
    this.#link = new NatsLink({
      client: config,
      connect: connectNats,
      random: Math.random,
      up: (connection) => this.#up(connection),
      down: (error, delayMs) => this.#down(error, delayMs),
      denied: (operation, subject) => this.#denied(operation, subject),
    });
  }

  get layers(): ReturnType<typeof layersOf> {
    return layersOf(this.#fleet.running);
  }

  /** What runs is being watched, and may be taken back. */
  get onTrial(): boolean {
    return this.#fleet.onTrial;
  }

  open(): void {
    const { telemetry, config } = this.#needs;
    telemetry.fleetSource = () => this.#shown();
    const shortest = config.confirmWithinMs / fleetTicksPerTrial;
    this.#nextTick(Math.min(fleetLookEveryMs, shortest));
    this.#link.open();
  }

  localChanged(text: string): void {
    this.#fleet.localChanged(text);
    this.#reporter.soon();
    // Another file may take what it refused before.
    this.#later();
  }

  /** At once: a report that is on its way may be lost. */
  close(): void {
    this.#state = 'closed';
    this.#needs.telemetry.fleetSource = () => null;
    clearTimeout(this.#gather);
    clearTimeout(this.#tick);
    this.#fleet.close();
    this.#reporter.close();
    this.#watch?.close();
    this.#link.stop();
    this.#connection?.destroy();
  }

  #nextTick(everyMs: number): void {
    this.#tick = setTimeout(async () => {
      await this.#guard(this.#fleet.tick());
      if (this.#state !== 'closed') this.#nextTick(everyMs);
    }, everyMs);
  }

  /** A fault of ours in here must not end what carries the events. */
  async #guard(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#needs.telemetry.report('unexpected', { where: 'fleet', error: messageOf(error) });
    }
  }

  async #up(connection: NatsConnection): Promise<void> {
    const { config, telemetry } = this.#needs;
    const watch = new BucketWatch({
      ...{ connection, bucket: config.bucket, keys: this.#keys },
      random: Math.random,
      heard: (key, entries, isAll) => {
        const isEnough = this.#fleet.heard(key, entries, isAll);
        if (isEnough && this.#state === 'following') this.#later();
        return isEnough;
      },
      waiting: (reason) => {
        telemetry.report('fleetWaiting', { bucket: config.bucket, reason });
      },
    });
    this.#connection = connection;
    this.#watch = watch;
    this.#state = 'reading';
    telemetry.report('fleetConnected', { server: connection.server, keys: this.#keys.join(' ') });
    this.#reporter.connected(connection);
    await watch.open();
    if (this.#watch !== watch) return;
    this.#state = 'following';
    this.#later();
  }

  #down(error: TidegateError, delayMs: number): void {
    if (this.#state === 'closed') return;
    this.#state = 'away';
    this.#watch?.close();
    this.#watch = null;
    this.#connection = null;
    this.#reporter.disconnected();
    const { message, remedy } = error;
    this.#needs.telemetry.report('fleetUnreachable', { error: message, remedy, delayMs });
  }

  /** What is published is refused where it is waited for. */
  #denied(operation: string, subject: string): void {
    if (operation !== 'subscription') return;
    const { config, telemetry } = this.#needs;
    const reason = `may not subscribe to ${subject}: read once in ${fleetReadAgainMs} ms`;
    telemetry.report('fleetWaiting', { bucket: config.bucket, reason });
  }

  /** Entries that come together are applied together; those that never end are not waited for. */
  #later(): void {
    if (this.#gather !== undefined || this.#state === 'closed') return;
    this.#gather = setTimeout(() => {
      this.#gather = undefined;
      void this.#guard(this.#fleet.consider());
    }, fleetGatherMs);
  }

  async #settled(): Promise<void> {
    const until = performance.now() + fleetSettleWithinMs;
    while (!isSettled(this.#look()) && performance.now() < until && this.#state !== 'closed') {
      await new Promise((resolve) => setTimeout(resolve, settlePollMs));
    }
  }

  #look(): Health {
    const { telemetry, present } = this.#needs;
    const states = new Map(telemetry.laneStates.map(({ lane, state }) => [lane, state]));
    const lanes = lanesOf(present()).map(({ lane }) => [lane, states.get(lane) ?? 'starting']);
    return {
      atMs: performance.now(),
      lanes: Object.fromEntries(lanes) as Record<string, string>,
      linked: this.#state === 'reading' || this.#state === 'following',
      errors: telemetry.errorEvents,
      backlogBytes: sum(telemetry.gaugesSource(), 'backlogBytes'),
    };
  }

  #compose(): GatewayReport {
    const { gateway, version, config, telemetry } = this.#needs;
    const gauges = telemetry.gaugesSource();
    const health = this.#look();
    const frames = telemetry.admitted;
    const shown = {
      ...{ gateway, version, groups: config.groups, everyMs: config.reportEveryMs },
      layers: this.#fleet.layers,
      hash: this.#fleet.hash,
      well: telemetry.ready && telemetry.degraded === null,
      backlogFrames: sum(gauges, 'backlogFrames'),
      frames,
      uptimeSeconds: process.uptime(),
    };
    const report = composeReport(shown, health, this.#counted, Date.now());
    this.#counted = { atMs: health.atMs, frames, errors: health.errors };
    return report;
  }

  #shown(): ReturnType<Telemetry['fleetSource']> {
    const { lastError } = this.#link;
    const connected = this.#state === 'following';
    return { connected, lastError, hash: this.#fleet.hash, layers: this.#fleet.layers };
  }
}

/** Of the lanes that the config names. */
function sum(gauges: BufferGauges | null, what: 'backlogBytes' | 'backlogFrames'): number {
  const lanes = gauges?.lanes.filter(({ configured }) => configured) ?? [];
  return lanes.reduce((total, lane) => total + lane[what], 0);
}
