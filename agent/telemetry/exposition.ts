/**
 * The Prometheus text format 0.0.4, written out:
 *
 *   # HELP name text          (backslash and line feed escaped)
 *   # TYPE name counter|gauge|histogram
 *   name{label="value",…} 1   (backslash, quote and line feed escaped)
 *
 * One family is written in one go, as the format wants it. A family without samples is left out.
 */

export interface Sample {
  readonly suffix?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export type MetricType = 'counter' | 'gauge' | 'histogram';

export const expositionContentType = 'text/plain; version=0.0.4; charset=utf-8';

export class Exposition {
  readonly #lines: string[] = [];

  family(name: string, type: MetricType, help: string, samples: readonly Sample[]): void {
    if (samples.length === 0) return;
    this.#lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`);
    for (const { suffix = '', labels, value } of samples) {
      this.#lines.push(`${name}${suffix}${showLabels(labels)} ${showValue(value)}`);
    }
  }

  counter(name: string, help: string, samples: readonly Sample[]): void {
    this.family(name, 'counter', help, samples);
  }

  gauge(name: string, help: string, value: number | readonly Sample[]): void {
    this.family(name, 'gauge', help, typeof value === 'number' ? one(value) : value);
  }

  text(): string {
    return `${this.#lines.join('\n')}\n`;
  }
}

export function one(value: number): Sample[] {
  return [{ labels: {}, value }];
}

function showLabels(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

function showValue(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return '+Inf';
  if (value === Number.NEGATIVE_INFINITY) return '-Inf';
  return String(value);
}
