/**
 * The seats of a config: MQTT listeners, with what stands behind each and who may come in, and
 * sources at MQTT brokers and NATS servers. Made from the config, and changed with it: a seat whose
 * part of the config is the same stays, with its connections. A change is prepared (all that can
 * fail), then made at one point between two chunks, together with the routes.
 */
import type { Duplex } from 'node:stream';
import { closeWithinMs, partialPacketsBytes } from './bounds.ts';
import type { EmbeddedBroker } from './broker/embedded.ts';
import * as topicFilters from './config/topic-filter.ts';
import type { Config } from './config/types.ts';
import type { Report } from './events.ts';
import type { PathCore } from './frames/path-core.ts';
import { AllowRules } from './ingress/allow.ts';
import { PartialBudget } from './ingress/partials.ts';
import { Sessions } from './ingress/sessions.ts';
import { Wills } from './ingress/wills.ts';
import { type Change, Kept } from './kept.ts';
import { ListenerPart } from './listener-part.ts';
import { makeNatsSource } from './nats-source-part.ts';
import type { Pipeline } from './pipeline.ts';
import { makeMqttSource, type SourcePart } from './source-part.ts';

export interface SeatParts {
  readonly core: PathCore;
  readonly path: Pipeline;
  readonly report: Report;
  readonly connectionsChanged: (delta: number) => void;
}

export interface SeatsChange {
  /** @param install puts the routes of the same config in place */
  begin(install: () => void): void;
  /** Resolves when the seats that had to go are gone, and new sources have begun. */
  closed(): Promise<void>;
  /** In the place of both: everything as before. */
  undo(): Promise<void>;
}

export class Seats {
  readonly #parts: SeatParts;
  readonly #partials = new PartialBudget(partialPacketsBytes);
  readonly #listeners = new Kept<ListenerPart>();
  readonly #sources = new Kept<SourcePart>();
  readonly #sessions: Sessions;
  readonly #wills: Wills;
  #broker: EmbeddedBroker | null = null;

  /** @param stored session rows of the buffer: what earlier runs left */
  constructor(parts: SeatParts, stored: ConstructorParameters<typeof Sessions>[0]) {
    this.#parts = parts;
    this.#sessions = new Sessions(stored, parts.path);
    this.#wills = new Wills(parts.path, parts.report);
    this.#wills.restore(stored);
  }

  /** Devices, and brokers of sources, that a limit or a full disk lets wait. */
  get held(): string[] {
    const devices = this.#listeners.parts.flatMap(({ listener }) => listener.heldDevices);
    const sources = this.#sources.parts.filter(({ source }) => source.held);
    return [...devices, ...sources.map(({ source }) => source.name)];
  }

  get sources(): { name: string; state: string; lastError: string | null }[] {
    return this.#sources.parts.map(({ source: { name, state, lastError } }) => {
      return { name, state, lastError };
    });
  }

  /** @throws TidegateError bindFailed, or what else hinders a seat; then nothing has changed */
  async prepare(config: Config): Promise<SeatsChange> {
    const allow = allowRulesOf(config);
    const listeners = await this.#prepareListeners(config, allow);
    let sources: Change;
    try {
      sources = await this.#prepareSources(config);
    } catch (error) {
      await listeners.undo();
      throw error;
    }
    return {
      begin: (install) => {
        listeners.stop();
        sources.stop();
        this.#parts.core.installAllow(allow.filters);
        this.#regroup(config, allow);
        install();
        listeners.begin();
      },
      closed: async () => {
        await Promise.all([listeners.closed(), this.#changeSources(sources)]);
      },
      undo: async () => {
        await Promise.all([listeners.undo(), sources.undo()]);
      },
    };
  }

  async #prepareListeners(config: Config, allow: AllowRules): Promise<Change> {
    const { listeners } = config.mqtt;
    if (listeners.some(({ broker }) => broker === 'embedded')) await this.#openBroker();
    const connectEmbedded = (): Duplex => (this.#broker as EmbeddedBroker).connect();
    const shared = { partials: this.#partials, sessions: this.#sessions, wills: this.#wills };
    const needs = { ...this.#parts, ...shared, connectEmbedded };
    const keys = keysOf(listeners);
    return await this.#listeners.prepare(
      new Map(
        listeners.map((listener, index) => {
          return [keys[index] ?? '', () => ListenerPart.make(listener, needs, { allow, index })];
        }),
      ),
    );
  }

  async #prepareSources({ mqtt, nats, gateway }: Config): Promise<Change> {
    const needs = { ...this.#parts, sessions: this.#sessions, gateway };
    const makes = [
      ...mqtt.sources.map((source) => () => makeMqttSource(source, needs)),
      ...nats.sources.map((source) => () => makeNatsSource(source, needs)),
    ];
    const keys = keysOf([...mqtt.sources, ...nats.sources]);
    return await this.#sources.prepare(
      new Map(makes.map((make, index) => [keys[index] ?? '', make])),
    );
  }

  async #openBroker(): Promise<void> {
    if (this.#broker !== null) return;
    const { EmbeddedBroker } = await import('./broker/embedded.ts');
    const { core, report } = this.#parts;
    const changed = (filters: readonly string[]): void => core.setLocalFilters(filters);
    this.#broker = await EmbeddedBroker.open(changed, report);
  }

  /** Connections that stay were given bits of the rules before. */
  #regroup(config: Config, allow: AllowRules): void {
    for (const [index, key] of keysOf(config.mqtt.listeners).entries()) {
      this.#listeners.part(key)?.regroup({ allow, index });
    }
  }

  /** The new one of a source that changed may be the same client: the old one leaves first. */
  async #changeSources(change: Change): Promise<void> {
    if (change.takes) await this.#parts.path.flush(closeWithinMs);
    await change.closed();
    change.begin();
  }

  /** No more bytes are taken: what was taken can now be committed and acknowledged. */
  stop(): void {
    this.#wills.close();
    this.#listeners.stop();
    this.#sources.stop();
  }

  /** Everything taken is on disk. */
  async close(): Promise<void> {
    await this.#sources.close();
    await this.#listeners.close();
    await this.#broker?.close();
  }
}

export function allowRulesOf({ mqtt }: Config): AllowRules {
  return new AllowRules(mqtt.listeners, topicFilters);
}

/** All that each seat is made from; two equal ones (on port 0) differ by number. */
function keysOf(seats: readonly object[]): string[] {
  const seen = new Map<string, number>();
  return seats.map((seat) => {
    const written = JSON.stringify(seat);
    const nth = seen.get(written) ?? 0;
    seen.set(written, nth + 1);
    return `${nth} ${written}`;
  });
}
