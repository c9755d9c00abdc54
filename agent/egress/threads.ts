/**
 * Egress, seen from the main thread: Kafka's lanes have a thread, those of NATS and MQTT have one,
 * and those of files run in the buffer's: they wait for the disk that it waits for, and a thread
 * costs 10 MiB. Each is started only when the config uses it. It keeps the last state of every
 * lane, and passes the operator's pause and resume on.
 */
import type { MessagePort } from 'node:worker_threads';
import type { LaneName, LaneSpec } from '../buffer/protocol.ts';
import type { Config } from '../config/types.ts';
import { TidegateError } from '../errors.ts';
import type { EventName, Fields, Report } from '../events.ts';
import type { LaneStateTold } from './lane-states.ts';
import {
  egressModule,
  ownThread,
  type Place,
  type PlaceEvents,
  stopPlace,
  withBuffer,
} from './place.ts';
import { ThreadTurn } from './thread-turn.ts';

type FromEgress =
  | { readonly kind: 'event'; readonly name: EventName; readonly fields: Fields }
  | ({ readonly kind: 'lane' } & LaneStateTold)
  | { readonly kind: 'turned' | 'stopped' };

export interface EgressParts {
  readonly config: Config;
  readonly lanes: readonly LaneSpec[];
  /** Upstreams that an operator paused before: they stay so. */
  readonly paused: ReadonlySet<string>;
  readonly connectBuffer: (lanes: readonly LaneName[]) => MessagePort;
  /** Runs a module in the buffer's thread. */
  readonly host: (module: string, start: unknown, transfer: readonly MessagePort[]) => MessagePort;
  readonly report: Report;
  readonly changed: (states: readonly LaneStateTold[]) => void;
  readonly failed: (error: TidegateError) => void;
}

export class EgressThreads {
  readonly #parts: EgressParts;
  readonly #states = new Map<LaneName, LaneStateTold>();
  readonly #places: Place[] = [];
  readonly #turns: ThreadTurn[] = [];
  readonly #paused = new Set<string>();
  #stopping = false;

  constructor(parts: EgressParts) {
    this.#parts = parts;
    const { config, lanes, paused } = parts;
    // Lanes of threads before these are not shown any more.
    parts.changed([]);
    const isKafka = (lane: LaneSpec): boolean => config.upstreams[lane.upstream]?.kind === 'kafka';
    const isFile = (lane: LaneSpec): boolean => config.upstreams[lane.upstream]?.kind === 'file';
    this.#start(lanes.filter(isKafka), 'own thread');
    this.#start(lanes.filter(isFile), 'with the buffer');
    this.#start(
      lanes.filter((lane) => !isKafka(lane) && !isFile(lane)),
      'own thread',
    );
    for (const upstream of paused) this.command('pause', upstream);
  }

  get paused(): ReadonlySet<string> {
    return this.#paused;
  }

  /** False: no such upstream. */
  command(kind: 'pause' | 'resume', upstream: string): boolean {
    if (this.#parts.config.upstreams[upstream] === undefined) return false;
    if (kind === 'pause') this.#paused.add(upstream);
    else this.#paused.delete(upstream);
    for (const place of this.#places) place.post({ kind, upstream });
    return true;
  }

  /** For each place: resolves when it comes to its messages, or is gone. */
  turns(): { readonly thread: string; readonly answered: Promise<void> }[] {
    return this.#turns.map((turn) => ({ thread: turn.name, answered: turn.ask() }));
  }

  calm(): void {
    for (const place of this.#places) place.post({ kind: 'calm' });
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#places.map((place) => stopPlace(place)));
  }

  #start(lanes: readonly LaneSpec[], where: 'own thread' | 'with the buffer'): void {
    if (lanes.length === 0) return;
    const { config, connectBuffer, host, failed } = this.#parts;
    const bufferPort = connectBuffer(lanes.map((lane) => lane.lane));
    const { gateway, upstreams, buffer } = config;
    const start = { bufferPath: buffer.path, bufferPort, lanes, upstreams, gateway };
    const events: PlaceEvents = {
      heard: (message) => this.#heard(message as FromEgress, turn),
      failed: (detail) => {
        if (!this.#stopping) failed(new TidegateError('internal', `egress: ${detail}`));
      },
    };
    const place =
      where === 'own thread'
        ? ownThread(start, [bufferPort], events)
        : withBuffer(host(egressModule, start, [bufferPort]), events);
    const turn = new ThreadTurn(place, `egress of ${named(lanes)}`);
    this.#places.push(place);
    this.#turns.push(turn);
  }

  #heard(message: FromEgress, turn: ThreadTurn): void {
    if (message.kind === 'turned') turn.answered();
    if (message.kind === 'event') this.#parts.report(message.name, message.fields);
    if (message.kind !== 'lane') return;
    const { lane, state, since, retries, lastError } = message;
    this.#states.set(lane, { lane, state, since, retries, lastError });
    this.#parts.changed([...this.#states.values()]);
  }
}

function named(lanes: readonly LaneSpec[]): string {
  return [...new Set(lanes.map(({ upstream }) => upstream))].join(', ');
}
