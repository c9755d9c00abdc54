/**
 * The demo's last words: the ledger for a person, and for a program with --json. When the ledger
 * does not hold, it says so in capitals, where to look, and what the agent said last.
 */
import type { LedgerTotals } from './ledger.ts';
import type { Stage } from './stage.ts';
import { count } from './view.ts';

export function report(stage: Stage, totals: LedgerTotals): string[] {
  const lost =
    totals.lost === 0 ? '0' : `${count(totals.lost)} (${totals.lostExamples.join(', ')})`;
  const order = totals.outOfOrder === 0 ? 'kept' : `broken ${count(totals.outOfOrder)} times`;
  const lines = [
    'the ledger, kept outside of the agent:',
    `  sent by ${totals.devices} devices     ${count(totals.sent)}`,
    `  acknowledged          ${count(totals.acknowledged)}`,
    `  of these, not arrived ${lost}`,
    `  arrived twice         ${count(totals.repeats)} (at-least-once: after ${stage.kills} kills)`,
    `  order per device      ${order}`,
    `  acknowledged while the uplink was cut: ${count(stage.acknowledgedWhileCut)}` +
      `; highest backlog: ${count(stage.backlogPeak)}`,
  ];
  if (totals.unknown > 0) lines.push(`  arrived but never sent ${count(totals.unknown)}`);
  if (totals.holds) return [...lines, 'the ledger holds: every acknowledged message arrived.'];
  return [
    ...lines,
    `THE LEDGER DOES NOT HOLD. The agent's log and buffer stay in ${stage.directory}`,
    stage.agent.lastLines(),
  ];
}

export function summary(stage: Stage, totals: LedgerTotals): Record<string, unknown> {
  return {
    ...totals,
    upstream: stage.uplink.name,
    kills: stage.kills,
    acknowledgedWhileCut: stage.acknowledgedWhileCut,
    backlogPeak: stage.backlogPeak,
  };
}
