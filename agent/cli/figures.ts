/**
 * Sizes, durations and counts for people: rough where the exact figure says less. Programs are
 * given the exact ones by `--json`.
 */
import { GIB, KIB, MIB } from '../bounds.ts';

const sizes = [
  ['GiB', GIB],
  ['MiB', MIB],
  ['KiB', KIB],
] as const;

export function roughSize(bytes: number): string {
  const step = sizes.find(([, factor]) => bytes >= factor);
  return step ? `${(bytes / step[1]).toFixed(1)} ${step[0]}` : `${bytes} B`;
}

const secondMs = 1_000;
const durations = [
  ['d', 86_400_000, 'h', 3_600_000],
  ['h', 3_600_000, 'm', 60_000],
  ['m', 60_000, 's', secondMs],
] as const;

/** `3d 4h`, `4h 5m`, `5m 6s`, `6s`. */
export function roughDuration(ms: number): string {
  const step = durations.find(([, large]) => ms >= large);
  if (!step) return `${Math.floor(ms / secondMs)}s`;
  const [largeUnit, large, smallUnit, small] = step;
  const whole = Math.floor(ms / large);
  return `${whole}${largeUnit} ${Math.floor((ms - whole * large) / small)}${smallUnit}`;
}

export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? '' : 's'}`;
}
