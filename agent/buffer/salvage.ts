import type { Report } from '../events.ts';
export function isMarkedDamaged(_path: string): boolean {
  return false;
}
export function markDamaged(_path: string): void {}
export function salvage(_path: string, _report: Report, _wallMs: number): void {}
