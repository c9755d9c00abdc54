/**
 * What the guest tells its host: one JSON object a line, on a virtio serial port.
 *
 *   check          a promise (promises.ts), whether it was seen, and what was seen
 *   step           a part of the work that began or ended, with its time
 *   figure         a number for a table
 *   acknowledged   how far each device's messages are acknowledged: all up to this number
 *   arrived        which of each device's messages are in the upstream's files
 *   end            everything was done; without it the run is not whole
 *
 * A check that throws is told as not seen, and the scenario goes on: one fault must not hide the
 * rest. Writing blocks until the host has taken it, so that what was told was told.
 */
import { openSync, writeSync } from 'node:fs';
import type { PromiseName } from './promises.ts';

export type Detail = Readonly<Record<string, unknown>>;

/** First and last number of each run of numbers. */
export type Ranges = readonly (readonly [number, number])[];

export type Line =
  | ({ readonly kind: 'check'; readonly name: PromiseName; readonly seen: boolean } & CheckRest)
  | { readonly kind: 'step'; readonly text: string; readonly seconds: number | null }
  | { readonly kind: 'figure'; readonly name: string; readonly value: number; unit: string }
  | { readonly kind: 'acknowledged'; readonly upTo: Readonly<Record<string, number>> }
  | { readonly kind: 'arrived'; readonly of: Readonly<Record<string, Arrived>> }
  | { readonly kind: 'end' };

interface CheckRest {
  readonly detail: Detail;
  /** Why it was not seen. */
  readonly because?: string;
}

export interface Arrived {
  readonly numbers: Ranges;
  readonly repeats: number;
  readonly outOfOrder: number;
}

const msPerSecond = 1_000;

/** What was wrong, and the first line of the scenario that found it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const at = error.stack?.split('\n').find((line) => line.includes('/test/guest/')) ?? '';
  return `${error.message}\n${at}`;
}

export class Report {
  readonly #port: number;

  constructor(path: string) {
    this.#port = openSync(path, 'w');
  }

  tell(line: Line): void {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#port, bytes, at);
  }

  figure(name: string, value: number, unit: string): void {
    this.tell({ kind: 'figure', name, value, unit });
  }

  async step<T>(text: string, work: () => Promise<T>): Promise<T> {
    this.tell({ kind: 'step', text, seconds: null });
    const started = performance.now();
    try {
      return await work();
    } finally {
      const seconds = Math.round(performance.now() - started) / msPerSecond;
      this.tell({ kind: 'step', text, seconds });
    }
  }

  /** @param show throws when the promise does not hold */
  async check(name: PromiseName, show: () => Promise<Detail>): Promise<void> {
    try {
      this.tell({ kind: 'check', name, seen: true, detail: await show() });
    } catch (error) {
      this.tell({ kind: 'check', name, seen: false, detail: {}, because: reasonOf(error) });
    }
  }

  /** A part whose end others need: what breaks it is told, and the rest goes on. */
  async part(text: string, work: () => Promise<void>): Promise<void> {
    try {
      await this.step(text, work);
    } catch (error) {
      this.tell({ kind: 'step', text: `${text} broke off: ${reasonOf(error)}`, seconds: null });
    }
  }
}
