/**
 * How this gateway is, looked at once a second: a short memory of it says what was usual before a
 * config was applied. Pure; who looks, and when, is the caller's.
 */
import { fleetHealthMemoryMs } from '../bounds.ts';

export interface Health {
  /** Monotonic. */
  readonly atMs: number;
  /** State of each lane that the config names. */
  readonly lanes: Readonly<Record<string, string>>;
  /** The fleet's own connection to NATS. */
  readonly linked: boolean;
  /** Error events since the start. */
  readonly errors: number;
  readonly backlogBytes: number;
}

/** What was usual. */
export interface Usual {
  readonly before: Health;
  readonly errorsPerSecond: number;
  readonly backlogBytesPerSecond: number;
}

const second = 1_000;

export class HealthMemory {
  #looks: Health[] = [];

  add(look: Health): void {
    const oldest = look.atMs - fleetHealthMemoryMs;
    this.#looks = [...this.#looks.filter(({ atMs }) => atMs >= oldest), look];
  }

  /** @param before how it is now */
  usual(before: Health): Usual {
    const first = this.#looks[0];
    const seconds = first === undefined ? 0 : (before.atMs - first.atMs) / second;
    const rate = (from: number, to: number): number =>
      seconds > 0 ? Math.max(0, (to - from) / seconds) : 0;
    return {
      before,
      errorsPerSecond: rate(first?.errors ?? 0, before.errors),
      backlogBytesPerSecond: rate(first?.backlogBytes ?? 0, before.backlogBytes),
    };
  }

  /** What was usual with another config says nothing of this one. */
  clear(): void {
    this.#looks = [];
  }
}

/** A lane is called `<upstream>/<delivery>`. */
export function upstreamOf(lane: string): string {
  return lane.slice(0, Math.max(0, lane.lastIndexOf('/')));
}

const settling = new Set(['starting', 'connecting']);

/** No lane is still on its way to say whether it can forward. */
export function isSettled({ lanes }: Health): boolean {
  return !Object.values(lanes).some((state) => settling.has(state));
}
