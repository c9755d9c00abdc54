/**
 * The composition root: builds the rooms against the way that bytes travel (what a room needs
 * stands before it), and takes them down in the order that bytes travel.
 *
 *   buffer → core and routes → egress threads → path → seats (brokers, listeners, sources) → ready
 *   stop: seats take no more bytes → commit and acknowledge → seats close → egress → buffer
 *   reload: all that can fail (does it fit, files, addresses) → lanes on disk → at one point
 *     between two chunks: seats that go stop, rules and routes change, new seats begin → egress
 *     threads, if an upstream changed. What is refused is refused before that point (promise 7).
 *
 * It starts with everything down (promise 5): nothing here waits for an upstream or a broker.
 */
import { LogAppender } from './appender.ts';
import type { BridgeNeeds } from './bridge-part.ts';
import { type BufferPort, openBuffer } from './buffer/buffer.ts';
import { Calm } from './calm.ts';
import { bufferOptionsOf, lanesOf, restartKeys, routeDefinitionsOf } from './config/derive.ts';
import { lastGoodKey } from './config/load.ts';
import type { Config } from './config/types.ts';
import { EgressThreads } from './egress/threads.ts';
import { messageOf, TidegateError } from './errors.ts';
import type { Report } from './events.ts';
import { PathCore } from './frames/path-core.ts';
import { giveBackMemory } from './heap-flags.ts';
import { systemClock } from './ingress/clock.ts';
import { HoldQueue } from './ingress/hold-queue.ts';
import { Pipeline } from './pipeline.ts';
import { allowRulesOf, Seats, type SeatsChange } from './seats.ts';
import type { DeadLetters } from './telemetry/http-dead.ts';
import type { Telemetry } from './telemetry/telemetry.ts';
import type { Turn } from './watchdog.ts';

export interface Agent {
  stop(): Promise<void>;
  /** @throws TidegateError: the new config is refused whole, the old one runs on */
  reload(config: Config): Promise<void>;
  /** Writes it to the buffer's meta table, before all that is written from now on. */
  keep(key: string, text: string): void;
  /** Resolves when the agent cannot go on; the process must end with the error's exit code. */
  readonly halted: Promise<TidegateError>;
  pause(upstream: string): boolean;
  resume(upstream: string): boolean;
  /** Asks every thread whether its loop turns. */
  turns(): readonly Turn[];
  /** Dead letters, replayed and discarded. */
  readonly dead: DeadLetters;
  /** What the bridge stands on: events of services are taken as those of devices are. */
  readonly behindBridge: BridgeNeeds;
  /** Why nothing can be stored now; null: it can. */
  holding(): string | null;
}

/** @throws TidegateError bindFailed, bufferLocked and the other reasons not to start */
export async function startAgent(
  config: Config,
  configText: string,
  report: Report,
  telemetry: Telemetry,
): Promise<Agent> {
  const lanes = lanesOf(config);
  const start = { options: bufferOptionsOf(config), lanes, routes: routeDefinitionsOf(config) };
  const buffer = await openBuffer(start, report);
  const agent = new RunningAgent(config, buffer, report, telemetry);
  try {
    await agent.open(configText);
  } catch (error) {
    await agent.close();
    throw error;
  }
  return agent;
}

class RunningAgent implements Agent {
  readonly #report: Report;
  readonly #telemetry: Telemetry;
  readonly #buffer: BufferPort;
  readonly #core = new PathCore();
  readonly #path: Pipeline;
  readonly #seats: Seats;
  readonly dead: DeadLetters;
  readonly behindBridge: BridgeNeeds;
  readonly #halted = Promise.withResolvers<TidegateError>();
  readonly #calm: Calm;
  #config: Config;
  #egress: EgressThreads;
  #closing = false;

  constructor(config: Config, buffer: BufferPort, report: Report, telemetry: Telemetry) {
    this.#config = config;
    this.#buffer = buffer;
    this.#report = report;
    this.#telemetry = telemetry;
    buffer.onFailed(this.#halted.resolve);
    this.#core.installRoutes(config.routes, buffer.opened.routeIds);
    this.#egress = this.#openEgress(config, new Set());
    const clock = systemClock(buffer.opened.livedMs);
    const appender = this.#appender();
    this.#path = new Pipeline({
      core: this.#core,
      buffer: appender,
      telemetry,
      holds: new HoldQueue(),
      clock,
      commitEveryMs: config.buffer.commitEveryMs,
    });
    this.dead = appender.deadLetters(this.#path, clock, report);
    const { sessions: stored } = buffer.opened;
    this.behindBridge = { path: this.#path, report, stored, lived: () => clock.lived() };
    const connectionsChanged = (delta: number): void => telemetry.connections(delta);
    const parts = { core: this.#core, path: this.#path, report, connectionsChanged };
    this.#seats = new Seats(parts, buffer.opened.sessions);
    this.#calm = new Calm(
      () => telemetry.admitted,
      () => this.#giveBack(),
    );
  }

  get halted(): Promise<TidegateError> {
    return this.#halted.promise;
  }

  async open(configText: string): Promise<void> {
    const telemetry = this.#telemetry;
    telemetry.gaugesSource = () => this.#buffer.gauges();
    telemetry.refresh = async () => {
      await this.#buffer.stat();
    };
    telemetry.seatsSource = () => ({ held: this.#seats.held, sources: this.#seats.sources });
    const change = await this.#seats.prepare(this.#config);
    change.begin(() => {});
    await change.closed();
    this.#buffer.putMeta(lastGoodKey, configText);
    telemetry.ready = true;
    this.#report('agentReady', { gateway: this.#config.gateway });
  }

  async reload(config: Config): Promise<void> {
    const keys = restartKeys(this.#config, config);
    if (keys.length > 0) {
      const detail = `${keys.join(' and ')} cannot change while the agent runs`;
      throw new TidegateError('reloadNeedsRestart', detail);
    }
    PathCore.assertFits(config.routes, allowRulesOf(config).filters);
    const change = await this.#seats.prepare(config);
    const routeIds = await this.#configureBuffer(config, change);
    change.begin(() => this.#path.install(config.routes, routeIds));
    this.#path.commitEveryMs = config.buffer.commitEveryMs;
    const before = this.#config;
    this.#config = config;
    try {
      await Promise.all([change.closed(), this.#changeEgress(before, config)]);
    } catch (error) {
      // The new config runs already, and not the whole of it: a restart makes it one.
      const halt = new TidegateError('internal', messageOf(error), { cause: error });
      this.#halted.resolve(halt);
      throw halt;
    }
  }

  keep(key: string, text: string): void {
    this.#buffer.putMeta(key, text);
  }

  /** @returns the stored ids of the routes */
  async #configureBuffer(config: Config, change: SeatsChange): Promise<readonly number[]> {
    const [lanes, definitions] = [lanesOf(config), routeDefinitionsOf(config)];
    try {
      const ids = await this.#buffer.configure(lanes, definitions, bufferOptionsOf(config));
      if (this.#closing) throw new TidegateError('stopping', 'the agent is stopping');
      return ids;
    } catch (error) {
      await change.undo();
      throw error;
    }
  }

  async #changeEgress(before: Config, after: Config): Promise<void> {
    const of = (config: Config): string => JSON.stringify([config.upstreams, lanesOf(config)]);
    if (of(before) === of(after)) return;
    const old = this.#egress;
    await old.stop();
    if (!this.#closing) this.#egress = this.#openEgress(after, old.paused);
  }

  pause(upstream: string): boolean {
    return this.#egress.command('pause', upstream);
  }

  resume(upstream: string): boolean {
    return this.#egress.command('resume', upstream);
  }

  holding(): string | null {
    return this.#closing ? 'stopping' : this.#buffer.gauges().holding;
  }

  turns(): readonly Turn[] {
    const buffer = { thread: 'buffer', answered: this.#buffer.stat() };
    return [buffer, ...this.#egress.turns()];
  }

  async stop(): Promise<void> {
    this.#telemetry.ready = false;
    this.#report('agentStopping', {});
    await this.close();
    this.#report('agentStopped', {});
  }

  /** All threads of it. */
  #giveBack(): void {
    giveBackMemory();
    this.#buffer.calm();
    this.#egress.calm();
  }

  /** In the order that bytes travel; never waits for an upstream. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#calm.close();
    this.#seats.stop();
    await this.#path.flush(this.#config.stopWithinMs);
    await this.#seats.close();
    await this.#egress.stop();
    await this.#buffer.stop();
  }

  #openEgress(config: Config, paused: ReadonlySet<string>): EgressThreads {
    return new EgressThreads({
      ...{ config, paused },
      lanes: lanesOf(config),
      report: this.#report,
      connectBuffer: (names) => this.#buffer.connectEgress(names),
      host: (...guest) => this.#buffer.host(...guest),
      changed: (states) => this.#telemetry.setLaneStates(states),
      failed: this.#halted.resolve,
    });
  }

  #appender(): LogAppender {
    return new LogAppender(this.#buffer, ({ sequence, commitSeconds, bytes }) => {
      if (sequence !== null) this.#telemetry.commit(commitSeconds, bytes);
      const frames = this.#core.core.overflows();
      if (frames > 0) this.#report('limitOverflow', { frames });
    });
  }
}
