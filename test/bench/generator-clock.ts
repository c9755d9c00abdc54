/**
 * When a load is measured, and what is read at the edges of that time: the warm-up, the measured
 * seconds, the end, in which what is on its way still comes back. What the server's process used is
 * read from /proc by the generator's process, at the very edges.
 */
import type { RecordableHistogram } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuMicros, peakRssKib, writtenBytes } from '../support/process.ts';

export interface Load {
  readonly port: number;
  /** The server's process. */
  readonly pid: number;
  readonly connections: number;
  readonly inFlight: number;
  readonly payloadBytes: number;
  /** Not measured, before what is. */
  readonly warmUpSeconds: number;
  readonly seconds: number;
}

export interface Measured {
  readonly acknowledged: number;
  readonly seconds: number;
  readonly cpuMicros: number;
  readonly peakRssKib: number;
  readonly writtenBytes: number;
  readonly pubackMsP50: number;
  readonly pubackMsP99: number;
  /** Warm-up included: everything a server behind has to carry. */
  readonly acknowledgedInAll: number;
}

/** One connection of a generator. */
export interface Sender {
  readonly acknowledged: number;
  readonly inFlight: number;
  measuring: boolean;
  running: boolean;
  close(): void;
}

const stopWithinMs = 10_000;
const microsPerMs = 1_000;
const pollMs = 20;

export async function measure(
  load: Load,
  lines: readonly Sender[],
  latency: RecordableHistogram,
): Promise<Measured> {
  const acknowledged = () => lines.reduce((sum, line) => sum + line.acknowledged, 0);
  await sleep(load.warmUpSeconds * 1000);
  const began = { at: performance.now(), count: acknowledged(), ...usage(load.pid) };
  for (const line of lines) line.measuring = true;
  await sleep(load.seconds * 1000);
  const ended = { at: performance.now(), count: acknowledged(), ...usage(load.pid) };
  for (const line of lines) {
    line.measuring = false;
    line.running = false;
  }
  const deadline = performance.now() + stopWithinMs;
  while (lines.some((line) => line.inFlight > 0) && performance.now() < deadline)
    await sleep(pollMs);
  const inAll = acknowledged();
  for (const line of lines) line.close();
  return {
    acknowledged: ended.count - began.count,
    seconds: (ended.at - began.at) / 1000,
    cpuMicros: ended.cpu - began.cpu,
    peakRssKib: peakRssKib(load.pid),
    writtenBytes: ended.written - began.written,
    pubackMsP50: latency.percentile(50) / microsPerMs,
    pubackMsP99: latency.percentile(99) / microsPerMs,
    acknowledgedInAll: inAll,
  };
}

function usage(pid: number): { cpu: number; written: number } {
  return { cpu: cpuMicros(pid), written: writtenBytes(pid) };
}
