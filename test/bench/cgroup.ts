/**
 * A small box inside this one: a control group with a bound on memory and on processor time, as
 * `MemoryMax=` and `CPUQuota=` of systemd set it, for cgroup v2 and v1. Needs root and controllers
 * that this machine lets us use; where it does not, `smallBox` says why.
 */
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SmallBox {
  /** Before a command: it runs inside. */
  readonly prefix: readonly string[];
  /** Times the kernel ended a process inside for memory. */
  kills(): number;
  close(): void;
}

const root = '/sys/fs/cgroup';
const name = `tidegate-footprint-${process.pid}`;
const periodMicros = 100_000;

/** @param share of one core @returns a sentence where it cannot be made */
export function smallBox(memoryBytes: number, share: number): SmallBox | string {
  try {
    return existsSync(join(root, 'cgroup.controllers'))
      ? unified(memoryBytes, share)
      : split(memoryBytes, share);
  } catch (error) {
    return `control groups cannot be used here: ${(error as Error).message}`;
  }
}

function unified(memoryBytes: number, share: number): SmallBox {
  writeFileSync(join(root, 'cgroup.subtree_control'), '+memory +cpu');
  const group = join(root, name);
  mkdirSync(group);
  writeFileSync(join(group, 'memory.max'), String(memoryBytes));
  writeFileSync(join(group, 'cpu.max'), `${share * periodMicros} ${periodMicros}`);
  return boxOf([group], () => count(join(group, 'memory.events'), 'oom_kill'));
}

function split(memoryBytes: number, share: number): SmallBox {
  const [memory, cpu] = [join(root, 'memory', name), join(root, 'cpu', name)];
  mkdirSync(memory);
  mkdirSync(cpu);
  writeFileSync(join(memory, 'memory.limit_in_bytes'), String(memoryBytes));
  writeFileSync(join(cpu, 'cpu.cfs_period_us'), String(periodMicros));
  writeFileSync(join(cpu, 'cpu.cfs_quota_us'), String(share * periodMicros));
  return boxOf([memory, cpu], () => count(join(memory, 'memory.oom_control'), 'oom_kill'));
}

function boxOf(groups: readonly string[], kills: () => number): SmallBox {
  const enter = groups.map((group) => `echo $$ > ${group}/cgroup.procs`).join(' && ');
  return {
    prefix: ['/bin/sh', '-c', `${enter} && exec "$@"`, 'sh'],
    kills,
    close: () => {
      for (const group of groups) rmdirSync(group);
    },
  };
}

function count(file: string, key: string): number {
  const found = new RegExp(`^${key} (\\d+)`, 'm').exec(readFileSync(file, 'utf8'));
  return Number(found?.[1] ?? 0);
}
