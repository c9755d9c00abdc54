/**
 * What the operating system says of a process: memory, processor time, bytes to the disk. Read from
 * /proc, so that a program is measured the same way whatever it is written in.
 */
import { readFileSync } from 'node:fs';

/** USER_HZ: fixed at 100 for /proc on Linux. */
const ticksPerSecond = 100;
const microsPerTick = 1_000_000 / ticksPerSecond;
const userField = 11;
const systemField = 12;

function field(text: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(text)?.[1];
  if (value === undefined) throw new Error(`/proc has no ${name}`);
  return Number(value);
}

export function rssKib(pid: number): number {
  return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmRSS');
}

/** High-water mark of VmRSS since the start, or since `resetPeakRss`. */
export function peakRssKib(pid: number): number {
  return field(readFileSync(`/proc/${pid}/status`, 'utf8'), 'VmHWM');
}

/** User + system of all threads, dead ones included. */
export function cpuMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[userField]) + Number(fields[systemField])) * microsPerTick;
}

/** Bytes this process caused to be written to the block layer. */
export function writtenBytes(pid: number): number {
  return field(readFileSync(`/proc/${pid}/io`, 'utf8'), 'write_bytes');
}
