/**
 * Counters, gauges and histograms in memory, each with a fixed list of label names. Adding is a map
 * look-up and an addition, since some are added to on the path.
 *
 * Label values are few by design (verdicts, reasons of a closed list, lanes): a name that a device
 * chose never becomes a label.
 */
import type { Sample } from './exposition.ts';

interface Cell {
  readonly labels: Readonly<Record<string, string>>;
  value: number;
}

export class Counter {
  readonly #names: readonly string[];
  readonly #cells = new Map<string, Cell>();

  constructor(...labelNames: readonly string[]) {
    this.#names = labelNames;
  }

  /** @param values one for each label name, in their order */
  add(amount: number, ...values: readonly string[]): void {
    const key = values.length === 1 ? (values[0] as string) : values.join('\u0000');
    const cell = this.#cells.get(key);
    if (cell) cell.value += amount;
    else this.#cells.set(key, { labels: this.#label(values), value: amount });
  }

  #label(values: readonly string[]): Record<string, string> {
    return Object.fromEntries(this.#names.map((name, index) => [name, values[index] ?? '']));
  }

  samples(): Sample[] {
    return [...this.#cells.values()];
  }
}

export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** @param bounds upper bounds of the buckets, ascending; +Inf is added */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = bounds.map(() => 0);
  }

  observe(value: number): void {
    const bucket = this.#bounds.findIndex((bound) => value <= bound);
    if (bucket >= 0) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
    this.#count += 1;
  }

  samples(): Sample[] {
    let below = 0;
    const buckets: Sample[] = this.#bounds.map((bound, index) => {
      below += this.#counts[index] ?? 0;
      return { suffix: '_bucket', labels: { le: String(bound) }, value: below };
    });
    return [
      ...buckets,
      { suffix: '_bucket', labels: { le: '+Inf' }, value: this.#count },
      { suffix: '_sum', labels: {}, value: this.#sum },
      { suffix: '_count', labels: {}, value: this.#count },
    ];
  }
}
