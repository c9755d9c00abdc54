/**
 * Rates log lines, so that a flood of refusals is not a flood of logs: of one kind (an event and
 * the few fields that tell its cases apart) one line leaves every `logLineEveryMs`. What comes in
 * between is counted; when the time is over the latest of it leaves as a line with `suppressed`,
 * the number of lines that did not. So nothing is suppressed without being said, errors included.
 *
 *   idle ──event──▶ line, open ──event──▶ open (counted, latest kept) ──time──▶ line | idle
 */
import { logKindsMax, logLineEveryMs } from '../bounds.ts';
import type { EventName, Fields } from '../events.ts';

/** Fields that tell cases of one event apart: few values each, none chosen by a device. */
const telling = [
  'lane',
  'upstream',
  'reason',
  'state',
  'code',
  'key',
  'listener',
  'protocol',
  'port',
  'route',
] as const;

interface Window {
  readonly name: EventName;
  /** The latest event that was not written. */
  fields: Fields | null;
  waiting: number;
  readonly timer: NodeJS.Timeout;
}

export type WriteLine = (name: EventName, fields: Fields, suppressed: number) => void;

export class RatedLines {
  readonly #write: WriteLine;
  readonly #everyMs: number;
  readonly #open = new Map<string, Window>();

  constructor(write: WriteLine, everyMs: number = logLineEveryMs) {
    this.#write = write;
    this.#everyMs = everyMs;
  }

  take(name: EventName, fields: Fields): void {
    const kind = this.#kindOf(name, fields);
    const window = this.#open.get(kind);
    if (window) {
      window.fields = fields;
      window.waiting += 1;
      return;
    }
    this.#write(name, fields, 0);
    this.#openWindow(kind, name);
  }

  /** Writes what waits. */
  flush(): void {
    for (const window of this.#open.values()) {
      clearTimeout(window.timer);
      this.#writeWaiting(window);
    }
    this.#open.clear();
  }

  #openWindow(kind: string, name: EventName): void {
    const timer = setTimeout(() => this.#over(kind), this.#everyMs);
    timer.unref();
    this.#open.set(kind, { name, fields: null, waiting: 0, timer });
  }

  #over(kind: string): void {
    const window = this.#open.get(kind);
    if (!window) return;
    this.#open.delete(kind);
    if (window.waiting === 0) return;
    this.#writeWaiting(window);
    this.#openWindow(kind, window.name);
  }

  #writeWaiting(window: Window): void {
    if (window.fields) this.#write(window.name, window.fields, window.waiting - 1);
  }

  #kindOf(name: EventName, fields: Fields): string {
    let kind: string = name;
    for (const field of telling) {
      const value = fields[field];
      if (value !== undefined) kind += `\u0000${field}=${value}`;
    }
    return this.#open.size < logKindsMax || this.#open.has(kind) ? kind : name;
  }
}
