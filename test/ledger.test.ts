/**
 * The ledger itself, and the metrics it is compared with: a witness that cannot see a loss proves
 * nothing, so each kind of breach is shown to it first.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger } from '../agent/cli/demo/ledger.ts';
import { laneBalances, parseMetrics } from './support/metrics.ts';

function sent(ledger: Ledger, device: string, count: number): void {
  for (let i = 0; i < count; i++) ledger.nextNumber(device);
}

test('a ledger holds when everything acknowledged arrived in order', () => {
  const ledger = new Ledger();
  sent(ledger, 'a', 3);
  for (const number of [1, 2, 3]) ledger.acknowledge('a', number);
  assert.equal(ledger.owed, 3);
  for (const number of [1, 2, 3]) ledger.arrive('a', number);
  assert.equal(ledger.owed, 0);
  const totals = ledger.totals();
  assert.equal(totals.holds, true);
  assert.equal(totals.arrived, 3);
});

test('a ledger names what was acknowledged and did not arrive', () => {
  const ledger = new Ledger();
  sent(ledger, 'a', 3);
  for (const number of [1, 2, 3]) ledger.acknowledge('a', number);
  ledger.arrive('a', 1);
  ledger.arrive('a', 3);
  const totals = ledger.totals();
  assert.equal(totals.holds, false);
  assert.equal(totals.lost, 1);
  assert.deepEqual(totals.lostExamples, ['a #2']);
});

test('a ledger does not ask for what was never acknowledged', () => {
  const ledger = new Ledger();
  sent(ledger, 'a', 2);
  ledger.acknowledge('a', 1);
  ledger.arrive('a', 1);
  assert.equal(ledger.totals().holds, true);
});

test('first arrivals out of order break the ledger, repeats do not', () => {
  const kept = new Ledger();
  sent(kept, 'a', 3);
  for (const number of [1, 2, 1, 2, 3]) kept.arrive('a', number);
  assert.equal(kept.totals().holds, true);
  assert.equal(kept.totals().repeats, 2);

  const broken = new Ledger();
  sent(broken, 'a', 3);
  for (const number of [1, 3, 2]) broken.arrive('a', number);
  assert.equal(broken.totals().outOfOrder, 1);
  assert.equal(broken.totals().holds, false);
});

test('an arrival that nobody sent breaks the ledger', () => {
  const ledger = new Ledger();
  sent(ledger, 'a', 1);
  ledger.arrive('a', 2);
  assert.equal(ledger.totals().unknown, 1);
  assert.equal(ledger.totals().holds, false);
});

test('a ledger that saw nothing does not hold', () => {
  assert.equal(new Ledger().totals().holds, false);
});

test('an acknowledgement may come after the arrival', () => {
  const ledger = new Ledger();
  sent(ledger, 'a', 1);
  ledger.arrive('a', 1);
  ledger.acknowledge('a', 1);
  assert.equal(ledger.owed, 0);
  assert.equal(ledger.totals().holds, true);
});

test('the balance of a lane is read from /metrics, and a missing metric is an error', () => {
  const lane = 'lane="cloud/at-least-once"';
  const lines = [
    '# TYPE tidegate_lane_appended_frames_total counter',
    `tidegate_lane_appended_frames_total{${lane}} 10`,
    `tidegate_lane_outcome_frames_total{${lane},outcome="confirmed"} 6`,
    `tidegate_lane_outcome_frames_total{${lane},outcome="buried"} 1`,
    `tidegate_lane_backlog_frames{${lane}} 3`,
  ];
  assert.deepEqual(laneBalances(parseMetrics(lines.join('\n'))), [
    { lane: 'cloud/at-least-once', appended: 10, outcomes: 7, backlog: 3 },
  ]);
  assert.throws(() => laneBalances(parseMetrics(lines.slice(0, 4).join('\n'))), /has no/);
});
