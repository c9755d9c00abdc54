/**
 * What the process itself takes: CPU of all threads, memory, and how late the main thread's event
 * loop comes to a timer. The delay's figures are since the last scrape.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Exposition } from './exposition.ts';

/** The histogram records the whole interval between two ticks: this much of it is no delay. */
const resolutionMs = 20;
const nanosPerSecond = 1e9;
const microsPerSecond = 1e6;
const msPerSecond = 1e3;
const quantiles = [0.5, 0.99] as const;
const percent = 100;

export class ProcessMetrics {
  readonly #delay = monitorEventLoopDelay({ resolution: resolutionMs });
  readonly #startSeconds = Date.now() / msPerSecond - process.uptime();

  constructor() {
    this.#delay.enable();
  }

  write(exposition: Exposition): void {
    this.#writeDelay(exposition);
    const { user, system } = process.cpuUsage();
    exposition.counter('tidegate_process_cpu_seconds_total', 'CPU time of all threads.', [
      { labels: { mode: 'user' }, value: user / microsPerSecond },
      { labels: { mode: 'system' }, value: system / microsPerSecond },
    ]);
    const { rss, heapUsed, external } = process.memoryUsage();
    const memory: [string, string, number][] = [
      ['resident_memory_bytes', 'Resident memory of the process.', rss],
      ['heap_bytes', 'JavaScript heap of the main thread in use.', heapUsed],
      ['external_memory_bytes', 'Memory outside of the heap held by the main thread.', external],
    ];
    for (const [name, help, value] of memory) {
      exposition.gauge(`tidegate_process_${name}`, help, value);
    }
    const help = 'Unix time at which the process started.';
    exposition.gauge('tidegate_process_start_time_seconds', help, this.#startSeconds);
  }

  #writeDelay(exposition: Exposition): void {
    const delay = this.#delay;
    const help = 'Delay of the main event loop since the last scrape.';
    const known = delay.count > 0;
    const at = (nanos: number): number =>
      known ? Math.max(0, nanos / nanosPerSecond - resolutionMs / msPerSecond) : 0;
    exposition.gauge('tidegate_event_loop_delay_seconds', help, [
      ...quantiles.map((quantile) => ({
        labels: { quantile: String(quantile) },
        value: at(delay.percentile(quantile * percent)),
      })),
      { labels: { quantile: '1' }, value: at(delay.max) },
    ]);
    delay.reset();
  }

  close(): void {
    this.#delay.disable();
  }
}
