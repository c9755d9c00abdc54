/**
 * The sink of everything the agent reports. An event becomes its log line (rated) and its counter
 * in one call, so that the two cannot differ; figures of the path are added to directly. `/metrics`
 * is written from here, with the buffer's snapshot and the process's own figures.
 *
 * Only the main thread has one; other threads post their events to it.
 */
import { metricsRefreshWithinMs } from '../bounds.ts';
import type { BufferGauges } from '../buffer/protocol.ts';
import { catalogue, type EventName, type Report } from '../events.ts';
import { writeBufferMetrics } from './buffer-metrics.ts';
import { Counter, Histogram } from './counters.ts';
import { Exposition, one, type Sample } from './exposition.ts';
import { type FleetShown, writeFleetMetrics } from './fleet-metrics.ts';
import { type LogOptions, openLog } from './log.ts';
import { ProcessMetrics } from './process-metrics.ts';
import { RatedLines } from './rated.ts';

export type CountedVerdict =
  | 'pass'
  | 'admit'
  | 'hold'
  | 'drop'
  | 'bury'
  | 'refuse'
  | 'repeat'
  | 'deny';

/** What the seats tell of themselves when they are asked. */
export interface SeatsShown {
  /** Devices (and brokers of sources) that a limit or a full disk lets wait. */
  readonly held: readonly string[];
  readonly sources: readonly {
    readonly name: string;
    readonly state: string;
    readonly lastError: string | null;
  }[];
}

/** What a lane's loop is doing, as its egress thread says. */
export interface LaneState {
  readonly lane: string;
  readonly state: string;
  /** Unix time, ms. */
  readonly since: number;
  /** Since its thread started. */
  readonly retries: number;
  readonly lastError: string | null;
}

export interface Telemetry {
  readonly report: Report;
  frames(verdict: CountedVerdict, count: number, protocol?: string): void;
  frameReason(verdict: CountedVerdict, reason: string, count: number): void;
  /** @param seconds COMMIT with its fsync, @param bytes the segment's body */
  commit(seconds: number, bytes: number, frames?: number): void;
  /** Adds to, or with a negative number takes from, the open connections. */
  connections(delta: number): void;
  readonly openConnections: number;
  /** All lanes that are known. */
  setLaneStates(states: readonly LaneState[]): void;
  readonly laneStates: readonly LaneState[];
  /** The buffer's last snapshot; null while it is not open. */
  gaugesSource: () => BufferGauges | null;
  seatsSource: () => SeatsShown;
  /** null: the config names no fleet. */
  fleetSource: () => FleetShown | null;
  /** Error events of the work itself, since the start: what is said of configs does not count. */
  readonly errorEvents: number;
  /** Frames taken since the start. */
  readonly admitted: number;
  /** The least level that is logged. */
  level: LogOptions['level'];
  /** Asks the buffer for a fresh snapshot. */
  refresh: (() => Promise<void>) | null;
  /** Whoever shows the buffer's figures waits for a fresh snapshot, but not for a stalled disk. */
  refreshed(): Promise<void>;
  /** Buffer open and listeners bound. */
  ready: boolean;
  /** What runs other than it was configured; null when nothing does. */
  degraded: 'config' | null;
  /** The whole of /metrics. */
  metrics(): Promise<string>;
  /** Writes what waits and lets go of timers. */
  close(): void;
}

/** Seconds: flash and spinning disks differ by three orders of magnitude. */
const commitBuckets = [
  0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5,
] as const;
const noFrames = {
  ...{ pass: 0, admit: 0, hold: 0, drop: 0, bury: 0, refuse: 0, repeat: 0, deny: 0 },
} as const;

/** Events that say why a frame got its verdict; their reasons are closed lists. */
const verdictEvents: Partial<Record<EventName, CountedVerdict>> = {
  frameRefused: 'refuse',
  messageRefused: 'refuse',
  messageOverrun: 'drop',
  frameDropped: 'drop',
  frameBuried: 'bury',
  frameHeld: 'hold',
  frameDenied: 'deny',
};

class LiveTelemetry implements Telemetry {
  gaugesSource: () => BufferGauges | null = () => null;
  seatsSource: () => SeatsShown = () => ({ held: [], sources: [] });
  fleetSource: () => FleetShown | null = () => null;
  refresh: (() => Promise<void>) | null = null;
  errorEvents = 0;
  ready = false;
  degraded: 'config' | null = null;
  openConnections = 0;
  readonly #log: ReturnType<typeof openLog>;
  readonly #lines: RatedLines;
  readonly #process = new ProcessMetrics();
  readonly #events = new Counter('event');
  /** By protocol: plain numbers, since every frame adds to one. */
  readonly #frames = new Map<string, Record<CountedVerdict, number>>();
  readonly #reasons = new Counter('verdict', 'reason');
  readonly #retries = new Counter('lane', 'upstream');
  readonly #commits = new Histogram(commitBuckets);
  #commitBytes = 0;
  #commitFrames = 0;
  #states: readonly LaneState[] = [];

  constructor(options: LogOptions) {
    this.#log = openLog(options);
    this.#lines = new RatedLines(this.#log.write);
    for (const name of Object.keys(catalogue)) this.#events.add(0, name);
    this.frames('pass', 0);
  }

  readonly report: Report = (name: EventName, fields = {}) => {
    this.#events.add(1, name);
    if (catalogue[name].level === 'error' && !/^(fleet|config)/.test(name)) this.errorEvents += 1;
    const verdict = verdictEvents[name];
    if (verdict) this.frameReason(verdict, String(fields.reason ?? 'limit'), 1);
    if (name === 'frameRefused') this.frames('refuse', 1);
    if (name === 'messageRefused') this.frames('refuse', 1, 'nats');
    if (name === 'messageOverrun') this.frames('drop', 1, 'nats');
    if (this.#log.writes(name)) this.#lines.take(name, fields);
  };

  frames(verdict: CountedVerdict, count: number, protocol = 'mqtt'): void {
    const counts = this.#frames.get(protocol);
    if (counts) counts[verdict] += count;
    else this.#frames.set(protocol, { ...noFrames, [verdict]: count });
  }

  frameReason(verdict: CountedVerdict, reason: string, count: number): void {
    this.#reasons.add(count, verdict, reason);
  }

  commit(seconds: number, bytes: number, frames = 0): void {
    this.#commits.observe(seconds);
    this.#commitBytes += bytes;
    this.#commitFrames += frames;
  }

  connections(delta: number): void {
    this.openConnections += delta;
  }

  get admitted(): number {
    return [...this.#frames.values()].reduce((sum, { admit }) => sum + admit, 0);
  }

  get level(): LogOptions['level'] {
    return this.#log.level;
  }

  set level(level: LogOptions['level']) {
    this.#log.level = level;
  }

  get laneStates(): readonly LaneState[] {
    return this.#states;
  }

  setLaneStates(states: readonly LaneState[]): void {
    for (const { lane, retries } of states) {
      const before = this.#states.find((state) => state.lane === lane)?.retries ?? 0;
      // A thread that started again counts from 0.
      this.#retries.add(retries >= before ? retries - before : retries, lane, upstreamOf(lane));
    }
    this.#states = states;
  }

  async metrics(): Promise<string> {
    await this.refreshed();
    const exposition = new Exposition();
    this.#writePath(exposition);
    this.#writeLanes(exposition);
    const gauges = this.gaugesSource();
    if (gauges) writeBufferMetrics(exposition, gauges);
    const fleet = this.fleetSource();
    if (fleet) writeFleetMetrics(exposition, fleet);
    this.#process.write(exposition);
    return exposition.text();
  }

  /** A stalled disk must not stall the scrape that would show it. */
  async refreshed(): Promise<void> {
    if (!this.refresh) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, metricsRefreshWithinMs);
    });
    await Promise.race([this.refresh().catch(() => {}), late]);
    clearTimeout(timer);
  }

  #writePath(to: Exposition): void {
    to.counter('tidegate_frames_total', 'Frames by verdict of the core.', this.#frameSamples());
    to.counter('tidegate_frame_reasons_total', 'Frames by reason.', this.#reasons.samples());
    const commits = this.#commits.samples();
    const total = commits.at(-1)?.value ?? 0;
    to.counter('tidegate_commits_total', 'Segments committed.', one(total));
    const help = 'Time of a COMMIT with its fsync.';
    to.family('tidegate_commit_seconds', 'histogram', help, commits);
    to.counter(
      'tidegate_commit_bytes_total',
      'Bytes of committed segments.',
      one(this.#commitBytes),
    );
    if (this.#commitFrames > 0) {
      to.counter('tidegate_commit_frames_total', 'Frames committed.', one(this.#commitFrames));
    }
    to.gauge('tidegate_connections', 'Open device connections.', this.openConnections);
    const { held, sources } = this.seatsSource();
    const heldHelp = 'Devices that a limit or a full disk lets wait.';
    to.gauge('tidegate_connections_held', heldHelp, held.length);
    to.gauge(
      'tidegate_source_subscribed',
      '1 while subscribed at the broker of this source.',
      sources.map(({ name, state }) => ({
        labels: { source: name },
        value: state === 'subscribed' ? 1 : 0,
      })),
    );
    to.counter('tidegate_events_total', 'Reported events.', this.#events.samples());
    to.gauge('tidegate_ready', '1 when buffer open and listeners bound.', this.ready ? 1 : 0);
    to.gauge('tidegate_degraded', '1 while running other than configured.', [
      { labels: { reason: 'config' }, value: this.degraded === 'config' ? 1 : 0 },
    ]);
  }

  #frameSamples(): Sample[] {
    return [...this.#frames].flatMap(([protocol, counts]) =>
      Object.entries(counts).map(([verdict, value]) => ({ labels: { verdict, protocol }, value })),
    );
  }

  #writeLanes(to: Exposition): void {
    const retries = this.#retries.samples();
    to.counter('tidegate_egress_retries_total', 'Attempts that were tried again.', retries);
    to.gauge(
      'tidegate_lane_state',
      '1 for the state that the lane is in.',
      this.#states.map(({ lane, state }) => ({
        labels: { lane, upstream: upstreamOf(lane), state },
        value: 1,
      })),
    );
  }

  close(): void {
    this.#lines.flush();
    this.#log.flush();
    this.#process.close();
  }
}

/** A lane is called `<upstream>/<delivery>`. */
function upstreamOf(lane: string): string {
  return lane.slice(0, Math.max(0, lane.lastIndexOf('/')));
}

export function createTelemetry(options: LogOptions): Telemetry {
  return new LiveTelemetry(options);
}
